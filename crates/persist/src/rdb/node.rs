//! The blocks of streams, as Redis keeps them: listpacks. (Redis: the picture in `t_stream.c`)
//!
//! ```text
//! count │ deleted │ number of fields │ field … │ 0 │ entry …
//! entry   flags │ milliseconds and sequence number, less those of the block │ values, or number of fields and fields with values │ elements
//! ```
//!
//! The last element of an entry is the number of its elements before that one, by which a block is walked backwards.

use ochre_datatypes::{
    listpack::{self, Element, Listpack},
    stream::{Block, LogLoader, StreamId},
};

use crate::fault::Fault;

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// Returns the 16 bytes of a block's ID.
pub(super) fn id_bytes(id: StreamId) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.ms.to_be_bytes());
    bytes[8..].copy_from_slice(&id.seq.to_be_bytes());
    bytes
}

/// Reads the ID of a block, or `None` if it has not 16 bytes.
pub(super) fn node_id(bytes: &[u8]) -> Option<StreamId> {
    let (ms, seq) = bytes.split_first_chunk()?;
    Some(StreamId::new(u64::from_be_bytes(*ms), u64::from_be_bytes(seq.try_into().ok()?)))
}

/// Writes a block as a listpack with header and end.
pub(super) fn write_node(block: &Block) -> Vec<u8> {
    let mut run = Vec::new();
    let (mut number, mut text) = (itoa::Buffer::new(), itoa::Buffer::new());
    let fields = block.fields();
    listpack::push_back_int(&mut run, block.live() as i64);
    listpack::push_back_int(&mut run, block.deleted() as i64);
    listpack::push_back_int(&mut run, fields.len() as i64);
    fields.for_each(|field| listpack::push_back(&mut run, field));
    listpack::push_back_int(&mut run, 0);
    let first = block.first();
    for entry in block.entries() {
        let same_fields = entry.shares_fields();
        let flags = if entry.is_deleted() { DELETED } else { 0 } | if same_fields { SAME_FIELDS } else { 0 };
        listpack::push_back_int(&mut run, flags);
        listpack::push_back_int(&mut run, entry.id.ms.wrapping_sub(first.ms) as i64);
        listpack::push_back_int(&mut run, entry.id.seq.wrapping_sub(first.seq) as i64);
        let count = entry.field_count() as i64;
        if !same_fields {
            listpack::push_back_int(&mut run, count);
        }
        for (field, value) in entry.pairs() {
            if !same_fields {
                listpack::push_back(&mut run, field.text(&mut number));
            }
            listpack::push_back(&mut run, value.text(&mut text));
        }
        listpack::push_back_int(&mut run, if same_fields { count + 3 } else { 2 * count + 4 });
    }
    Listpack(&run).to_redis()
}

/// Reads a block's listpack, and appends the entries to the log.
pub(super) fn read_node(id: StreamId, bytes: &[u8], log: &mut LogLoader) -> Result<(), Fault> {
    read_elements(id, bytes, log).ok_or(Fault::corrupt(0, "a block of a stream is not well formed"))
}

fn read_elements(first: StreamId, bytes: &[u8], log: &mut LogLoader) -> Option<()> {
    let run = listpack::from_redis(bytes)?;
    let mut elements = Listpack(&run).iter().map(|(_, element)| element);
    let mut next = || elements.next();
    let number = |element: Option<Element<'_>>| element?.as_int();
    let (live, deleted, fields) = (number(next())?, number(next())?, number(next())?);
    // No number of elements is greater than the number of bytes that they take.
    let bounded = |count: i64| usize::try_from(count).ok().filter(|count| *count <= run.len());
    let shared: Vec<Element<'_>> = (0..bounded(fields)?).map(|_| next()).collect::<Option<_>>()?;
    (number(next())? == 0).then_some(())?;
    let entries = live.checked_add(deleted).and_then(bounded)?;
    let (mut found_deleted, mut found) = (0, Vec::new());
    for index in 0..entries {
        // The fields of a block are those of its first entry. Otherwise a small block could stand for many long fields.
        let is_first = index == 0;
        let flags = number(next())?;
        let ms = first.ms.checked_add_signed(number(next())?)?;
        let seq = first.seq.wrapping_add_signed(number(next())?);
        let same_fields = flags & SAME_FIELDS != 0;
        let count = if same_fields { shared.len() } else { bounded(number(next())?)? };
        (count > 0 && (same_fields || !is_first)).then_some(())?;
        found.clear();
        let mut fields = same_fields.then(|| shared.iter().copied());
        for _ in 0..count {
            found.push(match &mut fields {
                Some(fields) => fields.next()?,
                None => next()?,
            });
            found.push(next()?);
        }
        let len = if same_fields { count + 3 } else { 2 * count + 4 };
        (number(next())? == len as i64).then_some(())?;
        let is_deleted = flags & DELETED != 0;
        found_deleted += i64::from(is_deleted);
        let mut numbers = vec![itoa::Buffer::new(); found.len()];
        let pairs: Vec<&[u8]> = found.iter().zip(&mut numbers).map(|(element, text)| element.as_bytes(text)).collect();
        log.push(StreamId::new(ms, seq), &pairs, is_deleted).then_some(())?;
    }
    (next().is_none() && found_deleted == deleted && live > 0).then_some(())
}
