//! Gate, locks and parking in every interleaving of a few threads, by the model checker loom. Run them with `cargo xtask loom`.
#![cfg(loom)]

use std::{
    sync::Arc,
    task::{Context, Wake, Waker},
};

use loom::{cell::UnsafeCell, sync::atomic::Ordering};
use ochre_keyspace::{Busy, ExpiryChange, Keyspace, LockSet, NewValue, Place, ShardList, Visit};

/// A keyspace, and a number for each shard that the shard's lock guards. Loom fails a test in which two accesses to a number are not ordered.
struct Guarded {
    keyspace: Keyspace,
    of_shard: [UnsafeCell<u32>; 2],
}

// SAFETY: the tests check that no thread reaches a cell without holding its shard.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new(cores: usize) -> Arc<Guarded> {
        let keyspace = Keyspace::with_shards(1, cores, 1, (1, 2), |_| {});
        Arc::new(Guarded { keyspace, of_shard: [UnsafeCell::new(0), UnsafeCell::new(0)] })
    }

    fn add(&self, shard: usize) {
        // SAFETY: loom reports a concurrent access.
        self.of_shard[shard].with_mut(|value| unsafe { *value += 1 });
    }

    fn get(&self, shard: usize) -> u32 {
        // SAFETY: as above.
        self.of_shard[shard].with(|value| unsafe { *value })
    }

    /// Adds one to the number of each of these shards, under their locks. Returns `None` if the visit may not enter.
    fn try_visit(
        &self,
        core: usize,
        visit: Visit,
        place: &mut Option<Place>,
        shards: &[u16],
    ) -> Option<Result<(), Busy>> {
        let entered = self.keyspace.gate().enter(core, visit, place)?;
        let set = LockSet::try_lock(&self.keyspace, entered, ShardList::from_slice(shards));
        Some(set.map(|_set| shards.iter().for_each(|&shard| self.add(shard as usize))))
    }

    /// Removes a key and adds another, under the locks of both.
    fn change(&self, core: usize, gone: Option<&[u8]>, new: Option<&[u8]>) {
        let entered = self.keyspace.gate().enter(core, Visit::Brief, &mut None).expect("the gate is open");
        let mut set =
            LockSet::try_lock(&self.keyspace, entered, ShardList::from_slice(&[0, 1])).expect("they are free");
        if let Some(gone) = gone {
            assert!(set.writer().remove(0, self.keyspace.hash(gone)));
        }
        if let Some(new) = new {
            let value = NewValue::from_bytes(b"v");
            set.writer().set(0, self.keyspace.hash(new), value, ExpiryChange::Clear);
        }
    }

    /// Adds one to all numbers with the gate closed. Returns whether it could be closed.
    fn try_visit_all(&self, place: &mut Option<Place>) -> bool {
        let Some(closed) = self.keyspace.gate().close(place) else { return false };
        let _set = LockSet::whole(&self.keyspace, closed, 0);
        (0..2).for_each(|shard| self.add(shard));
        true
    }
}

/// Says whether a task was woken.
#[derive(Default)]
struct Flag(loom::sync::atomic::AtomicBool);

impl Flag {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn two_lock_sets_never_hold_a_shard_at_once() {
    loom::model(|| {
        let guarded = Guarded::new(2);
        let other = guarded.clone();
        let visit = |guarded: &Guarded, core, shards: &[u16]| {
            u32::from(guarded.try_visit(core, Visit::Brief, &mut None, shards).expect("the gate is open").is_ok())
        };
        let thread = loom::thread::spawn(move || visit(&other, 1, &[1, 0]));
        let visits = visit(&guarded, 0, &[0, 1]) + thread.join().unwrap();
        assert!(visits > 0, "one of them locks its shards");
        assert_eq!([guarded.get(0), guarded.get(1)], [visits; 2]);
    });
}

#[test]
fn a_task_that_is_parked_on_a_shard_is_woken() {
    loom::model(|| {
        let guarded = Guarded::new(2);
        let other = guarded.clone();
        let thread = loom::thread::spawn(move || {
            other.try_visit(1, Visit::Lasting, &mut None, &[0]).expect("the gate is open").is_ok()
        });
        let woken = Arc::new(Flag::default());
        match guarded.try_visit(0, Visit::Brief, &mut None, &[0]).expect("the gate is open") {
            Ok(()) => _ = thread.join().unwrap(),
            Err(busy) => {
                let waker = Waker::from(woken.clone());
                let is_free = guarded.keyspace.poll_free(busy.shard, &mut Context::from_waker(&waker)).is_ready();
                assert!(thread.join().unwrap(), "the shard was free for the other visit");
                assert!(is_free || woken.is_set(), "the wake-up was lost");
                assert!(guarded.try_visit(0, Visit::Brief, &mut None, &[0]).expect("the gate is open").is_ok());
            }
        }
    });
}

/// There are two visitors, so that a closer that only waited for the first core would fail.
#[test]
fn a_closer_is_alone() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let guarded = Guarded::new(2);
        let visitors: Vec<_> = (0..2)
            .map(|core| {
                let other = guarded.clone();
                loom::thread::spawn(move || {
                    let entered = other.try_visit(core, Visit::Brief, &mut None, &[core as u16]);
                    u32::from(entered.is_some_and(|locked| locked.is_ok()))
                })
            })
            .collect();
        let closed = u32::from(guarded.try_visit_all(&mut None));
        let visits: Vec<u32> = visitors.into_iter().map(|visitor| visitor.join().unwrap()).collect();
        assert_eq!([guarded.get(0), guarded.get(1)], [closed + visits[0], closed + visits[1]]);
    });
}

#[test]
fn a_closer_is_alone_beside_a_lasting_visit_and_its_task_is_woken() {
    loom::model(|| {
        let guarded = Guarded::new(1);
        let other = guarded.clone();
        let thread = loom::thread::spawn(move || {
            let entered = other.try_visit(0, Visit::Lasting, &mut None, &[0]);
            u32::from(entered.is_some_and(|locked| locked.is_ok()))
        });
        let (woken, mut place) = (Arc::new(Flag::default()), None);
        let closed = guarded.try_visit_all(&mut place);
        let mut is_turn = false;
        if !closed {
            let waker = Waker::from(woken.clone());
            let gate = guarded.keyspace.gate();
            is_turn = gate.poll_turn(place.as_ref(), &mut Context::from_waker(&waker)).is_ready();
        }
        // The visit has left when the thread has ended.
        let visits = thread.join().unwrap();
        if !closed {
            assert!(is_turn || woken.is_set(), "the wake-up was lost");
            assert!(guarded.try_visit_all(&mut place));
        }
        assert!(place.is_none());
        assert_eq!(guarded.get(0), 1 + visits);
    });
}

#[test]
fn a_visit_that_found_the_gate_shut_is_woken() {
    loom::model(|| {
        let guarded = Guarded::new(1);
        let other = guarded.clone();
        let thread = loom::thread::spawn(move || other.try_visit_all(&mut None));
        let (woken, mut place) = (Arc::new(Flag::default()), None);
        if guarded.try_visit(0, Visit::Brief, &mut place, &[0]).is_none() {
            let waker = Waker::from(woken.clone());
            let gate = guarded.keyspace.gate();
            let is_turn = gate.poll_turn(place.as_ref(), &mut Context::from_waker(&waker)).is_ready();
            thread.join().unwrap();
            assert!(is_turn || woken.is_set(), "the wake-up was lost");
            assert!(guarded.try_visit(0, Visit::Brief, &mut place, &[0]).is_some() && place.is_none());
        }
    });
}

#[test]
fn two_closers_exclude_each_other() {
    loom::model(|| {
        let guarded = Guarded::new(2);
        let other = guarded.clone();
        let thread = loom::thread::spawn(move || u32::from(other.try_visit_all(&mut None)));
        let closed = u32::from(guarded.try_visit_all(&mut None)) + thread.join().unwrap();
        assert!(closed >= 1);
        assert_eq!(guarded.get(0), closed);
    });
}

#[test]
fn a_lasting_visit_behind_a_closer_is_woken_when_the_closer_gives_up() {
    loom::model(|| {
        let guarded = Guarded::new(2);
        let gate = guarded.keyspace.gate();
        let inside = gate.enter(0, Visit::Lasting, &mut None).expect("the gate is open");
        let mut closer = None;
        assert!(gate.close(&mut closer).is_none());
        let thread = loom::thread::spawn(move || drop(closer));
        let (woken, mut place) = (Arc::new(Flag::default()), None);
        if gate.enter(1, Visit::Lasting, &mut place).is_none() {
            let waker = Waker::from(woken.clone());
            let is_turn = gate.poll_turn(place.as_ref(), &mut Context::from_waker(&waker)).is_ready();
            thread.join().unwrap();
            assert!(is_turn || woken.is_set(), "the wake-up was lost");
            assert!(gate.enter(1, Visit::Lasting, &mut place).is_some());
        }
        drop(inside);
    });
}

/// A brief visit that does not end in time makes the closer open the gate again; the closer's task is woken for another try.
#[test]
fn a_closer_that_shut_the_gate_too_early_tries_again() {
    loom::model(|| {
        let guarded = Guarded::new(1);
        let other = guarded.clone();
        let thread = loom::thread::spawn(move || {
            let entered = other.try_visit(0, Visit::Brief, &mut None, &[0]);
            u32::from(entered.is_some_and(|locked| locked.is_ok()))
        });
        let (woken, mut place) = (Arc::new(Flag::default()), None);
        let closed = guarded.try_visit_all(&mut place);
        let waker = Waker::from(woken.clone());
        let is_turn = guarded.keyspace.gate().poll_turn(place.as_ref(), &mut Context::from_waker(&waker)).is_ready();
        let visits = thread.join().unwrap();
        assert!(is_turn || woken.is_set(), "the wake-up was lost");
        assert!(closed || guarded.try_visit_all(&mut place));
        assert_eq!(guarded.get(0), 1 + visits);
    });
}

/// A key moves from one shard to the other and back, each time removed by another core than added it. Its database never seems to have none
/// or two, and a new key is counted once its set is released.
#[test]
fn a_reading_of_the_size_sees_whole_lock_sets() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let guarded = Guarded::new(2);
        let keys: Vec<Vec<u8>> = (0..2)
            .map(|shard| {
                let names = (0..).map(|number: u32| number.to_string().into_bytes());
                let in_shard = |name: &Vec<u8>| guarded.keyspace.shard_of(guarded.keyspace.hash(name).hash) == shard;
                names.into_iter().find(in_shard).expect("some name is in the shard")
            })
            .collect();
        guarded.change(0, None, Some(&keys[0]));
        let other = guarded.clone();
        let mover = loom::thread::spawn(move || {
            other.change(1, Some(&keys[0]), Some(&keys[1]));
            other.change(0, Some(&keys[1]), Some(&keys[0]));
        });
        assert_eq!(guarded.keyspace.len_of(2, 0), 1);
        mover.join().unwrap();
        assert_eq!(guarded.keyspace.len_of(2, 0), 1);
    });
}

/// What a reading has seen, a later one sees too.
#[test]
fn readings_of_the_size_are_in_order() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let guarded = Guarded::new(1);
        let other = guarded.clone();
        let writer = loom::thread::spawn(move || other.change(0, None, Some(b"a")));
        let [first, second] = [0, 1].map(|_| guarded.keyspace.len_of(1, 0));
        assert!(first <= second && second <= 1);
        writer.join().unwrap();
        assert_eq!(guarded.keyspace.len_of(1, 0), 1);
    });
}

/// A visit unlocks a shard, and a moment later wakes the parked tasks. Another visit may lock the shard in between.
#[test]
fn a_task_is_woken_though_the_shard_was_locked_again() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let guarded = Guarded::new(3);
        let holders: Vec<_> = (1..3)
            .map(|core| {
                let other = guarded.clone();
                loom::thread::spawn(move || {
                    u32::from(other.try_visit(core, Visit::Brief, &mut None, &[0]).expect("the gate is open").is_ok())
                })
            })
            .collect();
        let woken = Arc::new(Flag::default());
        let waker = Waker::from(woken.clone());
        let is_free = guarded.keyspace.poll_free(0, &mut Context::from_waker(&waker)).is_ready();
        let visits: u32 = holders.into_iter().map(|holder| holder.join().unwrap()).sum();
        assert!(is_free || woken.is_set(), "the wake-up was lost");
        assert!(guarded.try_visit(0, Visit::Brief, &mut None, &[0]).expect("the gate is open").is_ok());
        assert_eq!(guarded.get(0), visits + 1);
    });
}
