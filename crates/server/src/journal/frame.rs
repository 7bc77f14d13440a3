//! A frame: the records of the commands that ran under one lock set.
//!
//! ```text
//! frame    number u64, counted from 1; item*
//! item     u8 0  command: time i64, database u32, number of words u32, for each word: length u32, bytes
//!          u8 1  the end of a record
//! ```
//!
//! All numbers are little-endian. A record is applied as a whole. It holds the commands of an EXEC, or the one or several commands that
//! stand for a single request, or the removal of an expired key. A frame holds at least one record, and its last item is the end of a
//! record.
//!
//! The time of a command is the clock by which it ran, in milliseconds since 1970. A replay runs it by the same clock, and removes nothing
//! because it has expired: each such removal is recorded as a DEL or HDEL. Then the command has the same effect again.

use super::Position;

const COMMAND: u8 = 0;
const END_OF_RECORD: u8 = 1;

/// The length of the frame's number, which comes before the first item.
const HEADER_LEN: usize = 8;

/// Writes a frame into the buffer of a lock set.
pub(crate) struct FrameWriter<'b>(&'b mut Vec<u8>);

impl<'b> FrameWriter<'b> {
    /// Goes on with the frame in a buffer. If the buffer is empty, a frame is begun, and `number` is called for its position.
    pub(crate) fn resume(buffer: &'b mut Vec<u8>, number: impl FnOnce() -> Position) -> FrameWriter<'b> {
        if buffer.is_empty() {
            buffer.extend_from_slice(&number().number().to_le_bytes());
        }
        FrameWriter(buffer)
    }

    /// Returns the position of the frame.
    pub(crate) fn position(&self) -> Position {
        position(self.0).expect("the frame has begun")
    }

    /// Adds a command to the record that has begun, or begins a record with it.
    pub(crate) fn command<'w>(&mut self, time_ms: i64, database: usize, words: impl Iterator<Item = &'w [u8]> + Clone) {
        self.0.push(COMMAND);
        self.0.extend_from_slice(&time_ms.to_le_bytes());
        self.0.extend_from_slice(&(database as u32).to_le_bytes());
        self.0.extend_from_slice(&(words.clone().count() as u32).to_le_bytes());
        for word in words {
            self.0.extend_from_slice(&(word.len() as u32).to_le_bytes());
            self.0.extend_from_slice(word);
        }
    }
}

/// Returns where the next record in a buffer begins, for [`end_record`].
#[inline]
pub(crate) fn mark(buffer: &Option<Vec<u8>>) -> usize {
    buffer.as_ref().map_or(0, Vec::len)
}

/// Ends the record that began at `mark`, if anything was added since.
#[inline]
pub(crate) fn end_record(buffer: &mut Option<Vec<u8>>, mark: usize) {
    if let Some(buffer) = buffer
        && buffer.len() > mark
    {
        buffer.push(END_OF_RECORD);
    }
}

/// Returns the position of the frame in a buffer, or `None` if the buffer is empty.
#[inline]
pub(crate) fn position(buffer: &[u8]) -> Option<Position> {
    let number = buffer.first_chunk()?;
    Some(Position::of_frame(u64::from_le_bytes(*number)))
}

/// A complete frame, as it is passed to a sink.
#[derive(Clone, Copy)]
pub struct Frame<'b> {
    /// The position of the frame in the journal.
    pub position: Position,
    items: &'b [u8],
}

impl<'b> Frame<'b> {
    /// Returns the frame in a buffer.
    ///
    /// # Panics
    /// If the buffer is empty, or its last item is not the end of a record.
    pub fn in_buffer(buffer: &'b [u8]) -> Frame<'b> {
        let (header, items) = buffer.split_at(HEADER_LEN);
        assert_eq!(items.last(), Some(&END_OF_RECORD), "a frame ends with the end of a record");
        Frame { position: position(header).expect("a header holds a number"), items }
    }

    /// Returns the frame of a position whose items were copied.
    pub fn of_items(position: Position, items: &'b [u8]) -> Frame<'b> {
        Frame { position, items }
    }

    /// Appends the items to a buffer.
    pub fn copy_items(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(self.items);
    }

    /// Returns the length of the items in bytes.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the records, in order.
    pub fn records(self) -> impl Iterator<Item = Vec<RecordedCommand<'b>>> {
        let mut reader = Reader(self.items);
        std::iter::from_fn(move || {
            let mut commands = Vec::new();
            while !reader.0.is_empty() {
                match reader.byte() {
                    COMMAND => commands.push(reader.command()),
                    END_OF_RECORD => return Some(commands),
                    other => panic!("{other} is not an item of a frame"),
                }
            }
            None
        })
    }
}

/// A command of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCommand<'b> {
    /// The clock by which it ran, in milliseconds since 1970.
    pub time_ms: i64,
    /// The database in which it ran.
    pub database: usize,
    /// The command's name and its arguments.
    pub words: Vec<&'b [u8]>,
}

/// Reads what [`FrameWriter`] wrote in this process. If the buffer holds anything else, that is a bug, and the reader panics.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn number(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).try_into().expect("four bytes")) as usize
    }

    fn command(&mut self) -> RecordedCommand<'b> {
        let time_ms = i64::from_le_bytes(self.take(8).try_into().expect("eight bytes"));
        let database = self.number();
        let words = self.number();
        let word = |_| {
            let len = self.number();
            self.take(len)
        };
        RecordedCommand { time_ms, database, words: (0..words).map(word).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A command as it is written and read: time, database, words.
    type Command = (i64, usize, Vec<Vec<u8>>);

    fn command() -> impl Strategy<Value = Command> {
        (any::<i64>(), 0usize..70_000, prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5))
    }

    proptest! {
        #[test]
        fn a_frame_is_read_as_it_was_written(
            records in prop::collection::vec(prop::collection::vec(command(), 1..4), 1..6),
            number in 1u64..,
        ) {
            let mut buffer = Some(Vec::new());
            for record in &records {
                let mark = mark(&buffer);
                for (time_ms, database, words) in record {
                    FrameWriter::resume(buffer.as_mut().unwrap(), || Position::of_frame(number))
                        .command(*time_ms, *database, words.iter().map(Vec::as_slice));
                }
                end_record(&mut buffer, mark);
            }
            let frame = Frame::in_buffer(buffer.as_deref().unwrap());
            prop_assert_eq!(frame.position.number(), number);
            let owned = |command: RecordedCommand<'_>| -> Command {
                (command.time_ms, command.database, command.words.into_iter().map(<[u8]>::to_vec).collect())
            };
            let read: Vec<Vec<Command>> =
                frame.records().map(|commands| commands.into_iter().map(owned).collect()).collect();
            prop_assert_eq!(read, records);
        }
    }
}
