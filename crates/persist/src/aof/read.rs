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
    /// What comes after the records that are ready.
    fault: Option<Fault>,
    /// The last time that was annotated, in seconds since 1970.
    time_s: Option<i64>,
}

/// What comes before a checksum.
#[derive(Default)]
struct Block {
    checksum: Checksum,
    len: u64,
    records: Vec<Record>,
    /// The offset behind the last of these records.
    whole_until: u64,
}

/// The longest line with a count, a length or an annotation. (Redis: `loadSingleAppendOnlyFile`)
const LINE_LEN_MAX: usize = 128;

impl<R: Read> AofReader<R> {
    /// Reads commands from here on.
    pub fn new(file: Stream<R>) -> AofReader<R> {
        let whole_until = file.offset();
        AofReader { file, ready: VecDeque::new(), block: None, whole_until, fault: None, time_s: None }
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
            if let Some(fault) = self.fault.take() {
                return Err(fault);
            }
            match self.read_next() {
                Ok(true) => {}
                // Whoever has no checksums may have gone on behind the last block. What has no checksum yet counts as far as it is whole.
                Ok(false) => {
                    if self.release_block() == 0 {
                        return Ok(None);
                    }
                }
                Err(fault) => {
                    if Self::is_missing_tail(&fault) {
                        self.fault = Some(self.tail_or_damage(fault));
                        if self.fault.as_ref().is_some_and(Self::is_missing_tail) {
                            self.release_block();
                        }
                    } else {
                        return Err(fault);
                    }
                }
            }
        }
    }

    /// Reads what comes next. Returns false at the end.
    fn read_next(&mut self) -> Result<bool, Fault> {
        let offset = self.file.offset();
        match self.file.peek()? {
            None => return Ok(false),
            Some(b'#') => self.read_annotation()?,
            Some(_) => {
                let record = self.read_commands(offset)?;
                let end = self.file.offset();
                match &mut self.block {
                    Some(block) => {
                        block.whole_until = end;
                        block.records.push(record);
                    }
                    None => {
                        self.whole_until = end;
                        self.ready.push_back(record);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Makes the records of a block without its checksum count. Returns how many they are.
    fn release_block(&mut self) -> usize {
        let Some(block) = self.block.take().filter(|block| !block.records.is_empty()) else { return 0 };
        let count = block.records.len();
        self.whole_until = block.whole_until;
        self.ready.extend(block.records);
        count
    }

    /// Decides whether a file ends in the middle of a record because its tail is missing, or because a length in it is damaged: then the
    /// checksums of later blocks, or of this one, are among the bytes that are left.
    fn tail_or_damage(&self, fault: Fault) -> Fault {
        let left = self.file.buffered();
        let is_checksum = |at: usize| {
            let line = left[at..].split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
            line.strip_prefix(CHECKSUM).and_then(parse_checksum).is_some()
        };
        let mut starts = left.windows(CHECKSUM.len()).enumerate().filter(|(_, bytes)| *bytes == CHECKSUM);
        if self.block.is_some() && starts.any(|(at, _)| is_checksum(at)) {
            let reason = format!("the block from offset {} is damaged: a length in it is wrong", self.whole_until);
            return Fault::corrupt(self.whole_until, reason);
        }
        fault
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
            self.release_block();
            self.block = None;
            self.whole_until = self.file.offset();
            return Ok(());
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
        } else {
            // A server that writes no checksums may have gone on behind the last block.
            self.release_block();
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
