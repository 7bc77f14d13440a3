//! The keyspace is compared with a model: ordered maps and a clock.

mod snapshot;

use std::{alloc::Layout, collections::BTreeMap, ops::Range, ptr::NonNull};

use ochre_datatypes::{
    Encoding,
    list::{End, List, ListLimits},
};
use ochre_keyspace::{
    AccessClock, DatabaseSize, Edited, Entered, Entry, EntryRef, ExpiredWhat, ExpiryChange, Keyspace, LockSet, Met,
    Missing, NewValue, RandomKey, Relocated, Relocator, ScanPosition, ShardList, ValueRef, Visit, Visited, Walk,
    Writer,
};
use proptest::prelude::*;

const DATABASES: usize = 3;

#[derive(Clone, Debug, PartialEq)]
struct ModelEntry {
    value: ModelValue,
    expiry_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
enum ModelValue {
    String(Vec<u8>),
    /// Stands for all collections, since the keyspace treats them alike.
    List(Vec<Vec<u8>>),
}

const LIMITS: ListLimits = ListLimits { listpack_size_max: -2, plain_len_min: None };

type Model = BTreeMap<(usize, Vec<u8>), ModelEntry>;

#[derive(Clone, Debug)]
enum Step {
    Set { database: usize, key: u16, value: Vec<u8>, expiry: Option<i64> },
    SetKeeping { database: usize, key: u16, value: Vec<u8> },
    Append { database: usize, key: u16, bytes: Vec<u8> },
    Push { database: usize, key: u16, value: Vec<u8>, count: usize },
    Pop { database: usize, key: u16, count: usize },
    Expire { database: usize, key: u16, expiry: Option<i64> },
    Remove { database: usize, key: u16 },
    Rename { database: usize, from: u16, to: u16 },
    Copy { from: (usize, u16), to: (usize, u16) },
    Flush { databases: Range<usize> },
    Swap { a: usize, b: usize },
    Pass { milliseconds: i64 },
    ExpireDue,
    Relocate { every: usize, at_a_time: usize },
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..80),
        (250usize..262).prop_map(|n| vec![b'x'; n]),
        (4090usize..4100).prop_map(|n| vec![b'y'; n]),
        Just(vec![b'z'; 70_000]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let database = 0..DATABASES;
    let key = prop_oneof![0u16..20, 0u16..2000];
    let expiry = prop::option::of(0i64..500);
    prop_oneof![
        8 => (database.clone(), key.clone(), value(), expiry.clone())
            .prop_map(|(database, key, value, expiry)| Step::Set { database, key, value, expiry }),
        2 => (database.clone(), key.clone(), value())
            .prop_map(|(database, key, value)| Step::SetKeeping { database, key, value }),
        2 => (database.clone(), key.clone(), prop::collection::vec(any::<u8>(), 0..700))
            .prop_map(|(database, key, bytes)| Step::Append { database, key, bytes }),
        4 => (database.clone(), 0u16..20, prop::collection::vec(any::<u8>(), 0..90), prop_oneof![1usize..5, 1usize..300])
            .prop_map(|(database, key, value, count)| Step::Push { database, key, value, count }),
        3 => (database.clone(), 0u16..20, prop_oneof![1usize..5, 1usize..300])
            .prop_map(|(database, key, count)| Step::Pop { database, key, count }),
        3 => (database.clone(), key.clone(), expiry)
            .prop_map(|(database, key, expiry)| Step::Expire { database, key, expiry }),
        4 => (database.clone(), key.clone()).prop_map(|(database, key)| Step::Remove { database, key }),
        1 => (database.clone(), key.clone(), key.clone())
            .prop_map(|(database, from, to)| Step::Rename { database, from, to }),
        1 => ((database.clone(), key.clone()), (database.clone(), key)).prop_map(|(from, to)| Step::Copy { from, to }),
        1 => (database.clone(), database.clone())
            .prop_map(|(a, b)| Step::Flush { databases: a.min(b)..a.max(b) + 1 }),
        1 => (database.clone(), database).prop_map(|(a, b)| Step::Swap { a, b }),
        2 => (0i64..100).prop_map(|milliseconds| Step::Pass { milliseconds }),
        2 => Just(Step::ExpireDue),
        2 => (1usize..4, 1usize..200).prop_map(|(every, at_a_time)| Step::Relocate { every, at_a_time }),
    ]
}

/// Moves one entry in so many.
struct Every {
    every: usize,
    chosen: usize,
}

// SAFETY: `allocate` is that of the global allocator.
unsafe impl Relocator for Every {
    fn choose(&mut self, blocks: &[NonNull<u8>], choose: &mut dyn FnMut(usize)) {
        for index in (0..blocks.len()).step_by(self.every) {
            self.chosen += 1;
            choose(index);
        }
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the size of an entry is not zero.
        NonNull::new(unsafe { std::alloc::alloc(layout) })
    }

    unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: by the caller's promise.
        unsafe { std::alloc::dealloc(block.as_ptr(), layout) };
    }
}

/// Returns the name of a key. Some are long, so that both forms of the length of a key are used.
fn name(key: u16) -> Vec<u8> {
    let mut name = format!("key:{key}").into_bytes();
    if key.is_multiple_of(7) {
        name.resize(256 + key as usize % 40, 0);
    }
    name
}

fn enter(keyspace: &Keyspace) -> Entered<'_> {
    keyspace.gate().enter(0, Visit::Brief, &mut None).expect("the gate is open")
}

fn whole(keyspace: &Keyspace, now_ms: i64) -> LockSet<'_> {
    let mut set = LockSet::whole(keyspace, keyspace.gate().close(&mut None).expect("there is no other visit"), 0);
    set.set_clock(now_ms, AccessClock::lru(now_ms));
    set
}

fn value_of(entry: EntryRef<'_>) -> ModelValue {
    if let Ok(list) = entry.collection::<List>() {
        return ModelValue::List(
            list.iter().map(|element| element.as_bytes(&mut itoa::Buffer::new()).to_vec()).collect(),
        );
    }
    ModelValue::String(match entry.value() {
        ValueRef::Integer(n) => n.to_string().into_bytes(),
        ValueRef::Bytes(bytes) => bytes.to_vec(),
    })
}

fn next(visited: Visited) -> Option<ScanPosition> {
    match visited {
        Visited::UpTo(position) => Some(position),
        Visited::All => None,
        Visited::Busy(busy) => panic!("there is no other visit: {busy:?}"),
    }
}

/// Returns everything that a scan finds which visits `count` keys at a time.
fn scan(keyspace: &Keyspace, database: usize, now_ms: i64, count: usize) -> BTreeMap<Vec<u8>, ModelEntry> {
    let mut found = BTreeMap::new();
    let mut position = Some(ScanPosition::START);
    while let Some(from) = position {
        let walk = Walk::new(keyspace, enter(keyspace), now_ms, false);
        let seen = std::cell::Cell::new(0);
        let mut visit = |met: Met<'_>| {
            seen.set(seen.get() + 1);
            let entry = match met {
                Met::Live(entry) => entry,
                Met::Expired(entry) => return assert!(entry.is_expired(now_ms)),
            };
            let was =
                found.insert(entry.key().to_vec(), ModelEntry { value: value_of(entry), expiry_ms: entry.expiry_ms() });
            assert!(was.is_none(), "a scan of a table that does not change returns each key once");
        };
        position = next(walk.walker().visit(database, from, &mut visit, &mut || seen.get() >= count));
    }
    found
}

fn apply(keyspace: &Keyspace, model: &mut Model, now_ms: &mut i64, step: Step) {
    let mut set = whole(keyspace, *now_ms);
    let alive = |model: &Model, database: usize, key: &[u8], now_ms: i64| {
        model.get(&(database, key.to_vec())).filter(|e| e.expiry_ms.is_none_or(|at| now_ms <= at)).cloned()
    };
    match step {
        Step::Set { database, key, value, expiry } => {
            let (key, expiry) = (name(key), expiry.map(|after| *now_ms + after));
            let change = expiry.map_or(ExpiryChange::Clear, ExpiryChange::At);
            let existed = set.writer().set(database, keyspace.hash(&key), NewValue::from_bytes(&value), change);
            assert_eq!(existed.is_some(), alive(model, database, &key, *now_ms).is_some());
            model.insert((database, key), ModelEntry { value: ModelValue::String(value), expiry_ms: expiry });
        }
        Step::SetKeeping { database, key, value } => {
            let key = name(key);
            let expiry_ms = alive(model, database, &key, *now_ms).and_then(|entry| entry.expiry_ms);
            set.writer().set(database, keyspace.hash(&key), NewValue::from_bytes(&value), ExpiryChange::Keep);
            model.insert((database, key), ModelEntry { value: ModelValue::String(value), expiry_ms });
        }
        Step::Append { database, key, bytes } => {
            let key = name(key);
            let before = alive(model, database, &key, *now_ms);
            if matches!(before, Some(ModelEntry { value: ModelValue::List(_), .. })) {
                return;
            }
            let len = set.writer().modify(database, keyspace.hash(&key), |value| {
                value.extend_from_slice(&bytes);
                value.len()
            });
            match before {
                Some(ModelEntry { value: ModelValue::String(mut value), expiry_ms }) => {
                    value.extend(bytes);
                    assert_eq!(len, Some(value.len()));
                    model.insert((database, key), ModelEntry { value: ModelValue::String(value), expiry_ms });
                }
                _ => {
                    assert_eq!(len, None);
                    model.remove(&(database, key));
                }
            }
        }
        Step::Push { database, key, value, count } => {
            let key = name(key);
            let pushed = set.writer().edit::<List, _>(database, keyspace.hash(&key), Missing::Create, |list| {
                list.push(End::Right, vec![&*value; count].into_iter(), &LIMITS)
            });
            let before = alive(model, database, &key, *now_ms);
            match before {
                Some(ModelEntry { value: ModelValue::String(_), .. }) => assert!(pushed.is_err()),
                other => {
                    let created = other.is_none();
                    let mut entry = other.unwrap_or(ModelEntry { value: ModelValue::List(vec![]), expiry_ms: None });
                    let ModelValue::List(values) = &mut entry.value else { unreachable!() };
                    values.extend(vec![value; count]);
                    assert_eq!(pushed, Ok(Some(Edited { result: values.len(), created, removed: false })));
                    model.insert((database, key), entry);
                }
            }
        }
        Step::Pop { database, key, count } => {
            let key = name(key);
            let popped = set.writer().edit::<List, _>(database, keyspace.hash(&key), Missing::Skip, |list| {
                list.pop(End::Left, count, &LIMITS, |_| {})
            });
            match alive(model, database, &key, *now_ms) {
                Some(ModelEntry { value: ModelValue::String(_), .. }) => assert!(popped.is_err()),
                Some(ModelEntry { value: ModelValue::List(mut values), expiry_ms }) => {
                    let result = count.min(values.len());
                    values.drain(..result);
                    let removed = values.is_empty();
                    assert_eq!(popped, Ok(Some(Edited { result, created: false, removed })));
                    if removed {
                        model.remove(&(database, key));
                    } else {
                        model.insert((database, key), ModelEntry { value: ModelValue::List(values), expiry_ms });
                    }
                }
                None => {
                    assert_eq!(popped, Ok(None));
                    model.remove(&(database, key));
                }
            }
        }
        Step::Expire { database, key, expiry } => {
            let (key, expiry_ms) = (name(key), expiry.map(|after| *now_ms + after));
            let there = set.writer().set_expiry(database, keyspace.hash(&key), expiry_ms);
            let before = alive(model, database, &key, *now_ms);
            assert_eq!(there, before.is_some());
            match before {
                Some(entry) => drop(model.insert((database, key), ModelEntry { expiry_ms, ..entry })),
                None => drop(model.remove(&(database, key))),
            }
        }
        Step::Remove { database, key } => {
            let key = name(key);
            let there = set.writer().remove(database, keyspace.hash(&key));
            assert_eq!(there, alive(model, database, &key, *now_ms).is_some());
            model.remove(&(database, key));
        }
        Step::Rename { database, from, to } => {
            let (from, to) = (name(from), name(to));
            let mut writer: Writer<'_> = set.writer();
            let taken = writer.take(database, keyspace.hash(&from));
            let before = alive(model, database, &from, *now_ms);
            model.remove(&(database, from));
            assert_eq!(taken.is_some(), before.is_some());
            if let (Some(entry), Some(before)) = (taken, before) {
                writer.put(database, keyspace.hash(&to), entry.renamed(&to));
                model.insert((database, to), before);
            }
        }
        Step::Copy { from, to } => {
            let (from, to) = ((from.0, name(from.1)), (to.0, name(to.1)));
            let mut writer = set.writer();
            let copy = writer.get(from.0, keyspace.hash(&from.1)).map(|entry| Entry::duplicate(entry, &to.1));
            if let Some(copy) = copy {
                writer.put(to.0, keyspace.hash(&to.1), copy);
                model.insert(to, model[&from].clone());
            }
        }
        Step::Flush { databases } => {
            let removed = set.whole_keyspace().flush(databases.clone());
            let before = model.len();
            model.retain(|(database, _), _| !databases.contains(database));
            // The keyspace may have removed expired keys before, which the model still holds.
            assert!(removed <= before - model.len());
        }
        Step::Swap { a, b } => {
            set.whole_keyspace().swap(a, b);
            *model = std::mem::take(model)
                .into_iter()
                .map(|((database, key), entry)| {
                    let swapped = if database == a {
                        b
                    } else if database == b {
                        a
                    } else {
                        database
                    };
                    ((swapped, key), entry)
                })
                .collect();
        }
        Step::Pass { milliseconds } => *now_ms += milliseconds,
        Step::Relocate { every, at_a_time } => {
            let mut relocator = Every { every, chosen: 0 };
            let mut relocated = Relocated::default();
            for shard in 0..keyspace.shards() {
                let mut next = Some((0, ScanPosition::of_shard(shard)));
                while let Some(from) = next {
                    next = set.writer().relocate(from, at_a_time, &mut relocator, &mut relocated);
                }
            }
            // Arrays of slots are chosen too.
            assert!(relocated.moved <= relocator.chosen && (every > 1 || relocated.moved == relocated.seen));
            assert!(relocated.seen >= model.values().filter(|it| it.expiry_ms.is_none()).count());
        }
        Step::ExpireDue => {
            drop(set);
            let mut due = Vec::new();
            keyspace.due_shards(0, *now_ms, &mut due);
            for shard in due {
                let mut shards = ShardList::new();
                shards.push(shard as u16);
                let mut set = LockSet::try_lock(keyspace, enter(keyspace), shards).expect("there is no other visit");
                set.set_clock(*now_ms, AccessClock::lru(*now_ms));
                while set.writer().expire_one(shard) {}
                for expired in set.take_expired() {
                    let ExpiredWhat::Key(entry) = &expired.what else { panic!("no step creates a hash: {expired:?}") };
                    let key = (expired.database, entry.view().key().to_vec());
                    let expected = model.remove(&key);
                    assert!(
                        expected.is_none_or(|entry| entry.expiry_ms.is_some_and(|at| at < *now_ms)),
                        "only a key that is due expires"
                    );
                }
            }
            model.retain(|_, entry| entry.expiry_ms.is_none_or(|at| *now_ms <= at));
            assert_sizes(keyspace, model);
            // Nothing is due after that.
            let mut due = Vec::new();
            let next_ms = keyspace.due_shards(0, *now_ms, &mut due);
            assert!(due.is_empty());
            let first = model.values().filter_map(|entry| entry.expiry_ms).min();
            assert_eq!(next_ms, first.unwrap_or(i64::MAX));
        }
    }
}

/// Checks the counters against the model, which must not contain expired keys.
fn assert_sizes(keyspace: &Keyspace, model: &Model) {
    for (database, size) in keyspace.sizes(0, 0..DATABASES).into_iter().enumerate() {
        let entries = || model.iter().filter(|((other, _), _)| *other == database).map(|(_, entry)| entry);
        let expiries: Vec<i64> = entries().filter_map(|entry| entry.expiry_ms).collect();
        let mean_ms = expiries.iter().sum::<i64>().checked_div(expiries.len() as i64).unwrap_or(0);
        assert!((size.mean_expiry_ms - mean_ms).abs() <= 16, "{} instead of {mean_ms}", size.mean_expiry_ms);
        let DatabaseSize { keys, expires, with_expiring_fields, .. } = size;
        assert_eq!((keys, expires, with_expiring_fields), (entries().count(), expiries.len(), 0));
    }
}

fn check_all(keyspace: &Keyspace, model: &Model, now_ms: i64) {
    for database in 0..DATABASES {
        let expected: BTreeMap<Vec<u8>, ModelEntry> = model
            .iter()
            .filter(|((other, _), entry)| *other == database && entry.expiry_ms.is_none_or(|at| now_ms <= at))
            .map(|((_, key), entry)| (key.clone(), entry.clone()))
            .collect();
        assert_eq!(scan(keyspace, database, now_ms, 10), expected);
        let mut draws = 0x9e37_79b9_7f4a_7c15_u64;
        for removes_expired in [false, true] {
            let walk = Walk::new(keyspace, enter(keyspace), now_ms, removes_expired);
            let random = walk.walker().random_key(database, || {
                draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                draws
            });
            match random.expect("there is no other visit") {
                RandomKey::Found(key) => assert!(expected.contains_key(&*key)),
                RandomKey::Expired(key) => {
                    assert!(removes_expired, "an expired key is passed over");
                    let entry = &model[&(database, key.into_vec())];
                    assert!(entry.expiry_ms.is_some_and(|at| now_ms > at));
                }
                RandomKey::None => assert!(expected.is_empty()),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_the_model(steps in prop::collection::vec(step(), 1..400)) {
        let keyspace = Keyspace::new(1, DATABASES, (1, 2), |_| {});
        let mut model = Model::new();
        let mut now_ms = 1_000_000;
        for step in steps {
            apply(&keyspace, &mut model, &mut now_ms, step);
        }
        check_all(&keyspace, &model, now_ms);
    }
}

/// The tables of a few shards get so many keys that they split into segments, and lose them again.
#[test]
fn grows_and_shrinks_without_losing_a_key() {
    const KEYS: u64 = 300_000;
    let keyspace = Keyspace::new(1, DATABASES, (3, 4), |_| {});
    // All keys are in eight shards, so that their tables become large.
    let keys: Vec<Vec<u8>> = (0u64..)
        .map(|i| format!("k{i}").into_bytes())
        .filter(|key| keyspace.shard_of(keyspace.hash(key).hash) < 8)
        .take((KEYS / 10) as usize)
        .collect();
    let mut set = whole(&keyspace, 0);
    for (i, key) in keys.iter().enumerate() {
        let value = i.to_string();
        set.writer().set(0, keyspace.hash(key), NewValue::from_bytes(value.as_bytes()), ExpiryChange::Clear);
    }
    let mut left: Vec<(usize, &Vec<u8>)> = keys.iter().enumerate().collect();
    while !left.is_empty() {
        for &(i, key) in &left {
            let value = set.reader().get(0, keyspace.hash(key)).map(value_of);
            assert_eq!(value, Some(ModelValue::String(i.to_string().into_bytes())));
        }
        assert_eq!(keyspace.len_of(0, 0), left.len());
        // Remove every second key, then half of the rest, and so on.
        let (gone, stays): (Vec<_>, Vec<_>) =
            left.iter().partition(|(i, _)| (i / (KEYS as usize / 100 + 1) + i).is_multiple_of(2));
        let gone = if stays.len() == left.len() { left.clone() } else { gone };
        for (_, key) in &gone {
            assert!(set.writer().remove(0, keyspace.hash(key)));
        }
        left = if gone.len() == left.len() { Vec::new() } else { stays };
    }
    assert_eq!(keyspace.sizes(0, 0..1), [DatabaseSize::default()]);
    let slots = set.whole_keyspace().slots(0);
    assert!(slots < 4096 * 8, "an empty table frees its slots, but {slots} are left");
}

/// A scan returns every key that is there from its beginning to its end, however the table grows and shrinks meanwhile.
#[test]
fn a_scan_returns_all_keys_that_stay() {
    let keyspace = Keyspace::new(1, DATABASES, (5, 6), |_| {});
    let stays: Vec<Vec<u8>> = (0..2000).map(|i| format!("stays:{i}").into_bytes()).collect();
    let set_key = |set: &mut LockSet<'_>, key: &[u8]| {
        set.writer().set(0, keyspace.hash(key), NewValue::Bytes(b"v"), ExpiryChange::Clear);
    };
    let mut set = whole(&keyspace, 0);
    stays.iter().for_each(|key| set_key(&mut set, key));
    let mut found = std::collections::BTreeSet::new();
    let mut position = Some(ScanPosition::START);
    let mut round = 0;
    while let Some(from) = position {
        let seen = std::cell::Cell::new(0);
        position = next(set.walker().visit(
            0,
            from,
            &mut |met| {
                seen.set(seen.get() + 1);
                found.insert(met.entry().key().to_vec());
            },
            &mut || seen.get() >= 10,
        ));
        assert!(position.is_none_or(|position| position.cursor() < 1 << 53));
        round += 1;
        let keys = (0..200).map(|i| format!("goes:{}", (round / 50) * 200 + i).into_bytes());
        if round % 100 < 50 {
            keys.for_each(|key| set_key(&mut set, &key));
        } else {
            keys.for_each(|key| drop(set.writer().take(0, keyspace.hash(&key))));
        }
    }
    assert!(stays.iter().all(|key| found.contains(key)));
}

/// The memory of an entry, for the lengths of keys and values that the benchmark of memory uses.
#[test]
fn an_entry_takes_one_block_of_its_size_class() {
    let usage =
        |value: &[u8], expiry| Entry::new(&[b'k'; 16], NewValue::from_bytes(value), expiry, 0).view().memory_usage();
    assert_eq!(usage(&[b'x'; 64], None), 96);
    assert_eq!(usage(&[b'x'; 64], Some(1)), 96);
    assert_eq!(usage(b"01234567", None), 32);
    assert_eq!(usage(b"1234567890123", None), 32);
}

/// A string is modified inside the block, outside of it, and across the two.
#[test]
fn a_string_is_modified_wherever_it_lies() {
    for expiry_ms in [None, Some(1_000_000)] {
        let mut entry = Entry::new(b"key", NewValue::Integer(12), expiry_ms, 7);
        let mut model = b"12".to_vec();
        for len in [2, 3, 20, 21, 300, 512, 513, 514, 100_000, 40, 512, 0, 70_000, 1] {
            let new_len = entry.modify(|value| {
                value.resize(len, b'x');
                value.iter_mut().rev().take(1).for_each(|last| *last = b'y');
                value.len()
            });
            model.resize(len, b'x');
            model.iter_mut().rev().take(1).for_each(|last| *last = b'y');
            let view = entry.view();
            assert_eq!((view.key(), view.expiry_ms(), view.access(), new_len), (&b"key"[..], expiry_ms, 7, len));
            assert_eq!(view.value(), ValueRef::Bytes(&model));
            assert_eq!(view.encoding(), Encoding::Raw);
        }
    }
}
