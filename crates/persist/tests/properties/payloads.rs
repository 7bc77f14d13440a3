//! Properties of DUMP's payloads, as functions of arbitrary bytes.

use std::ops::ControlFlow;

use ochre_datatypes::{
    AnyView, hash::HashLimits, list::ListLimits, set::SetLimits, sorted_set::SortedSetLimits, stream::StreamId,
};
pub use ochre_persist::rdb::payload::restore;
use ochre_persist::{
    checksum::Checksum,
    fault::Fault,
    rdb::{
        Dialect, Limits, Value, ValueView, WriteOptions,
        file::{Access, FileReader, FileWriter, Key, KeyToWrite, Record},
        payload::{self, PayloadError},
    },
};

/// The settings under which packed collections have at most this many entries.
pub fn limits(entries_max: usize) -> Limits {
    Limits {
        hash: HashLimits { entries_max, value_bytes_max: 64 },
        list: ListLimits { listpack_size_max: if entries_max == 0 { 1 } else { -2 }, plain_len_min: None },
        set: SetLimits {
            intset_entries_max: entries_max,
            listpack_entries_max: entries_max,
            listpack_value_bytes_max: 64,
        },
        sorted_set: SortedSetLimits { entries_max, member_len_max: 64 },
    }
}

/// The payloads of the reference servers, with their names.
pub fn of_references() -> Vec<(&'static str, Vec<u8>)> {
    let lines = include_str!("payloads.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').map(|(name, hex)| (name, bytes_of(hex))).expect("a name and bytes")).collect()
}

/// The payloads of older versions, with their names and with newer payloads of the same values.
pub fn older() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let lines = include_str!("older.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            [name, older, newer] => (name, bytes_of(older), bytes_of(newer)),
            _ => panic!("a name and two payloads are expected: {line}"),
        })
        .collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("the digits are ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("the digits are hexadecimal")).collect()
}

/// A payload of a server in which some bytes are changed, with the right checksum, is restored or refused. `data` says which payload and
/// which bytes.
pub fn damaged(data: &[u8]) {
    let [chosen, entries_max, changes @ ..] = data else { return };
    let mut payloads = of_references();
    payloads.extend(older().into_iter().map(|(name, payload, _)| (name, payload)));
    let (_, payload) = &payloads[usize::from(*chosen) % payloads.len()];
    let mut payload = payload[..payload.len() - 8].to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(change[0]) % payload.len();
        match change[1] % 6 {
            0 => payload[at] = change[2],
            1 => payload[at] ^= 1 << (change[2] % 8),
            2 => payload[at] = payload[at].wrapping_add(change[2] % 5).wrapping_sub(2),
            3 => payload.insert(at, change[2]),
            4 if payload.len() > 3 => drop(payload.remove(at)),
            _ => payload.truncate((at + 1).max(3)),
        }
    }
    check(payload, &limits(usize::from(*entries_max % 8)));
}

/// Any bytes behind the mark of a library are read as sources or refused, and the sources can be written again.
pub fn functions(data: &[u8]) {
    const LIBRARY: u8 = 245;
    let version = 11u16.to_le_bytes();
    let payload = [&[LIBRARY][..], data, &version, &[0; 8]].concat();
    if let Ok(sources) = payload::restore_functions(&payload) {
        for compress in [false, true] {
            let again = payload::dump_functions(sources.iter().map(Vec::as_slice), compress);
            assert_eq!(payload::restore_functions(&again).as_ref(), Ok(&sources));
        }
    }
}

/// A file of a server in which some bytes are changed is read or refused. `data` says which file and which bytes.
pub fn files(data: &[u8]) {
    let [chosen, entries_max, changes @ ..] = data else { return };
    let lines = include_str!("files.txt").lines().filter(|line| !line.starts_with('#'));
    let files: Vec<Vec<u8>> = lines.map(|line| bytes_of(line.split_once(' ').expect("a name and bytes").1)).collect();
    let mut file = files[usize::from(*chosen) % files.len()].clone();
    for change in changes.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % file.len();
        match change[2] % 4 {
            0 => file[at] = change[3],
            1 => file[at] ^= 1 << (change[3] % 8),
            2 => file.insert(at, change[3]),
            _ => file.truncate(at.max(1)),
        }
    }
    let len = file.len() as u64;
    let limits = limits(usize::from(*entries_max % 8));
    match keys_of(&file, &limits) {
        Ok(keys) => check_file(&keys, &limits),
        Err(fault) => assert!(fault.offset <= len, "{fault}"),
    }
}

/// Reads the keys of a file, each with its database.
fn keys_of(file: &[u8], limits: &Limits) -> Result<Vec<(u64, Key)>, Fault> {
    let mut reader = FileReader::new(file, *limits)?;
    let (mut database, mut keys) = (0, Vec::new());
    while let Some(record) = reader.read_record()? {
        match record {
            Record::Select(index) => database = index,
            Record::Key(key) => keys.push((database, key)),
            Record::Aux(..) | Record::Resize(..) | Record::Function(_) => {}
        }
    }
    Ok(keys)
}

/// What is written of a file's keys reads back as the same keys.
fn check_file(keys: &[(u64, Key)], limits: &Limits) {
    let described = |(database, key): &(u64, Key)| {
        // A key has an idle time or a frequency.
        let idle_s = key.idle_s.filter(|_| key.frequency.is_none());
        let value = key.value.as_ref().map(described);
        (*database, key.name.clone(), value, key.expiry_ms, idle_s, key.frequency)
    };
    let options = WriteOptions { dialect: Dialect::Redis, compress: true, now_ms: i64::MIN };
    let mut writer = FileWriter::new(Vec::new(), options, true, true);
    let written: Vec<_> = keys.iter().filter(|(_, key)| key.value.is_some()).collect();
    for (database, key) in &written {
        let access = key.frequency.map(Access::Frequency).or(key.idle_s.map(Access::Idle));
        writer.key(&KeyToWrite {
            database: *database,
            name: &key.name,
            value: view(key.value.as_ref().expect("it was looked for")),
            expiry_ms: key.expiry_ms,
            access,
        });
    }
    let file = writer.finish().expect("memory takes everything");
    let again = keys_of(&file, limits).unwrap_or_else(|fault| panic!("{fault}: {file:02x?}"));
    let before: Vec<_> = written.into_iter().map(described).collect();
    let after: Vec<_> = again.iter().map(described).collect();
    assert_eq!(before, after);
}

/// Any bytes with the right version and checksum are restored or refused.
pub fn any(data: &[u8]) {
    let [entries_max, version, value @ ..] = data else { return };
    let version: u16 = if version % 2 == 0 { 11 } else { 80 };
    check([value, &version.to_le_bytes()].concat(), &limits(usize::from(*entries_max % 8)));
}

fn check(mut payload: Vec<u8>, limits: &Limits) {
    payload.extend_from_slice(&Checksum::of(&payload).to_le_bytes());
    match restore(&payload, limits) {
        Ok(value) => check_written(value, limits),
        Err(error) => assert!(matches!(error, PayloadError::Format | PayloadError::VersionOrChecksum)),
    }
}

/// What is written of a value reads back as the same value.
pub fn check_written(value: Value, limits: &Limits) {
    let before = described(&value);
    for (dialect, compress) in [(Dialect::Redis, true), (Dialect::Valkey, false)] {
        // No field of a hash has expired at the beginning of time.
        let options = WriteOptions { dialect, compress, now_ms: i64::MIN };
        let written = payload::dump(view(&value), &options);
        let again = restore(&written, limits).unwrap_or_else(|error| panic!("{error:?}: {written:02x?}"));
        assert_eq!(before, described(&again), "{dialect:?}");
    }
}

fn view(value: &Value) -> ValueView<'_> {
    match value {
        Value::String(bytes) => ValueView::String(bytes),
        Value::Collection(collection) => ValueView::Collection(collection.view()),
    }
}

/// All that a value holds, in an order that its encoding does not influence.
pub fn described(value: &Value) -> Vec<String> {
    let view = match value {
        Value::String(bytes) => return vec![bytes.escape_ascii().to_string()],
        Value::Collection(collection) => collection.view(),
    };
    let mut parts = Vec::new();
    match view {
        AnyView::List(list) => parts.extend(list.iter().map(|element| format!("{element:?}"))),
        AnyView::Set(set) => {
            parts.extend(set.iter().map(|member| member.to_vec().escape_ascii().to_string()));
            parts.sort();
        }
        AnyView::SortedSet(set) => {
            let _ = set.walk(0..set.len(), false, |score, member| {
                parts.push(format!("{score:?} {}", member.to_vec().escape_ascii()));
                ControlFlow::Continue(())
            });
        }
        AnyView::Hash(hash) => {
            hash.for_each(|field| {
                let [name, value] = [field.name, field.value].map(|it| it.to_vec().escape_ascii().to_string());
                parts.push(format!("{name} {value} {:?}", field.expiry_ms));
            });
            parts.sort();
        }
        AnyView::Stream(stream) => {
            let log = stream.log();
            parts.push(format!("{:?}", (log.len(), log.first_id(), log.last_id(), log.max_deleted_id())));
            parts.push(format!("{}", log.entries_added()));
            for entry in log.range(StreamId::MIN, StreamId::MAX) {
                parts.push(format!("{:?} {:?}", entry.id, entry.pairs().collect::<Vec<_>>()));
            }
            for (name, group) in stream.groups() {
                parts.push(format!("{} {:?} {:?}", name.escape_ascii(), group.last_id, group.entries_read));
                parts.extend(group.pending(StreamId::MIN, StreamId::MAX).map(|(id, delivery)| {
                    let name = group.consumer(delivery.consumer).name().escape_ascii();
                    format!("{id:?} {} {} {name}", delivery.at_ms, delivery.count)
                }));
                parts.extend(group.consumers().map(|consumer| format!("{consumer:?}")));
            }
        }
    }
    parts
}
