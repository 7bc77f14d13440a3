//! The parts of a snapshot as they come from the walker, and how they become an RDB file or commands.

use std::{cell::RefCell, io::Write};

use ochre_keyspace::{EntryRef, Images, SnapshotWatch};
use ochre_persist::{
    aof::encode::Encoder,
    new_file::{NewFile, NewFileError, Step},
    rdb::{
        file::{FileWriter, KeyToWrite},
        payload,
    },
};
use tokio::sync::mpsc;

use super::stored;
use crate::{
    config::Config,
    journal::Position,
    process,
    saves::{AtCut, CutFigures, Part, Target, WalkOrder},
    server::Server,
};

/// How many parts may wait to be written.
const PARTS_MAX: usize = 2;
/// The least default of `snapshot-backlog-limit`, and the share of the memory in use that counts if it is more.
const BACKLOG_BYTES: usize = 64 << 20;
const BACKLOG_SHARE: usize = 20;

/// The parts of a snapshot, as they come from the walker.
pub struct Parts {
    parts: mpsc::Receiver<Part>,
    /// Where images go back to when they are written.
    written: mpsc::UnboundedSender<Images>,
    /// The longest time for which a shard was locked, once the walk has ended.
    longest_lock_us: Option<u64>,
    watch: Option<SnapshotWatch>,
    position: Position,
}

impl Parts {
    /// Orders a walk.
    pub fn order(server: &Server, databases: usize, at_cut: Option<AtCut>) -> Parts {
        let (to_parts, parts) = mpsc::channel(PARTS_MAX);
        let (written, to_walker) = mpsc::unbounded_channel();
        server.saves.order(WalkOrder { databases, at_cut, parts: to_parts, written: to_walker });
        Parts { parts, written, longest_lock_us: None, watch: None, position: Position::default() }
    }

    fn next(&mut self) -> Part {
        let part = self.parts.blocking_recv().expect("the walker sends parts up to the end");
        match &part {
            Part::End(longest_lock_us) => self.longest_lock_us = Some(*longest_lock_us),
            Part::Cut(cut) => self.watch = Some(cut.watch.clone()),
            Part::Images(_) => {}
        }
        part
    }

    /// Waits for the cut.
    fn cut(&mut self, server: &Server, config: &Config) -> CutFigures {
        let Part::Cut(cut) = self.next() else { panic!("the cut is the first part") };
        let limit = match config.snapshot_backlog_limit {
            0 => BACKLOG_BYTES.max(server.used_memory() / BACKLOG_SHARE),
            limit => limit as usize,
        };
        server.saves.note_cut(&cut, limit);
        self.position = cut.position;
        cut
    }

    /// Passes each key of the snapshot to `write`, until the walk ends or `write` returns false. If the snapshot is cancelled, the rest is left to
    /// [`Parts::drain`].
    fn each(
        &mut self,
        server: &Server,
        cut: &CutFigures,
        mut write: impl FnMut(usize, EntryRef<'_>),
        fails: impl Fn() -> bool,
    ) {
        while let Part::Images(mut images) = self.next() {
            let mut keys = 0;
            images.visit(&mut |database, entry: EntryRef<'_>| {
                keys += 1;
                write(database, entry);
            });
            images.clear();
            server.saves.note_written(keys);
            // The walker may have ended.
            let _ = self.written.send(images);
            if fails() || cut.watch.is_cancelled() {
                break;
            }
        }
    }

    /// Writes an RDB file.
    ///
    /// # Errors
    /// The first error. The rest of the snapshot is left to [`Parts::drain`].
    pub fn write_rdb(
        &mut self,
        server: &Server,
        config: &Config,
        file: NewFile,
        target: Target,
    ) -> Result<NewFile, NewFileError> {
        let cut = self.cut(server, config);
        let writer = RefCell::new(begin_file(server, config, &cut, file, target));
        let clock = config.access_clock(cut.now_ms, || 0);
        let write = |database: usize, entry: EntryRef<'_>| {
            writer.borrow_mut().key(&KeyToWrite {
                database: database as u64,
                name: entry.key(),
                value: stored::view(entry),
                expiry_ms: entry.expiry_ms(),
                access: stored::access(config, clock, entry.access()),
            });
        };
        self.each(server, &cut, write, || writer.borrow().has_failed());
        writer.into_inner().finish().map_err(|error| NewFileError { step: Step::Write, error })
    }

    /// Writes a file of commands: one RESTORE for each key, since a payload has every detail of a value.
    ///
    /// # Errors
    /// As for [`Parts::write_rdb`].
    pub fn write_commands(&mut self, server: &Server, config: &Config, file: NewFile) -> Result<NewFile, NewFileError> {
        /// The bytes after which a part is written.
        const PART_BYTES: usize = 64 * 1024;
        let cut = self.cut(server, config);
        let options = stored::write_options(config, cut.now_ms);
        let mut encoder = Encoder::new(config.aof_timestamp_enabled, config.aof_checksum);
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for library in cut.libraries.iter() {
            let words = [&b"FUNCTION"[..], b"LOAD", &library.code];
            encoder.record(&mut out, cut.now_ms, &[(0, words)]);
        }
        let state = RefCell::new((file, Ok(()), out));
        let write = |database: usize, entry: EntryRef<'_>| {
            let (file, result, out) = &mut *state.borrow_mut();
            let payload = payload::dump(stored::view(entry), &options);
            let expiry = entry.expiry_ms().unwrap_or(0).to_string();
            let words = [&b"RESTORE"[..], entry.key(), expiry.as_bytes(), &payload, b"REPLACE", b"ABSTTL"];
            encoder.record(out, cut.now_ms, &[(database, words)]);
            if out.len() >= PART_BYTES && result.is_ok() {
                encoder.end_block(out);
                *result = file.write_all(out);
                out.clear();
            }
        };
        self.each(server, &cut, write, || state.borrow().1.is_err());
        let (mut file, result, mut out) = state.into_inner();
        encoder.end_block(&mut out);
        let written = result.and_then(|()| file.write_all(&out));
        written.map(|()| file).map_err(|error| NewFileError { step: Step::Write, error })
    }

    /// Returns the position of the journal at the cut.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Lets the walk go on to its end without images. Returns the longest time for which a shard was locked, in microseconds.
    pub fn drain(&mut self) -> u64 {
        if self.longest_lock_us.is_none()
            && let Some(watch) = &self.watch
        {
            watch.cancel();
        }
        loop {
            if let Some(longest) = self.longest_lock_us {
                return longest;
            }
            self.next();
        }
    }
}

/// Writes what comes before the keys. (Redis: `rdbSaveInfoAuxFields`)
fn begin_file(
    server: &Server,
    config: &Config,
    cut: &CutFigures,
    file: NewFile,
    target: Target,
) -> FileWriter<NewFile> {
    let has_field_expiries = cut.sizes.iter().any(|size| size.with_expiring_fields > 0);
    let options = stored::write_options(config, cut.now_ms);
    let mut writer = FileWriter::new(file, options, has_field_expiries, config.rdbchecksum);
    writer.aux("redis-ver", process::REDIS_VERSION);
    writer.aux("ochre-ver", env!("CARGO_PKG_VERSION"));
    writer.aux_number("redis-bits", usize::BITS.into());
    writer.aux_number("ctime", cut.now_ms / 1000);
    writer.aux_number("used-mem", server.used_memory() as i64);
    writer.aux_number("aof-base", i64::from(target == Target::AofBase));
    cut.libraries.iter().for_each(|library| writer.function(&library.code));
    for (database, size) in cut.sizes.iter().enumerate().filter(|(_, size)| size.keys > 0) {
        writer.resize(database as u64, size.keys as u64, size.expires as u64);
    }
    writer
}
