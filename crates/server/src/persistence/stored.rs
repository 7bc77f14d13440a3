//! Entries as they are stored in files and payloads: between the keyspace's values and those of `ochre_persist`.

use ochre_datatypes::{hash::HashLimits, list::ListLimits, set::SetLimits, sorted_set::SortedSetLimits};
use ochre_keyspace::{AccessClock, Entry, EntryRef, NewValue, ValueRef};
use ochre_persist::rdb::{Dialect, Limits, Value, ValueView, WriteOptions, file::Access};

use crate::config::{Config, RdbDialect};

/// How values are written at this time, in milliseconds since 1970.
pub fn write_options(config: &Config, now_ms: i64) -> WriteOptions {
    let dialect = match config.rdb_dialect {
        RdbDialect::Redis => Dialect::Redis,
        RdbDialect::Valkey => Dialect::Valkey,
    };
    WriteOptions { dialect, compress: config.rdbcompression, now_ms }
}

/// In which forms collections are made. `plain_len_min` is [`crate::server::Server::plain_len_min`].
pub fn limits(config: &Config, plain_len_min: Option<usize>) -> Limits {
    Limits {
        hash: HashLimits {
            entries_max: config.hash_max_listpack_entries,
            value_bytes_max: config.hash_max_listpack_value,
        },
        list: ListLimits { listpack_size_max: config.list_max_listpack_size, plain_len_min },
        set: SetLimits {
            intset_entries_max: config.set_max_intset_entries,
            listpack_entries_max: config.set_max_listpack_entries,
            listpack_value_bytes_max: config.set_max_listpack_value,
        },
        sorted_set: SortedSetLimits {
            entries_max: config.zset_max_listpack_entries,
            member_len_max: config.zset_max_listpack_value,
        },
    }
}

/// The value of an entry, to be written.
pub fn view(entry: EntryRef<'_>) -> ValueView<'_> {
    match entry.any_collection() {
        Some(collection) => ValueView::Collection(collection),
        None => match entry.value() {
            ValueRef::Integer(integer) => ValueView::Integer(integer),
            ValueRef::Bytes(bytes) => ValueView::String(bytes),
        },
    }
}

/// An entry with a value that was read. `expiry_ms` is in milliseconds since 1970, `access` an access clock.
pub fn entry(key: &[u8], value: Value, expiry_ms: Option<i64>, access: u32) -> Entry {
    match value {
        Value::String(bytes) => Entry::new(key, NewValue::from_bytes(&bytes), expiry_ms, access),
        Value::Collection(collection) => Entry::with_any(key, collection, expiry_ms, access),
    }
}

/// How an entry was used, as a file says it: if keys are evicted by that. (Redis: `rdbSaveKeyValuePair`)
pub fn access(config: &Config, clock: AccessClock, access: u32) -> Option<Access> {
    if config.maxmemory_policy.is_lru() || config.maxmemory_policy.is_lrm() {
        Some(Access::Idle(u64::from(clock.idle_s(access))))
    } else if config.maxmemory_policy.is_lfu() {
        Some(Access::Frequency(clock.frequency(access) as u8))
    } else {
        None
    }
}
