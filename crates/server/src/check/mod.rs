//! `ochre check`: what is in an RDB file or in an append-only file, and where it is broken. Files are only read, except with `--fix`.

mod append_only;
mod rdb;

use std::{
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, IsTerminal, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use ochre_persist::{
    fault::{Fault, FaultKind},
    rdb::stream::Stream,
};
use serde::Serialize;

/// Shows what is in an RDB file or an append-only file of Redis, Valkey or Ochre, and where it is broken.
///
/// Exit codes: 0 if it is whole, or was repaired; 1 if it is broken; 2 if it cannot be read or the arguments are wrong.
#[derive(Parser)]
#[command(name = "ochre check", bin_name = "ochre check")]
struct Arguments {
    /// The file, for example dump.rdb; or the folder or the manifest of an append-only file, for example appendonlydir.
    file: PathBuf,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// How many of the largest keys of an RDB file to show.
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    largest: usize,
    /// Cut off the tail of an append-only file if it is torn, after asking.
    #[arg(long)]
    fix: bool,
    /// With --fix: do not ask.
    #[arg(long)]
    yes: bool,
}

const BROKEN: u8 = 1;
const UNREADABLE: u8 = 2;

/// Where a file is broken.
#[derive(Serialize)]
struct Broken {
    offset: u64,
    /// The file ends too early, rather than holding what it must not.
    is_truncated: bool,
    reason: String,
}

impl From<&Fault> for Broken {
    fn from(fault: &Fault) -> Broken {
        let reason = match &fault.kind {
            FaultKind::Truncated => "the file ends in the middle of a record".to_owned(),
            FaultKind::Corrupt(reason) | FaultKind::Unsupported(reason) => reason.clone().into_owned(),
            FaultKind::Io(error) => error.to_string(),
        };
        Broken { offset: fault.offset, is_truncated: matches!(fault.kind, FaultKind::Truncated), reason }
    }
}

/// Runs the subcommand. `arguments` begin with its name.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // It tells help, which goes to standard output, from an error. If neither can be written, nobody reads it.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(UNREADABLE) } else { ExitCode::SUCCESS };
        }
    };
    match check(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(BROKEN),
        Err(error) => {
            eprintln!("{}: {error}", arguments.file.display());
            ExitCode::from(UNREADABLE)
        }
    }
}

/// Reports on what the arguments name. Returns whether it is whole.
fn check(arguments: &Arguments) -> io::Result<bool> {
    let path = &arguments.file;
    if path.is_dir() || path.extension().is_some_and(|extension| extension == "manifest") {
        let report = append_only::Report::of_folder(path)?;
        print(&report, arguments.json);
        return append_only::end(&report, arguments);
    }
    let (file, len) = open(path)?;
    let mut file = Stream::new(file);
    if matches!(file.peek().map_err(unreadable)?, Some(b'*' | b'#')) {
        let report = append_only::Report::of_file(path)?;
        print(&report, arguments.json);
        return append_only::end(&report, arguments);
    }
    let progress = progress(len);
    let (report, _) =
        rdb::Report::of(file, len, arguments.largest, &|offset| progress.set_position(offset)).map_err(unreadable)?;
    progress.finish_and_clear();
    print(&report, arguments.json);
    Ok(report.fault.is_none())
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

fn progress(len: u64) -> ProgressBar {
    let progress = if io::stderr().is_terminal() { ProgressBar::new(len) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left");
    progress.set_style(style.expect("the template is well formed"));
    progress
}

fn print(report: &(impl Serialize + fmt::Display), json: bool) {
    let text = match json {
        true => serde_json::to_string_pretty(report).expect("the report consists of texts and numbers") + "\n",
        false => report.to_string(),
    };
    // Whoever reads the report may stop early, as `head` does.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn unreadable(fault: Fault) -> io::Error {
    match fault.kind {
        FaultKind::Io(error) => error,
        _ => io::Error::other(fault),
    }
}
