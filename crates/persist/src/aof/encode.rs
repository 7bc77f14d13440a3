//! Commands as the bytes of an append-only file; see the picture in `mod.rs`.

use crate::checksum::Checksum;

/// Writes what an append-only file holds. It keeps the state of one file: what the reader knows at its end.
pub struct Encoder {
    /// The database that is selected at the end of the file.
    database: Option<usize>,
    /// The time of the last annotation, in seconds since 1970, if times are annotated.
    time_s: Option<i64>,
    /// What the next checksum is of, if there are checksums.
    block: Option<Block>,
}

/// The bytes since the last checksum.
#[derive(Default)]
struct Block {
    checksum: Checksum,
    len: u64,
}

/// How a checksum's line begins. The checksum and the length of the block follow, in hexadecimal and in decimal digits.
pub(super) const CHECKSUM: &[u8] = b"#CRC64:";
/// The line from which on there are no checksums.
pub(super) const NO_CHECKSUMS: &[u8] = b"#CRC64:none\r\n";
/// How the line of a time begins. Seconds since 1970 follow. (Redis: `genAofTimestampAnnotationIfNeeded`)
pub(super) const TIME: &[u8] = b"#TS:";

impl Encoder {
    /// Begins with a file, or goes on behind the end of one that was not written with this encoder. With `times`, the time is annotated whenever
    /// its second changes; with `checksums`, [`Encoder::end_block`] writes checksums.
    pub fn new(times: bool, checksums: bool) -> Encoder {
        Encoder { database: None, time_s: times.then_some(0), block: checksums.then(Block::default) }
    }

    /// Writes what comes first in a file, or first behind what the file has already.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if self.block.is_some() {
            put_checksum(out, 0, 0);
        }
    }

    /// Writes what ends the part of the file that this encoder writes, if it has checksums: what comes next may have none.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.end_block(out);
        if self.block.is_some() {
            out.extend_from_slice(NO_CHECKSUMS);
        }
    }

    /// Writes what was done at once: a command, or several that count as one. `commands` has for each command its database and its words.
    pub fn record<'w, W>(&mut self, out: &mut Vec<u8>, time_ms: i64, commands: &[(usize, W)])
    where
        W: AsRef<[&'w [u8]]>,
    {
        let start = out.len();
        if let Some(last_s) = &mut self.time_s
            && *last_s != time_ms / 1000
        {
            *last_s = time_ms / 1000;
            out.extend_from_slice(TIME);
            out.extend_from_slice(itoa::Buffer::new().format(*last_s).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        let is_transaction = commands.len() > 1;
        for (index, (database, words)) in commands.iter().enumerate() {
            if self.database != Some(*database) {
                self.database = Some(*database);
                put_command(out, &[b"SELECT", itoa::Buffer::new().format(*database).as_bytes()]);
            }
            if is_transaction && index == 0 {
                put_command(out, &[b"MULTI"]);
            }
            put_command(out, words.as_ref());
        }
        if is_transaction {
            put_command(out, &[b"EXEC"]);
        }
        if let Some(block) = &mut self.block {
            block.checksum.update(&out[start..]);
            block.len += (out.len() - start) as u64;
        }
    }

    /// Writes the checksum of what was written since the last one, if there are checksums.
    pub fn end_block(&mut self, out: &mut Vec<u8>) {
        if let Some(block) = self.block.as_mut().filter(|block| block.len > 0) {
            put_checksum(out, block.checksum.value(), block.len);
            *block = Block::default();
        }
    }
}

fn put_checksum(out: &mut Vec<u8>, checksum: u64, len: u64) {
    out.extend_from_slice(CHECKSUM);
    out.extend_from_slice(format!("{checksum:016x}:{len}\r\n").as_bytes());
}

fn put_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    let mut number = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(number.format(words.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for word in words {
        out.push(b'$');
        out.extend_from_slice(number.format(word.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}
