//! Hashes with fields that expire: the keyspace is compared with a model of ordered maps and a clock.

use std::collections::BTreeMap;

use ochre_datatypes::hash::{Hash, HashLimits};
use ochre_keyspace::{
    AccessClock, Entered, Entry, ExpiredWhat, Keyspace, LockSet, Met, Missing, ScanPosition, ShardList, Visit, Visited,
};
use proptest::prelude::*;

#[derive(Clone, Debug, Default, PartialEq)]
struct ModelHash {
    /// The fields, with their expiries.
    fields: BTreeMap<Vec<u8>, Option<i64>>,
    expiry_ms: Option<i64>,
}

type Model = BTreeMap<u8, ModelHash>;

#[derive(Clone, Debug)]
enum Step {
    /// Sets `count` fields from number `from` on. `expires` is in how many milliseconds the first of them expires, and how many milliseconds lie
    /// between one field and the next.
    Set {
        key: u8,
        from: u16,
        count: u16,
        expires: Option<(i64, i64)>,
    },
    Remove {
        key: u8,
        from: u16,
        count: u16,
    },
    SetKeyExpiry {
        key: u8,
        in_ms: Option<i64>,
    },
    Rename {
        from: u8,
        to: u8,
    },
    Copy {
        from: u8,
        to: u8,
    },
    RemoveKey(u8),
    /// Looks a key up without removing what has expired.
    LookUpWithoutRemoving(u8),
    /// Looks a key up, which removes what has expired.
    LookUp(u8),
    Pass(i64),
    ExpireDue,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..12u8;
    let count = prop_oneof![4 => 1..5u16, 1 => 1..40u16, 1 => 100..300u16];
    let expires = prop::option::weighted(0.6, (0..200i64, 0..3i64));
    prop_oneof![
        8 => (key.clone(), 0..20u16, count.clone(), expires)
            .prop_map(|(key, from, count, expires)| Step::Set { key, from, count, expires }),
        3 => (key.clone(), 0..40u16, count).prop_map(|(key, from, count)| Step::Remove { key, from, count }),
        1 => (key.clone(), prop::option::of(0..300i64)).prop_map(|(key, in_ms)| Step::SetKeyExpiry { key, in_ms }),
        1 => (key.clone(), key.clone()).prop_map(|(from, to)| Step::Rename { from, to }),
        1 => (key.clone(), key.clone()).prop_map(|(from, to)| Step::Copy { from, to }),
        1 => key.clone().prop_map(Step::RemoveKey),
        2 => key.clone().prop_map(Step::LookUpWithoutRemoving),
        2 => key.prop_map(Step::LookUp),
        4 => (0..80i64).prop_map(Step::Pass),
        2 => Just(Step::ExpireDue),
    ]
}

fn name(key: u8) -> Vec<u8> {
    format!("key:{key}").into_bytes()
}

fn field(number: u16) -> Vec<u8> {
    format!("f{number}").into_bytes()
}

fn enter(keyspace: &Keyspace) -> Entered<'_> {
    keyspace.gate().enter(0, Visit::Brief, &mut None).expect("the gate is open")
}

fn whole(keyspace: &Keyspace, now_ms: i64) -> LockSet<'_> {
    let mut set = LockSet::whole(keyspace, keyspace.gate().close(&mut None).expect("there is no other visit"), 0);
    set.set_clock(now_ms, AccessClock::lru(now_ms));
    set
}

/// Removes what has expired from the model.
fn forget(model: &mut Model, now_ms: i64) {
    let is_alive = |expiry_ms: &Option<i64>| expiry_ms.is_none_or(|at_ms| now_ms <= at_ms);
    for hash in model.values_mut() {
        hash.fields.retain(|_, expiry_ms| is_alive(expiry_ms));
    }
    model.retain(|_, hash| is_alive(&hash.expiry_ms) && !hash.fields.is_empty());
}

fn fields_at(entry: ochre_keyspace::EntryRef<'_>, now_ms: i64) -> BTreeMap<Vec<u8>, Option<i64>> {
    let mut fields = BTreeMap::new();
    let hash = entry.collection::<Hash>().expect("a hash").at(now_ms);
    hash.for_each(|field| _ = fields.insert(field.name.to_vec(), field.expiry_ms));
    assert_eq!(hash.len(), fields.len());
    fields
}

fn run(keyspace: &Keyspace, model: &mut Model, now_ms: &mut i64, step: Step) {
    let limits = HashLimits { entries_max: 30, value_bytes_max: 64 };
    let mut set = whole(keyspace, *now_ms);
    match step {
        Step::Set { key, from, count, expires } => {
            let fields = || (from..from + count).zip(0i64..);
            let expiry_ms = |number: i64| expires.map(|(first, each)| *now_ms + first + each * number);
            let edited = set.writer().edit(0, keyspace.hash(&name(key)), Missing::Create, |hash: &mut Hash| {
                for (number, at) in fields() {
                    hash.set(&field(number), b"v", false, &limits, *now_ms);
                    if let Some(expiry_ms) = expiry_ms(at) {
                        hash.let_expire();
                        assert!(hash.set_expiry(&field(number), Some(expiry_ms), *now_ms));
                    }
                }
            });
            let edited = edited.expect("the keys hold hashes").expect("the key is created");
            assert_eq!((edited.created, edited.removed), (!model.contains_key(&key), false));
            let hash = model.entry(key).or_default();
            hash.fields.extend(fields().map(|(number, at)| (field(number), expiry_ms(at))));
        }
        Step::Remove { key, from, count } => {
            let removed = set.writer().edit(0, keyspace.hash(&name(key)), Missing::Skip, |hash: &mut Hash| {
                (from..from + count).filter(|&number| hash.remove(&field(number), *now_ms)).count()
            });
            let removed = removed.expect("the keys hold hashes");
            assert_eq!(removed.is_some(), model.contains_key(&key));
            if let Some(hash) = model.get_mut(&key) {
                let before = hash.fields.len();
                (from..from + count).for_each(|number| _ = hash.fields.remove(&field(number)));
                assert_eq!(removed.expect("the model has the key").result, before - hash.fields.len());
            }
        }
        Step::SetKeyExpiry { key, in_ms } => {
            let expiry_ms = in_ms.map(|in_ms| *now_ms + in_ms);
            let there = set.writer().set_expiry(0, keyspace.hash(&name(key)), expiry_ms);
            assert_eq!(there, model.contains_key(&key));
            if let Some(hash) = model.get_mut(&key) {
                hash.expiry_ms = expiry_ms;
            }
        }
        Step::Rename { from, to } => {
            let mut keys = set.writer();
            let taken = keys.take(0, keyspace.hash(&name(from)));
            assert_eq!(taken.is_some(), model.contains_key(&from));
            if let Some(entry) = taken {
                keys.put(0, keyspace.hash(&name(to)), entry.renamed(&name(to)));
                let hash = model.remove(&from).expect("the model has the key");
                model.insert(to, hash);
            }
        }
        Step::Copy { from, to } => {
            let mut keys = set.writer();
            let copied = keys.peek(0, keyspace.hash(&name(from))).map(|entry| Entry::duplicate(entry, &name(to)));
            assert_eq!(copied.is_some(), model.contains_key(&from));
            if let Some(entry) = copied {
                keys.put(0, keyspace.hash(&name(to)), entry);
                model.insert(to, model[&from].clone());
            }
        }
        Step::RemoveKey(key) => {
            assert_eq!(set.writer().remove(0, keyspace.hash(&name(key))), model.remove(&key).is_some());
        }
        Step::LookUpWithoutRemoving(key) | Step::LookUp(key) => {
            set.set_removes_expired(matches!(step, Step::LookUp(_)));
            let reader = set.reader();
            let name = name(key);
            let found = reader.get(0, keyspace.hash(&name));
            let again = reader.get(0, keyspace.hash(&name));
            assert_eq!(found.map(|entry| fields_at(entry, *now_ms)), model.get(&key).map(|hash| hash.fields.clone()));
            assert_eq!(again.map(|entry| fields_at(entry, *now_ms)), found.map(|entry| fields_at(entry, *now_ms)));
        }
        Step::Pass(ms) => {
            *now_ms += ms;
            forget(model, *now_ms);
        }
        Step::ExpireDue => {
            drop(set);
            expire_due(keyspace, model, *now_ms);
        }
    }
    forget(model, *now_ms);
}

fn expire_due(keyspace: &Keyspace, model: &Model, now_ms: i64) {
    let mut due = Vec::new();
    keyspace.due_shards(0, now_ms, &mut due);
    for shard in due {
        let mut shards = ShardList::new();
        shards.push(shard as u16);
        let mut set = LockSet::try_lock(keyspace, enter(keyspace), shards).expect("there is no other visit");
        set.set_clock(now_ms, AccessClock::lru(now_ms));
        while set.writer().expire_one(shard) {}
        for expired in set.take_expired() {
            let ExpiredWhat::Fields(fields) = expired.what else { continue };
            assert!(fields.count > 0);
            let key: u8 = String::from_utf8_lossy(&fields.key[4..]).parse().expect("a number");
            let alive = model.get(&key);
            assert_eq!(fields.emptied.is_some(), alive.is_none(), "a hash is removed with its last field");
            assert!(fields.names.iter().all(|name| alive.is_none_or(|hash| !hash.fields.contains_key(&name[..]))));
        }
    }
    let mut due = Vec::new();
    let next_ms = keyspace.due_shards(0, now_ms, &mut due);
    assert!(due.is_empty(), "nothing is due after that");
    let deadlines = model.values().flat_map(|hash| hash.fields.values().copied().chain([hash.expiry_ms])).flatten();
    assert_eq!(next_ms, deadlines.min().unwrap_or(i64::MAX));
}

/// Prefetches fields of all keys, some of which are absent and some have expired. This must not change anything.
fn prefetch(set: &mut LockSet<'_>, keyspace: &Keyspace) {
    let names: Vec<(Vec<u8>, Vec<u8>)> =
        (0..12).flat_map(|key| (0..40).map(move |at| (name(key), field(at)))).collect();
    set.prefetch_elements(0, names.iter().map(|(name, field)| (keyspace.hash(name), &field[..])));
}

fn assert_same(keyspace: &Keyspace, model: &Model, now_ms: i64) {
    let mut set = whole(keyspace, now_ms);
    prefetch(&mut set, keyspace);
    let mut found = Model::new();
    let mut position = Some(ScanPosition::START);
    while let Some(from) = position {
        let mut visit = |met: Met<'_>| {
            let Met::Live(entry) = met else { return };
            let key = String::from_utf8_lossy(&entry.key()[4..]).parse().expect("a number");
            found.insert(key, ModelHash { fields: fields_at(entry, now_ms), expiry_ms: entry.expiry_ms() });
        };
        position = match set.walker().visit(0, from, &mut visit, &mut || false) {
            Visited::UpTo(next) => Some(next),
            Visited::All => None,
            Visited::Busy(busy) => panic!("there is no other visit: {busy:?}"),
        };
    }
    assert_eq!(found, *model);
}

proptest! {
    #[test]
    fn fields_expire_as_in_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let keyspace = Keyspace::with_shards(1, 1, 1, (7, 8), |_| {});
        let (mut model, mut now_ms) = (Model::new(), 1000);
        for step in steps {
            run(&keyspace, &mut model, &mut now_ms, step);
            assert_same(&keyspace, &model, now_ms);
        }
        // In the end everything that has an expiry expires.
        now_ms += 10_000;
        forget(&mut model, now_ms);
        expire_due(&keyspace, &model, now_ms);
        assert_same(&keyspace, &model, now_ms);
        let size = keyspace.sizes(0, 0..1)[0];
        prop_assert_eq!((size.keys, size.with_expiring_fields), (model.len(), 0));
    }
}
