//! Writing a value, in the encoding that is nearest to the form in which Ochre keeps it.

use ochre_datatypes::{
    AnyView,
    hash::HashView,
    intset::Intset,
    list::{ListView, NodeView},
    listpack::Listpack,
    set::SetView,
    sorted_set::SortedSetView,
    stream::{Stream, StreamId},
};

use super::{
    ValueView,
    codes::{self, Dialect},
    node::{id_bytes, write_node},
    output::{Output, put_integer, put_len, put_string},
};

/// How values are written.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// How the expiries of fields are written. All else is the same in both dialects.
    pub dialect: Dialect,
    /// Whether strings are compressed, if that makes them shorter.
    pub compress: bool,
    /// The time at which the values are written, in milliseconds since 1970: fields that have expired by then are left out.
    pub now_ms: i64,
}

/// The forms of a hash in a file.
enum HashForm<'a> {
    /// A listpack of fields and values.
    Listpack(Listpack<'a>),
    /// A listpackex without expired fields, and its first expiry.
    ListpackEx(Listpack<'a>, i64),
    /// Field by field, without expiries.
    Fields(HashView<'a>),
    /// Field by field, with expiries.
    Expiring(HashView<'a>),
}

impl HashForm<'_> {
    fn of<'a>(hash: HashView<'a>, options: &WriteOptions) -> HashForm<'a> {
        let hash = hash.at(options.now_ms);
        let first_expiry_ms = hash.first_expiry_ms();
        match (hash.packed(), first_expiry_ms) {
            (Some((run, false)), _) => HashForm::Listpack(run),
            (Some((run, true)), Some(first_ms)) if options.dialect == Dialect::Redis && first_ms >= options.now_ms => {
                HashForm::ListpackEx(run, first_ms)
            }
            (_, None) => HashForm::Fields(hash),
            (_, Some(_)) => HashForm::Expiring(hash),
        }
    }
}

/// Returns the number of [`codes`] for the value's type and for the encoding in which it is written.
pub fn value_type(value: ValueView<'_>, options: &WriteOptions) -> u8 {
    let collection = match value {
        ValueView::Integer(_) | ValueView::String(_) => return codes::STRING,
        ValueView::Collection(collection) => collection,
    };
    match collection {
        AnyView::List(_) => codes::LIST_QUICKLIST_2,
        AnyView::Set(SetView::Ints(_)) => codes::SET_INTSET,
        AnyView::Set(SetView::Listpack(_)) => codes::SET_LISTPACK,
        AnyView::Set(SetView::Table(_)) => codes::SET,
        AnyView::SortedSet(SortedSetView::Packed(_)) => codes::ZSET_LISTPACK,
        AnyView::SortedSet(SortedSetView::Tree(_)) => codes::ZSET_2,
        AnyView::Hash(hash) => match HashForm::of(hash, options) {
            HashForm::Listpack(_) => codes::HASH_LISTPACK,
            HashForm::ListpackEx(..) => codes::HASH_LISTPACK_EX,
            HashForm::Fields(_) => codes::HASH,
            HashForm::Expiring(_) if options.dialect == Dialect::Redis => codes::HASH_METADATA,
            HashForm::Expiring(_) => codes::HASH_2,
        },
        AnyView::Stream(_) => codes::STREAM_LISTPACKS_3,
    }
}

/// Writes a value, without its type.
pub fn write_value(out: &mut impl Output, value: ValueView<'_>, options: &WriteOptions) {
    let compress = options.compress;
    let collection = match value {
        ValueView::Integer(integer) => return put_integer(out, integer),
        ValueView::String(bytes) => return put_string(out, bytes, compress),
        ValueView::Collection(collection) => collection,
    };
    match collection {
        AnyView::List(list) => write_list(out, list, compress),
        AnyView::Set(SetView::Ints(ints)) => put_string(out, &intset_bytes(ints), compress),
        AnyView::Set(SetView::Listpack(run)) => put_listpack(out, run, compress),
        AnyView::Set(set @ SetView::Table(_)) => {
            put_len(out, set.len() as u64);
            let mut text = itoa::Buffer::new();
            set.iter().for_each(|member| put_string(out, member.as_bytes(&mut text), compress));
        }
        AnyView::SortedSet(SortedSetView::Packed(run)) => put_listpack(out, run, compress),
        AnyView::SortedSet(set @ SortedSetView::Tree(_)) => {
            put_len(out, set.len() as u64);
            let mut text = itoa::Buffer::new();
            // Redis loads elements fastest from the greatest to the least.
            let _ = set.walk(0..set.len(), true, |score, member| {
                put_string(out, member.as_bytes(&mut text), compress);
                out.put(&score.to_le_bytes());
                std::ops::ControlFlow::Continue(())
            });
        }
        AnyView::Hash(hash) => write_hash(out, hash, options),
        AnyView::Stream(stream) => write_stream(out, stream, compress),
    }
}

fn put_listpack(out: &mut impl Output, run: Listpack<'_>, compress: bool) {
    put_string(out, &run.to_redis(), compress);
}

fn intset_bytes(ints: Intset<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + ints.bytes().len());
    bytes.extend_from_slice(&(ints.width().bytes() as u32).to_le_bytes());
    bytes.extend_from_slice(&(ints.len() as u32).to_le_bytes());
    bytes.extend_from_slice(ints.bytes());
    bytes
}

fn write_list(out: &mut impl Output, list: ListView<'_>, compress: bool) {
    put_len(out, list.node_count() as u64);
    list.for_each_node(|node| match node {
        NodeView::Packed(run) => {
            put_len(out, codes::NODE_PACKED);
            put_listpack(out, run, compress);
        }
        NodeView::Plain(element) => {
            put_len(out, codes::NODE_PLAIN);
            put_string(out, element, compress);
        }
    });
}

fn write_hash(out: &mut impl Output, hash: HashView<'_>, options: &WriteOptions) {
    let compress = options.compress;
    let (mut name, mut value) = (itoa::Buffer::new(), itoa::Buffer::new());
    match HashForm::of(hash, options) {
        HashForm::Listpack(run) => put_listpack(out, run, compress),
        HashForm::ListpackEx(run, first_ms) => {
            out.put(&first_ms.to_le_bytes());
            put_listpack(out, run, compress);
        }
        HashForm::Fields(hash) => {
            put_len(out, hash.len() as u64);
            hash.for_each(|field| {
                put_string(out, field.name.as_bytes(&mut name), compress);
                put_string(out, field.value.as_bytes(&mut value), compress);
            });
        }
        HashForm::Expiring(hash) => {
            // Expired fields count as absent, but one of them may have the first expiry.
            let first_ms = hash.first_expiry_ms().unwrap_or_default();
            if options.dialect == Dialect::Redis {
                out.put(&first_ms.to_le_bytes());
            }
            put_len(out, hash.len() as u64);
            hash.for_each(|field| {
                if options.dialect == Dialect::Redis {
                    put_len(out, field.expiry_ms.map_or(0, |expiry_ms| expiry_ms.abs_diff(first_ms) + 1));
                }
                put_string(out, field.name.as_bytes(&mut name), compress);
                put_string(out, field.value.as_bytes(&mut value), compress);
                if options.dialect == Dialect::Valkey {
                    out.put(&field.expiry_ms.unwrap_or(-1).to_le_bytes());
                }
            });
        }
    }
}

fn write_stream(out: &mut impl Output, stream: &Stream, compress: bool) {
    let log = stream.log();
    put_len(out, log.blocks().len() as u64);
    for block in log.blocks() {
        put_string(out, &id_bytes(block.first()), compress);
        put_string(out, &write_node(block), compress);
    }
    put_len(out, log.len());
    for id in [log.last_id(), log.first_id(), log.max_deleted_id()] {
        put_len(out, id.ms);
        put_len(out, id.seq);
    }
    put_len(out, log.entries_added() as u64);
    put_len(out, stream.groups().len() as u64);
    for (name, group) in stream.groups() {
        put_string(out, name, compress);
        put_len(out, group.last_id.ms);
        put_len(out, group.last_id.seq);
        put_len(out, group.entries_read.unwrap_or(-1) as u64);
        put_len(out, group.pending_len() as u64);
        for (id, delivery) in group.pending(StreamId::MIN, StreamId::MAX) {
            out.put(&id_bytes(id));
            out.put(&delivery.at_ms.to_le_bytes());
            put_len(out, delivery.count);
        }
        put_len(out, group.consumers().len() as u64);
        for consumer in group.consumers() {
            put_string(out, consumer.name(), compress);
            out.put(&consumer.seen_ms.to_le_bytes());
            out.put(&consumer.active_ms.unwrap_or(-1).to_le_bytes());
            put_len(out, consumer.pending_len() as u64);
            consumer.pending_ids().for_each(|id| out.put(&id_bytes(id)));
        }
    }
}
