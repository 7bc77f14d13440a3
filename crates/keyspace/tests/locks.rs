//! What lock sets exclude, on one thread. The interleavings of several threads are in `loom.rs`.

use std::task::{Context, Poll, Waker};

use ochre_keyspace::{
    AccessClock, Busy, DatabaseSize, Entry, ExpiryChange, HashedKey, Keyspace, LockSet, NewValue, RandomKey,
    ScanPosition, ShardList, Visit, Visited, Walk,
};

const CORES: usize = 3;

fn keyspace() -> Keyspace {
    Keyspace::with_shards(2, CORES, 1, (1, 2), |_| {})
}

fn try_lock<'k>(keyspace: &'k Keyspace, core: usize, visit: Visit, shards: &[u16]) -> Result<LockSet<'k>, Busy> {
    let entered = keyspace.gate().enter(core, visit, &mut None).expect("the gate is open");
    LockSet::try_lock(keyspace, entered, ShardList::from_slice(shards))
}

/// Returns a key in each of the shards.
fn keys(keyspace: &Keyspace) -> Vec<Vec<u8>> {
    let key_in = |shard| {
        let mut names = (0..).map(|number: u32| number.to_string().into_bytes());
        names.find(|name| keyspace.shard_of(keyspace.hash(name).hash) == shard).expect("there are enough names")
    };
    (0..keyspace.shards()).map(key_in).collect()
}

fn set(set: &mut LockSet<'_>, key: HashedKey<'_>) {
    set.writer().set(0, key, NewValue::Bytes(b"v"), ExpiryChange::Clear);
}

#[test]
fn a_set_that_meets_a_busy_shard_releases_the_others() {
    let keyspace = keyspace();
    let held = try_lock(&keyspace, 0, Visit::Brief, &[2]).expect("all shards are free");
    assert_eq!(try_lock(&keyspace, 1, Visit::Brief, &[3, 2, 1, 0, 1]).err(), Some(Busy { shard: 2 }));
    let others = try_lock(&keyspace, 1, Visit::Brief, &[0, 1, 3]).expect("they are free again");
    let context = &mut Context::from_waker(Waker::noop());
    assert_eq!(keyspace.poll_free(2, context), Poll::Pending);
    drop(held);
    assert_eq!(keyspace.poll_free(2, context), Poll::Ready(()));
    drop(others);
    assert!(try_lock(&keyspace, 1, Visit::Brief, &[3, 2, 1, 0]).is_ok());
}

#[test]
fn visits_of_one_core_exclude_each_other() {
    let keyspace = keyspace();
    let lasting = try_lock(&keyspace, 0, Visit::Lasting, &[1]).expect("all shards are free");
    assert_eq!(try_lock(&keyspace, 0, Visit::Brief, &[1]).err(), Some(Busy { shard: 1 }));
    assert_eq!(try_lock(&keyspace, 0, Visit::Lasting, &[0, 1]).err(), Some(Busy { shard: 1 }));
    assert!(try_lock(&keyspace, 0, Visit::Brief, &[0]).is_ok());
    assert!(try_lock(&keyspace, 0, Visit::Lasting, &[0]).is_ok());
    drop(lasting);
    assert!(try_lock(&keyspace, 0, Visit::Brief, &[1]).is_ok());
}

#[test]
#[should_panic(expected = "a key outside of the lock set")]
fn a_key_outside_of_the_set_is_refused() {
    let keyspace = keyspace();
    let keys = keys(&keyspace);
    let locked = try_lock(&keyspace, 0, Visit::Brief, &[0]).expect("all shards are free");
    locked.reader().get(0, keyspace.hash(&keys[1]));
}

#[test]
#[should_panic(expected = "a key outside of the lock set")]
fn a_key_that_another_lasting_visit_of_the_core_holds_is_refused() {
    let keyspace = keyspace();
    let keys = keys(&keyspace);
    let _other = try_lock(&keyspace, 0, Visit::Lasting, &[1]).expect("the shard is free");
    let locked = try_lock(&keyspace, 0, Visit::Lasting, &[0]).expect("the shard is free");
    locked.reader().get(0, keyspace.hash(&keys[1]));
}

#[test]
fn a_walk_stops_at_a_busy_shard() {
    let keyspace = keyspace();
    let keys = keys(&keyspace);
    let mut locked = try_lock(&keyspace, 0, Visit::Brief, &[1]).expect("the shard is free");
    set(&mut locked, keyspace.hash(&keys[1]));
    drop(locked);
    let held = try_lock(&keyspace, 0, Visit::Brief, &[0, 1]).expect("all shards are free");
    let entered = keyspace.gate().enter(1, Visit::Brief, &mut None).expect("the gate is open");
    let walk = Walk::new(&keyspace, entered, 0, true);
    let visit = || walk.walker().visit(0, ScanPosition::START, &mut |_| panic!("the shard is empty"), &mut || false);
    assert_eq!(visit(), Visited::Busy(Busy { shard: 0 }));
    assert_eq!(walk.walker().random_key(0, || 0), Err(Busy { shard: 0 }));
    drop(held);
    assert!(matches!(visit(), Visited::UpTo(_)));
    assert_eq!(walk.walker().random_key(0, || 0), Ok(RandomKey::Found(keys[1].as_slice().into())));
}

/// A key that has expired is no reason to look for further keys.
#[test]
fn a_random_key_is_found_or_there_is_none() {
    let keyspace = keyspace();
    let keys = keys(&keyspace);
    let mut locked = try_lock(&keyspace, 0, Visit::Brief, &[1]).expect("the shard is free");
    locked.writer().set(0, keyspace.hash(&keys[1]), NewValue::Bytes(b"v"), ExpiryChange::At(10));
    drop(locked);
    for (removes_expired, expected) in [(false, RandomKey::None), (true, RandomKey::Expired(keys[1].as_slice().into()))]
    {
        let entered = keyspace.gate().enter(1, Visit::Brief, &mut None).expect("the gate is open");
        let walk = Walk::new(&keyspace, entered, 11, removes_expired);
        assert_eq!(walk.walker().random_key(0, || 0), Ok(expected));
    }
}

/// Other cores see what the closer did when it is done.
#[test]
fn keys_are_counted_right_if_another_core_removes_them() {
    let keyspace = keyspace();
    let keys = keys(&keyspace);
    for (core, visit) in [(0, Visit::Brief), (1, Visit::Lasting), (2, Visit::Brief)] {
        let mut locked = try_lock(&keyspace, core, visit, &[core as u16]).expect("all shards are free");
        set(&mut locked, keyspace.hash(&keys[core]));
    }
    assert_eq!(keyspace.len_of(0, 0), 3);
    let mut whole = LockSet::whole(&keyspace, keyspace.gate().close(&mut None).expect("no visit is inside"), 1);
    assert!(whole.writer().remove(0, keyspace.hash(&keys[1])));
    assert!(whole.writer().remove(0, keyspace.hash(&keys[2])));
    set(&mut whole, keyspace.hash(&keys[3]));
    assert_eq!([0, 1].map(|core| keyspace.len_of(core, 0)), [3, 2]);
    assert_eq!(whole.whole_keyspace().flush(0..1), 2);
    assert_eq!([0, 1].map(|core| keyspace.len_of(core, 0)), [3, 0]);
    drop(whole);
    assert_eq!(keyspace.sizes(0, 0..1), [DatabaseSize::default()]);
}

#[test]
fn an_entry_is_added_unless_its_key_is_there() {
    let keyspace = keyspace();
    let mut locked = try_lock(&keyspace, 0, Visit::Brief, &[0, 1, 2, 3]).expect("all shards are free");
    locked.set_clock(1000, AccessClock::lru(1000));
    let entry = |value, expiry_ms| Entry::new(b"k", NewValue::Bytes(value), expiry_ms, 7);
    let key = keyspace.hash(b"k");
    let mut writer = locked.writer();
    for database in [0, 3] {
        // It counts as there although it has expired.
        assert!(writer.add(database, key.hash, entry(b"first", Some(1))).is_ok());
        let refused = writer.add(database, key.hash, entry(b"second", None)).expect_err("the key is there");
        assert_eq!(refused.view().expiry_ms(), None);
    }
    drop(locked);
    let sizes = keyspace.sizes(0, 0..4);
    assert_eq!(
        sizes.iter().map(|size| (size.keys, size.expires)).collect::<Vec<_>>(),
        [(1, 1), (0, 0), (0, 0), (1, 1)]
    );
    let mut due = vec![];
    for core in 0..CORES {
        keyspace.due_shards(core, 1000, &mut due);
    }
    assert_eq!(due, [keyspace.shard_of(key.hash)]);
}
