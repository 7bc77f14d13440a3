//! Reading a stream: its blocks, its state, its groups with their consumers and pending entries.

use std::collections::HashMap;

use ochre_datatypes::stream::{ConsumerNumber, Delivery, Group, LogLoader, NewState, Stream, StreamId};

use super::{
    super::node::{self, node_id},
    Source, array, codes, len, string, time_ms, with_string, within,
};
use crate::fault::Fault;

/// A group does not know how many entries it has read. (Redis: `SCG_INVALID_ENTRIES_READ`)
const READ_UNKNOWN: i64 = -1;

/// Reads a stream of any of the three versions.
pub(super) fn stream(source: &mut impl Source, value_type: u8) -> Result<Stream, Fault> {
    let begin = source.offset();
    let mut log = LogLoader::default();
    for _ in 0..len(source)? {
        let at = source.offset();
        let id = with_string(source, node_id)?.ok_or(Fault::corrupt(at, "the ID of a stream's block has 16 bytes"))?;
        log.begin_block();
        let at = source.offset();
        let read = with_string(source, |bytes| node::read_node(id, bytes, &mut log))?;
        within(at, read)?;
    }
    let length = len(source)?;
    if length != log.len() {
        return Err(Fault::corrupt(begin, "a stream's length is not the number of its entries"));
    }
    let last_id = stream_id(source)?;
    let mut state = NewState { last_id, entries_added: None, max_deleted_id: None };
    if value_type != codes::STREAM_LISTPACKS {
        // The ID of the first entry, which the entries tell.
        stream_id(source)?;
        state.max_deleted_id = Some(stream_id(source)?);
        state.entries_added = Some(len(source)? as i64);
    }
    let invalid_state = Fault::corrupt(begin, "a stream's state is not one of its entries");
    let log = log.finish(&state).ok_or(invalid_state)?;
    let mut stream = Stream::from_log(log);
    for _ in 0..len(source)? {
        let at = source.offset();
        let name = string(source)?;
        let group = group(source, value_type, &stream)?;
        let (_, groups) = stream.parts_mut();
        if groups.insert(name.into(), group).is_some() {
            return Err(Fault::corrupt(at, "a stream has a group twice"));
        }
    }
    Ok(stream)
}

fn stream_id(source: &mut impl Source) -> Result<StreamId, Fault> {
    Ok(StreamId::new(len(source)?, len(source)?))
}

fn group(source: &mut impl Source, value_type: u8, stream: &Stream) -> Result<Group, Fault> {
    let last_id = stream_id(source)?;
    let entries_read = match value_type {
        codes::STREAM_LISTPACKS => stream.log().entries_up_to(last_id),
        _ => Some(len(source)? as i64).filter(|read| *read != READ_UNKNOWN),
    };
    let mut group = Group::new(last_id, entries_read);
    let mut deliveries = HashMap::new();
    for _ in 0..len(source)? {
        let at = source.offset();
        let id = raw_id(source)?;
        let at_ms = time_ms(source)?;
        let count = len(source)?;
        if deliveries.insert(id, (at_ms, count)).is_some() {
            return Err(Fault::corrupt(at, "an entry is pending twice in a group"));
        }
    }
    for _ in 0..len(source)? {
        let at = source.offset();
        let name = string(source)?;
        let seen_ms = time_ms(source)?;
        let (number, is_new) = group.consumer_or_new(&name, seen_ms);
        if !is_new {
            return Err(Fault::corrupt(at, "a group has a consumer twice"));
        }
        // Before the third version, a consumer was seen only when it was active.
        let active_ms = if value_type == codes::STREAM_LISTPACKS_3 { time_ms(source)? } else { seen_ms };
        group.consumer_mut(number).active_ms = (active_ms != -1).then_some(active_ms);
        pending_of(source, &mut group, number, &mut deliveries)?;
    }
    if deliveries.is_empty() {
        Ok(group)
    } else {
        Err(Fault::corrupt(source.offset(), "an entry is pending with no consumer"))
    }
}

/// Reads which of the group's pending entries are with a consumer.
fn pending_of(
    source: &mut impl Source,
    group: &mut Group,
    consumer: ConsumerNumber,
    deliveries: &mut HashMap<StreamId, (i64, u64)>,
) -> Result<(), Fault> {
    for _ in 0..len(source)? {
        let at = source.offset();
        let id = raw_id(source)?;
        let unknown = Fault::corrupt(at, "an entry is pending with a consumer, but not in its group");
        let (at_ms, count) = deliveries.remove(&id).ok_or(unknown)?;
        group.set_delivery(id, Delivery { at_ms, count, consumer });
    }
    Ok(())
}

/// Reads an ID in 16 bytes, the highest first.
fn raw_id(source: &mut impl Source) -> Result<StreamId, Fault> {
    let bytes: [u8; 16] = array(source)?;
    Ok(node_id(&bytes).expect("the ID has 16 bytes"))
}
