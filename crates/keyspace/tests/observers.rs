//! What others get from what is done under a lock set: clients that watch a key or wait for it, the core that removes what expires, and the
//! thread that frees values. Also what a lookup leaves behind: the access clock of a key, and the hint where it was seen.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use ochre_datatypes::list::{End, List, ListLimits};
use ochre_keyspace::{
    AccessClock, AwaitedKeys, Entry, EntryRef, ExpiryChange, HashedKey, Keyspace, LockSet, Missing, NewValue,
    ShardList, Visit,
};

const DATABASES: usize = 3;

fn keyspace() -> Keyspace {
    Keyspace::with_shards(2, 1, DATABASES, (1, 2), |_| {})
}

fn whole(keyspace: &Keyspace, now_ms: i64) -> LockSet<'_> {
    let mut set = LockSet::whole(keyspace, keyspace.gate().close(&mut None).expect("there is no other visit"), 0);
    set.set_clock(now_ms, AccessClock::lru(now_ms));
    set
}

fn set(locked: &mut LockSet<'_>, database: usize, key: HashedKey<'_>, expiry: ExpiryChange) {
    locked.writer().set(database, key, NewValue::Bytes(b"v"), expiry);
}

/// Clients that watch a key each, by a flag.
struct Watching<'k>(Vec<(usize, HashedKey<'k>, Arc<AtomicBool>)>);

impl<'k> Watching<'k> {
    fn new(locked: &LockSet<'_>, watched: &[(usize, HashedKey<'k>)]) -> Watching<'k> {
        let watch = |&(database, key): &(usize, HashedKey<'k>)| {
            let flag = Arc::new(AtomicBool::new(false));
            locked.reader().watch(database, key, &flag);
            (database, key, flag)
        };
        Watching(watched.iter().map(watch).collect())
    }

    /// Returns which flags were set since the last call.
    fn told(&self) -> Vec<bool> {
        self.0.iter().map(|(_, _, flag)| flag.swap(false, Ordering::Acquire)).collect()
    }
}

#[test]
fn a_watcher_is_told_of_its_own_key_only() {
    let keyspace = keyspace();
    let locked = whole(&keyspace, 0);
    let (a, b) = (keyspace.hash(b"a"), keyspace.hash(b"b"));
    let watching = Watching::new(&locked, &[(0, a), (0, a), (1, a), (0, b)]);
    assert!(!locked.touch(0, a.hash, a.bytes), "nobody waits for it");
    assert_eq!(watching.told(), [true, true, false, false]);
    locked.touch(1, a.hash, a.bytes);
    assert_eq!(watching.told(), [false, false, true, false]);
    locked.reader().unwatch(0, a, &watching.0[0].2);
    locked.reader().unwatch(2, a, &watching.0[1].2);
    locked.touch(0, a.hash, a.bytes);
    locked.touch(0, b.hash, b.bytes);
    assert_eq!(watching.told(), [false, true, false, true]);
    for (database, key, flag) in &watching.0 {
        locked.reader().unwatch(*database, *key, flag);
    }
    for (database, key, _) in &watching.0 {
        locked.touch(*database, key.hash, key.bytes);
    }
    assert_eq!(watching.told(), [false; 4]);
}

#[test]
fn a_watcher_is_told_when_its_key_expires() {
    let keyspace = keyspace();
    let mut locked = whole(&keyspace, 0);
    let (a, b, c) = (keyspace.hash(b"a"), keyspace.hash(b"b"), keyspace.hash(b"c"));
    for key in [a, b, c] {
        set(&mut locked, 0, key, ExpiryChange::At(10));
    }
    let watching = Watching::new(&locked, &[(0, a), (0, b), (0, c)]);
    locked.set_clock(10, AccessClock::lru(10));
    assert!(locked.reader().get(0, a).is_some() && !locked.writer().expire_one(keyspace.shard_of(b.hash)));
    locked.set_clock(11, AccessClock::lru(11));
    locked.set_removes_expired(false);
    assert!(locked.reader().get(0, a).is_none() && !locked.has_expired());
    assert_eq!(watching.told(), [false; 3]);
    locked.set_removes_expired(true);
    assert!(locked.reader().get(0, a).is_none() && locked.has_expired());
    assert_eq!(locked.take_expired().len(), 1);
    assert_eq!(watching.told(), [true, false, false]);
    assert!(!locked.writer().remove(0, b));
    assert_eq!(watching.told(), [false, true, false]);
    assert!(locked.writer().expire_one(keyspace.shard_of(c.hash)));
    assert_eq!(watching.told(), [false, false, true]);
}

/// FLUSHDB and SWAPDB tell a watcher if its key was there, or is there now.
#[test]
fn a_watcher_is_told_of_changes_of_all_keys() {
    let keyspace = keyspace();
    let mut locked = whole(&keyspace, 0);
    let (a, b) = (keyspace.hash(b"a"), keyspace.hash(b"b"));
    let watching = Watching::new(&locked, &[(0, a), (0, b), (1, a), (1, b), (2, a), (2, b)]);
    set(&mut locked, 1, a, ExpiryChange::Clear);
    locked.whole_keyspace().swap(0, 2);
    assert_eq!(watching.told(), [false; 6]);
    locked.whole_keyspace().swap(0, 1);
    assert_eq!(watching.told(), [true, false, true, false, false, false]);
    assert_eq!([0, 1].map(|database| locked.reader().get(database, a).is_some()), [true, false]);
    locked.whole_keyspace().swap(2, 0);
    assert_eq!(watching.told(), [true, false, false, false, true, false]);
    assert_eq!(locked.whole_keyspace().flush(1..2), 0);
    assert_eq!(watching.told(), [false; 6]);
    assert_eq!(locked.whole_keyspace().flush(2..3), 1);
    assert_eq!(watching.told(), [false, false, false, false, true, false]);
    assert!(locked.reader().get(2, a).is_none());
}

#[test]
fn waiters_are_found_in_the_order_of_their_tickets() {
    let keyspace = keyspace();
    let locked = whole(&keyspace, 0);
    let (a, b) = (keyspace.hash(b"a"), keyspace.hash(b"b"));
    assert!(!keyspace.is_awaited());
    let tickets: Vec<u64> = (0..4).map(|_| keyspace.next_ticket()).collect();
    assert_eq!(tickets, [1, 2, 3, 4]);
    for (database, key, ticket, for_removal) in [(1, a, 1, false), (1, a, 2, true), (2, a, 3, false), (1, b, 4, false)]
    {
        locked.park(database, key, ticket, Arc::new(ticket), for_removal);
    }
    assert!(keyspace.is_awaited());
    assert_eq!(keyspace.awaited_keys(), AwaitedKeys { keys: 3, keys_for_removal: 1 });

    let next = |database, key, ticket| {
        locked.next_waiter(database, key, ticket).map(|(ticket, waiter)| {
            assert_eq!(waiter.downcast_ref(), Some(&ticket));
            ticket
        })
    };
    assert_eq!([0, 1, 2].map(|ticket| next(1, a, ticket)), [Some(1), Some(2), None]);
    assert_eq!((next(2, a, 0), next(0, a, 0), next(2, b, 0)), (Some(3), None, None));
    let visited = |database, key, after, stops_at| {
        let mut visited = Vec::new();
        locked.visit_waiters(database, key, after, |ticket, _| {
            visited.push(ticket);
            ticket != stops_at
        });
        visited
    };
    assert_eq!(visited(1, a, 0, 9), [1, 2]);
    assert_eq!(visited(1, a, 1, 9), [2]);
    assert_eq!(visited(1, a, 0, 1), [1]);
    assert_eq!(visited(0, a, 0, 9), []);
    assert_eq!(locked.databases_awaiting(a).to_vec(), [1, 2]);
    assert!(locked.is_removal_awaited(1, a) && !locked.is_removal_awaited(2, a) && !locked.is_removal_awaited(1, b));
    assert!(locked.touch(1, a.hash, a.bytes) && !locked.touch(0, a.hash, a.bytes));
    let awaited = |database| {
        let mut keys = locked.awaited_keys(|other| other == database);
        keys.sort();
        assert!(keys.iter().all(|(other, _)| *other == database));
        keys.into_iter().flat_map(|(_, key)| key).collect::<Vec<u8>>()
    };
    assert_eq!([0, 1, 2].map(awaited), [b"".to_vec(), b"ab".to_vec(), b"a".to_vec()]);

    for (database, key, ticket, for_removal) in [(1, a, 2, true), (1, a, 2, true), (2, a, 3, false), (1, b, 4, false)] {
        locked.unpark(database, key, ticket, for_removal);
    }
    assert_eq!(keyspace.awaited_keys(), AwaitedKeys { keys: 1, keys_for_removal: 0 });
    assert_eq!((next(1, a, 0), next(1, a, 1)), (Some(1), None));
    locked.unpark(1, a, 1, false);
    assert!(!keyspace.is_awaited() && locked.awaited_keys(|database| database == 1).is_empty());
}

#[test]
fn a_set_says_which_shards_it_holds() {
    let keyspace = keyspace();
    let entered = keyspace.gate().enter(0, Visit::Brief, &mut None).expect("the gate is open");
    let some = LockSet::try_lock(&keyspace, entered, ShardList::from_slice(&[3, 1, 3])).expect("all shards are free");
    assert_eq!([0, 1, 2, 3].map(|shard| some.holds(shard)), [false, true, false, true]);
    assert_eq!(some.release().to_vec(), [1, 3]);
    let all = whole(&keyspace, 0);
    assert!((0..4).all(|shard| all.holds(shard)) && all.release().is_empty());
}

/// A core is woken if one of its shards gets an earlier deadline than the core planned for.
#[test]
fn a_core_is_woken_for_an_earlier_deadline() {
    let woken: Arc<[AtomicUsize; 2]> = Arc::default();
    let in_keyspace = woken.clone();
    let keyspace = Keyspace::with_shards(2, 2, DATABASES, (1, 2), move |core| {
        in_keyspace[core].fetch_add(1, Ordering::Relaxed);
    });
    let woken = || [0, 1].map(|core| woken[core].swap(0, Ordering::Relaxed));
    let names: Vec<Vec<u8>> = (0..100).map(|number: u32| number.to_string().into_bytes()).collect();
    // A key in each shard. The shards 0 and 2 are of core 0.
    let keys = [0, 1, 2, 3].map(|shard| {
        let mut keys = names.iter().map(|name| keyspace.hash(name));
        keys.find(|key| keyspace.shard_of(key.hash) == shard).expect("there are enough names")
    });
    let due = |core, now_ms| {
        let mut due = Vec::new();
        (keyspace.due_shards(core, now_ms, &mut due), due)
    };
    let mut locked = whole(&keyspace, 0);
    let mut expire = |shard: usize, at_ms| set(&mut locked, 1, keys[shard], ExpiryChange::At(at_ms));
    // The cores have made no plan yet.
    expire(0, 100);
    assert_eq!(woken(), [1, 0]);
    assert_eq!((due(0, 0), due(1, 0)), ((100, vec![]), (i64::MAX, vec![])));
    expire(2, 100);
    expire(2, 200);
    assert_eq!(woken(), [0, 0]);
    expire(2, 99);
    expire(1, 300);
    expire(3, 250);
    assert_eq!(woken(), [1, 2]);
    assert_eq!((due(0, 99), due(1, 0)), ((99, vec![]), (250, vec![])));
    assert_eq!((due(0, 100), due(0, 101), due(1, 251)), ((100, vec![2]), (i64::MAX, vec![0, 2]), (300, vec![3])));
    // The core looks again when it has removed what was due.
    expire(0, 400);
    assert_eq!(woken(), [1, 0]);
    assert_eq!(due(0, 0), (99, vec![]));
    locked.whole_keyspace().flush(1..2);
    assert_eq!((due(0, 1_000), due(1, 1_000)), ((i64::MAX, vec![]), (i64::MAX, vec![])));
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

#[test]
fn a_burial_is_unfinished_until_its_values_are_freed() {
    let keyspace = keyspace();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let context = &mut Context::from_waker(&waker);
    let (go_on, wait) = mpsc::channel::<()>();
    let mut locked = whole(&keyspace, 0);
    // Nothing of an empty database is left to the thread.
    locked.whole_keyspace().flush(0..1);
    assert_eq!((keyspace.unfinished_burial(), keyspace.burials()), (None, (0, 0)));

    keyspace.when_freed(move || wait.recv().expect("the test goes on"));
    for _ in 0..2 {
        set(&mut locked, 0, keyspace.hash(b"a"), ExpiryChange::Clear);
        assert_eq!(locked.whole_keyspace().flush(0..1), 1);
    }
    let burial = keyspace.unfinished_burial().expect("the thread waits");
    assert_eq!((keyspace.poll_freed(burial, context), keyspace.burials()), (Poll::Pending, (2, 0)));
    go_on.send(()).expect("the thread waits");
    let (done, all_done) = mpsc::channel();
    keyspace.when_freed(move || done.send(()).expect("the test waits"));
    all_done.recv().expect("the thread goes on");
    assert_eq!((keyspace.unfinished_burial(), keyspace.burials()), (None, (0, 2)));
    assert_eq!((keyspace.poll_freed(burial, context), woken.0.load(Ordering::Acquire)), (Poll::Ready(()), 1));
}

/// A process that ends after that leaves no memory behind.
#[test]
fn dropping_a_keyspace_waits_until_large_values_are_freed() {
    let keyspace = Arc::new(keyspace());
    let (weak, is_freed) = (Arc::downgrade(&keyspace), Arc::new(AtomicBool::new(false)));
    let values: Vec<Box<usize>> = (0..100_000).map(Box::new).collect();
    let freed = is_freed.clone();
    keyspace.when_freed(move || {
        // There are no references any more as soon as the drop begins.
        while weak.strong_count() > 0 {
            thread::yield_now();
        }
        drop(values);
        freed.store(true, Ordering::Release);
    });
    drop(keyspace);
    assert!(is_freed.load(Ordering::Acquire));
}

/// A hint is where a key was seen. It changes no result, even if the key has moved meanwhile.
#[test]
fn a_hint_changes_no_result() {
    let keyspace = keyspace();
    let mut locked = whole(&keyspace, 0);
    let names: Vec<Vec<u8>> = (0..200).map(|number: u32| number.to_string().into_bytes()).collect();
    let mut hinted: Vec<HashedKey<'_>> = names.iter().map(|name| keyspace.hash(name)).collect();
    for (at, name) in names.iter().enumerate() {
        set(&mut locked, 0, hinted[at], ExpiryChange::Clear);
        for (key, there) in hinted.iter_mut().zip((0..=at).map(|_| true).chain(std::iter::repeat(false))) {
            assert_eq!(locked.reader().get(0, *key).map(EntryRef::key), there.then_some(key.bytes));
            if at % 3 == 0 {
                key.hash = locked.prefetch_entry(0, key.hash);
                assert_eq!(locked.reader().get(0, *key).map(EntryRef::key), there.then_some(key.bytes));
                assert_eq!(key.hash | 0xffff, keyspace.hash(key.bytes).hash);
                // Only a key that is there has a hint.
                assert!(!there || key.hash != keyspace.hash(key.bytes).hash);
            }
        }
        assert_eq!(locked.reader().get(0, keyspace.hash(name)).map(EntryRef::key), Some(&name[..]));
    }
}

#[test]
fn an_access_is_recorded_if_it_is_one() {
    const LIMITS: ListLimits = ListLimits { listpack_size_max: -2, plain_len_min: None };
    type Act = fn(&mut LockSet<'_>, HashedKey<'_>);
    let check = |act: Act, is_access| {
        for touches in [true, false] {
            let keyspace = keyspace();
            let mut locked = whole(&keyspace, 1_000);
            let key = keyspace.hash(b"key");
            set(&mut locked, 0, key, ExpiryChange::Clear);
            locked.set_clock(2_000, AccessClock::lru(2_000));
            locked.set_touches(touches);
            act(&mut locked, key);
            let access = locked.reader().peek(0, key).expect("the key is there").access();
            assert_eq!(access, if is_access && touches { 2 } else { 1 });
        }
    };
    check(|locked, key| assert!(locked.reader().get(0, key).is_some()), true);
    check(|locked, key| assert!(locked.reader().peek(0, key).is_some()), false);
    check(|locked, key| assert!(locked.writer().get(0, key).is_some()), true);
    check(|locked, key| assert!(locked.writer().peek(0, key).is_some()), false);
    check(|locked, key| set(locked, 0, key, ExpiryChange::Keep), true);
    check(|locked, key| assert!(locked.writer().replace(0, key, |_| Err(())).is_err()), true);
    check(|locked, key| assert!(locked.writer().modify(0, key, Vec::clear).is_some()), false);
    check(|locked, key| assert!(locked.writer().modify_checked(0, key, |_| Err(()), Vec::clear).is_err()), true);
    check(|locked, key| assert!(locked.writer().modify_checked(0, key, |_| Ok::<_, ()>(()), Vec::clear).is_ok()), true);
    check(|locked, key| assert!(locked.writer().edit(0, key, Missing::Create, |_: &mut List| {}).is_err()), true);
    check(|locked, key| assert!(locked.writer().set_vec(0, key, b"w".to_vec()).is_some()), true);
    check(|locked, key| assert!(locked.writer().set_expiry(0, key, Some(9_000))), false);
    let store = |locked: &mut LockSet<'_>, key: HashedKey<'_>| {
        let mut list = List::default();
        list.push(End::Left, [&b"a"[..]].into_iter(), &LIMITS);
        locked.writer().store(0, key, list);
    };
    check(store, true);
}

/// Under LFU, a value that takes the place of another one goes on with its counter, but a key that is put there counts as new.
#[test]
fn an_entry_that_is_put_counts_as_new() {
    let keyspace = keyspace();
    let mut locked = whole(&keyspace, 0);
    let key = keyspace.hash(b"key");
    // Each access increments the counter.
    let clock = AccessClock::lfu(60_000, 0, 0, 0);
    locked.set_clock(60_000, clock);
    let counter = |locked: &LockSet<'_>| clock.frequency(locked.reader().peek(0, key).expect("it is there").access());
    set(&mut locked, 0, key, ExpiryChange::Clear);
    assert_eq!(counter(&locked), 5);
    for _ in 0..10 {
        locked.reader().get(0, key);
    }
    locked.writer().set_vec(0, key, b"w".to_vec());
    assert_eq!(counter(&locked), 16);
    locked.writer().put(0, key, Entry::new(key.bytes, NewValue::Bytes(b"x"), None, 77));
    assert_eq!(counter(&locked), 5);
}
