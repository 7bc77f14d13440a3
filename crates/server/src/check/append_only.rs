//! What is in an append-only file, and where it is broken.

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufRead, Write as _},
    path::{Path, PathBuf},
};

use ochre_persist::{
    aof::{manifest::Manifest, read::AofReader},
    rdb::stream::Stream,
};
use serde::Serialize;

use super::{Arguments, Broken, open, progress, rdb, unreadable};

/// What an append-only file has.
#[derive(Serialize)]
pub struct Report {
    /// The manifest, unless it is a single file.
    manifest: Option<String>,
    /// What is wrong with the manifest.
    manifest_fault: Option<String>,
    files: Vec<FileReport>,
}

/// What one of its files has.
#[derive(Serialize)]
struct FileReport {
    file: String,
    #[serde(skip)]
    path: PathBuf,
    bytes: u64,
    /// The RDB part, if there is one.
    rdb: Option<rdb::Report>,
    /// What was done at once: commands, and transactions.
    records: u64,
    commands: u64,
    /// The last time that it names, in seconds since 1970.
    time_s: Option<i64>,
    /// The offset up to which it is whole.
    whole_bytes: u64,
    fault: Option<Broken>,
}

impl Report {
    /// Reads a folder, or the folder of a manifest.
    pub fn of_folder(path: &Path) -> io::Result<Report> {
        let manifest = if path.is_dir() { manifest_in(path)? } else { path.to_owned() };
        let folder = manifest.parent().unwrap_or(Path::new(""));
        let mut report = Report { manifest: Some(manifest.display().to_string()), manifest_fault: None, files: vec![] };
        match Manifest::parse(&fs::read(&manifest)?) {
            Ok(read) => {
                use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
                for part in read.base.iter().chain(&read.increments) {
                    report.files.push(FileReport::of(&folder.join(OsStr::from_bytes(&part.name)))?);
                }
            }
            Err(error) => report.manifest_fault = Some(error.to_string()),
        }
        Ok(report)
    }

    /// Reads a single file.
    pub fn of_file(path: &Path) -> io::Result<Report> {
        Ok(Report { manifest: None, manifest_fault: None, files: vec![FileReport::of(path)?] })
    }

    fn is_whole(&self) -> bool {
        self.manifest_fault.is_none() && self.files.iter().all(FileReport::is_whole)
    }
}

/// Finds the one manifest in a folder.
fn manifest_in(folder: &Path) -> io::Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_temporary = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("temp-"));
        if path.extension().is_some_and(|extension| extension == "manifest") && !is_temporary {
            found.push(path);
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(io::Error::new(io::ErrorKind::NotFound, "there is no manifest in this folder")),
        _ => Err(io::Error::other("there are several manifests in this folder: name one of them")),
    }
}

impl FileReport {
    fn of(path: &Path) -> io::Result<FileReport> {
        let (file, bytes) = open(path)?;
        let progress = progress(bytes);
        let mut report = FileReport {
            file: path.display().to_string(),
            path: path.to_owned(),
            bytes,
            rdb: None,
            records: 0,
            commands: 0,
            time_s: None,
            whole_bytes: 0,
            fault: None,
        };
        let mut file = Stream::new(file);
        if matches!(file.peek().map_err(unreadable)?, Some(b'R' | b'V')) {
            let passed = |offset| progress.set_position(offset);
            let (rdb, rest) = rdb::Report::of(file, bytes, 0, &passed).map_err(unreadable)?;
            report.rdb = Some(rdb);
            let Some(rest) = rest else { return Ok(report) };
            file = rest;
        }
        let mut reader = AofReader::new(file);
        loop {
            match reader.read_record() {
                Ok(Some(record)) => {
                    report.records += 1;
                    report.commands += record.commands.len() as u64;
                    progress.set_position(reader.offset());
                }
                Ok(None) => break,
                Err(fault) => {
                    report.fault = Some(Broken::from(&fault));
                    break;
                }
            }
        }
        report.time_s = reader.time_s();
        report.whole_bytes = reader.whole_until();
        progress.finish_and_clear();
        Ok(report)
    }

    fn is_whole(&self) -> bool {
        self.fault.is_none() && self.rdb.as_ref().is_none_or(|rdb| rdb.fault.is_none())
    }
}

/// Repairs what the report found, if that is asked for and possible. Returns whether the file is whole then.
pub fn end(report: &Report, arguments: &Arguments) -> io::Result<bool> {
    if report.is_whole() {
        return Ok(true);
    }
    if !arguments.fix {
        return Ok(false);
    }
    let (last, others) = match report.files.split_last() {
        Some(split) if report.manifest_fault.is_none() => split,
        _ => {
            eprintln!("the manifest cannot be repaired");
            return Ok(false);
        }
    };
    let is_torn = last.fault.as_ref().is_some_and(|fault| fault.is_truncated);
    if !others.iter().all(FileReport::is_whole) || !is_torn {
        eprintln!("only the tail of the last file can be cut off, and only if it is torn");
        return Ok(false);
    }
    let lost = last.bytes - last.whole_bytes;
    if !arguments.yes && !agrees(&format!("cut off the last {lost} bytes of {}?", last.file))? {
        return Ok(false);
    }
    let file = File::options().write(true).open(&last.path)?;
    file.set_len(last.whole_bytes)?;
    file.sync_all()?;
    eprintln!("cut off {lost} bytes");
    Ok(true)
}

fn agrees(question: &str) -> io::Result<bool> {
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(manifest) = &self.manifest {
            writeln!(out, "append-only file with the manifest {manifest}")?;
        }
        if let Some(fault) = &self.manifest_fault {
            writeln!(out, "BROKEN: {fault}")?;
        }
        for file in &self.files {
            writeln!(out, "{}: {} bytes, {} records, {} commands", file.file, file.bytes, file.records, file.commands)?;
            if let Some(rdb) = &file.rdb {
                rdb.to_string().lines().try_for_each(|line| writeln!(out, "  {line}"))?;
            }
            if let Some(time_s) = file.time_s {
                writeln!(out, "  the last time in it: {time_s}")?;
            }
            if let Some(Broken { offset, reason, .. }) = &file.fault {
                let lost = file.bytes - file.whole_bytes;
                writeln!(out, "  BROKEN at offset {offset}: {reason}")?;
                writeln!(out, "  whole up to offset {}, {lost} bytes before the end", file.whole_bytes)?;
            }
        }
        if self.is_whole() { writeln!(out, "it is whole") } else { Ok(()) }
    }
}
