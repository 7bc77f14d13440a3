//! Reading an append-only file, record by record.

use std::{collections::VecDeque, io::Read};

use super::encode::{CHECKSUM, NO_CHECKSUMS, TIME};
use crate::{
    checksum::Checksum,
    fault::{Fault, FaultKind},
    rdb::{source::Source, stream::Stream},
};

/// What was done at once: a command, or several between MULTI and EXEC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The offset in the file at which it begins.
    pub offset: u64,
    /// The words of its commands. MULTI and EXEC are not among them.
    pub commands: Vec<Vec<Vec<u8>>>,
}

/// Reads a file, or what comes behind its RDB part.
pub struct AofReader<R> {
    file: Stream<R>,
    /// Records that were read and may be returned.
    ready: VecDeque<Record>,
    /// The block whose checksum was not read yet, if the file has checksums.
    block: Option<Block>,
    /// See [`AofReader::whole_until`].
    whole_until: u64,
    /// The last time that was annotated, in seconds since 1970.
    time_s: Option<i64>,
}

/// What comes before a checksum.
#[derive(Default)]
struct Block {
    checksum: Checksum,
    len: u64,
    records: Vec<Record>,
}

/// What is wrong with a block without its checksum.
const UNFINISHED: &str = "the block before this offset has no checksum";
/// The longest line with a count, a length or an annotation. (Redis: `loadSingleAppendOnlyFile`)
const LINE_LEN_MAX: usize = 128;

impl<R: Read> AofReader<R> {
    /// Reads commands from here on.
    pub fn new(file: Stream<R>) -> AofReader<R> {
        let whole_until = file.offset();
        AofReader { file, ready: VecDeque::new(), block: None, whole_until, time_s: None }
    }

    /// Returns the offset up to which the file consists of complete records. If its tail is missing, it can be cut off here.
    pub fn whole_until(&self) -> u64 {
        self.whole_until
    }

    /// Returns the offset up to which the file was read.
    pub fn offset(&self) -> u64 {
        self.file.offset()
    }

    /// Returns the last time that the file names, in seconds since 1970.
    pub fn time_s(&self) -> Option<i64> {
        self.time_s
    }

    /// Reads the next record. Returns `None` at the end.
    ///
    /// # Errors
    /// A fault, after which nothing more can be read. If a tail is missing, its kind is [`FaultKind::Truncated`].
    pub fn read_record(&mut self) -> Result<Option<Record>, Fault> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(Some(record));
            }
            let offset = self.file.offset();
            match self.file.peek()? {
                None => {
                    // A block without its checksum was not written completely.
                    return match &self.block {
                        Some(block) if block.len > 0 => Err(Fault::truncated(offset)),
                        _ => Ok(None),
                    };
                }
                Some(b'#') => self.read_annotation()?,
                Some(_) => {
                    let record = self.read_commands(offset)?;
                    match &mut self.block {
                        Some(block) => block.records.push(record),
                        None => {
                            self.whole_until = self.file.offset();
                            self.ready.push_back(record);
                        }
                    }
                }
            }
        }
    }

    /// Reads a command, or those from MULTI to EXEC.
    fn read_commands(&mut self, offset: u64) -> Result<Record, Fault> {
        let mut record = Record { offset, commands: Vec::new() };
        let first = self.read_command()?;
        if !is_word(&first, b"MULTI") {
            record.commands.push(first);
            return Ok(record);
        }
        loop {
            match self.file.peek()? {
                None => return Err(Fault::truncated(self.file.offset())),
                Some(b'#') => {
                    let at = self.file.offset();
                    if self.take_line()?.starts_with(CHECKSUM) {
                        return Err(Fault::corrupt(at, "a checksum within a transaction"));
                    }
                }
                Some(_) => {
                    let command = self.read_command()?;
                    if is_word(&command, b"EXEC") {
                        return Ok(record);
                    }
                    record.commands.push(command);
                }
            }
        }
    }

    fn read_command(&mut self) -> Result<Vec<Vec<u8>>, Fault> {
        /// More words than this are not reserved room for, before they come.
        const RESERVED_MAX: u64 = 64;
        let words = self.read_number(b'*')?;
        if words == 0 {
            return Err(Fault::corrupt(self.file.offset(), "a command without words"));
        }
        let mut command = Vec::with_capacity(words.min(RESERVED_MAX) as usize);
        for _ in 0..words {
            let len = self.read_number(b'$')?;
            let at = self.file.offset();
            let len = usize::try_from(len).ok().filter(|&len| len < usize::MAX - 2);
            let len = len.ok_or_else(|| Fault::corrupt(at, "the length of a word is too large"))?;
            let taken = self.file.take(len + 2)?;
            let (word, end) = taken.split_at(len);
            if end != b"\r\n" {
                return Err(Fault::corrupt(at + len as u64, "a word does not end where its length says"));
            }
            command.push(word.to_vec());
            if let Some(block) = &mut self.block {
                block.add(taken);
            }
        }
        Ok(command)
    }

    /// Reads a line that consists of this mark and a number.
    fn read_number(&mut self, mark: u8) -> Result<u64, Fault> {
        let offset = self.file.offset();
        let line = self.take_line()?;
        let digits = line.strip_prefix(&[mark]).and_then(|line| line.strip_suffix(b"\r\n"));
        let number = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        number.ok_or_else(|| Fault::corrupt(offset, format!("'{}' and a number are expected here", mark as char)))
    }

    /// Takes a line, which counts towards the block.
    fn take_line(&mut self) -> Result<&[u8], Fault> {
        let line = self.file.take_line(LINE_LEN_MAX)?;
        if let Some(block) = &mut self.block {
            block.add(line);
        }
        Ok(line)
    }

    fn read_annotation(&mut self) -> Result<(), Fault> {
        let offset = self.file.offset();
        let line = self.file.take_line(LINE_LEN_MAX)?;
        if line.last() != Some(&b'\n') {
            return Err(Fault::corrupt(offset, "an annotation is too long"));
        }
        if line == NO_CHECKSUMS {
            let is_whole = self.block.take().is_none_or(|block| block.len == 0);
            self.whole_until = self.file.offset();
            return if is_whole { Ok(()) } else { Err(Fault::corrupt(offset, UNFINISHED)) };
        }
        if let Some(checksum) = line.strip_prefix(CHECKSUM) {
            let checksum = parse_checksum(checksum).ok_or(Fault::corrupt(offset, "this is not a checksum"))?;
            return self.end_block(offset, checksum);
        }
        if let Some(block) = &mut self.block {
            block.add(line);
        }
        if let Some(time) = line.strip_prefix(TIME) {
            let seconds = str::from_utf8(time.trim_ascii()).ok().and_then(|digits| digits.parse().ok());
            self.time_s = Some(seconds.ok_or(Fault::corrupt(offset, "this is not a time"))?);
        }
        if self.block.is_none() {
            self.whole_until = self.file.offset();
        }
        Ok(())
    }

    /// Verifies the block that ends here.
    fn end_block(&mut self, offset: u64, (checksum, len): (u64, u64)) -> Result<(), Fault> {
        if len > 0 {
            let is_right = |block: &Block| block.len == len && block.checksum.value() == checksum;
            let Some(block) = self.block.take().filter(is_right) else {
                let begin = offset.saturating_sub(len);
                let reason = format!("the block from offset {begin} to {offset} is damaged: its checksum is wrong");
                return Err(Fault::corrupt(begin, reason));
            };
            self.ready.extend(block.records);
        } else if self.block.take().is_some_and(|block| block.len > 0) {
            // Whoever goes on behind such a block cuts it off before.
            return Err(Fault::corrupt(offset, UNFINISHED));
        }
        self.whole_until = self.file.offset();
        self.block = Some(Block::default());
        Ok(())
    }

    /// Returns whether the fault is only a missing tail, which may be cut off at [`AofReader::whole_until`].
    pub fn is_missing_tail(fault: &Fault) -> bool {
        matches!(fault.kind, FaultKind::Truncated)
    }
}

impl Block {
    fn add(&mut self, bytes: &[u8]) {
        self.checksum.update(bytes);
        self.len += bytes.len() as u64;
    }
}

fn is_word(command: &[Vec<u8>], word: &[u8]) -> bool {
    matches!(command, [only] if only.eq_ignore_ascii_case(word))
}

/// Reads the rest of a checksum's line: the checksum and the length of the block.
fn parse_checksum(line: &[u8]) -> Option<(u64, u64)> {
    let (checksum, len) = str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?.split_once(':')?;
    let checksum = (checksum.len() == 16).then(|| u64::from_str_radix(checksum, 16).ok())??;
    Some((checksum, len.parse().ok()?))
}
