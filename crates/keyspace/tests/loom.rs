//! Gate and lock sets under every interleaving of a few threads: `RUSTFLAGS="--cfg loom" cargo test -p ochre-keyspace --test loom`.
#![cfg(loom)]

use std::{
    sync::Arc,
    task::{Context, Wake, Waker},
};

use loom::{cell::UnsafeCell, sync::atomic::Ordering};
use ochre_keyspace::{Keyspace, LockSet, ShardList};

/// What the locks guard, as the model checker sees it: two accesses at once that are not ordered by a lock fail the test.
struct Guarded {
    keyspace: Keyspace,
    of_shard: [UnsafeCell<u32>; 2],
}

// SAFETY: that nobody reaches a cell without its shard is what the tests check.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new(cores: usize) -> Arc<Guarded> {
        let keyspace = Keyspace::with_shards(1, cores, (1, 2), |_| {});
        Arc::new(Guarded { keyspace, of_shard: [UnsafeCell::new(0), UnsafeCell::new(0)] })
    }

    fn add(&self, shard: usize) {
        // SAFETY: loom reports it where the access is not alone.
        self.of_shard[shard].with_mut(|value| unsafe { *value += 1 });
    }

    fn get(&self, shard: usize) -> u32 {
        // SAFETY: as above.
        self.of_shard[shard].with(|value| unsafe { *value })
    }

    /// Adds one to each of the shards, as a core does that finds the gate open; whether it was.
    fn visit(&self, core: usize, shards: &[u16]) -> bool {
        let Some(entered) = self.keyspace.gate().enter(core) else { return false };
        let _set = LockSet::lock(&self.keyspace, entered, ShardList::from_slice(shards));
        shards.iter().for_each(|&shard| self.add(shard as usize));
        true
    }

    /// Adds one to all, as one does who closes the gate; whether nobody else had closed it.
    fn visit_all(&self) -> bool {
        let Some(closed) = self.keyspace.gate().close(&mut None) else { return false };
        let _set = LockSet::whole(&self.keyspace, closed);
        (0..2).for_each(|shard| self.add(shard));
        true
    }
}

#[test]
fn lock_sets_in_opposite_orders_neither_meet_nor_wait_in_a_circle() {
    loom::model(|| {
        let guarded = Guarded::new(2);
        let other = guarded.clone();
        let thread = loom::thread::spawn(move || other.visit(1, &[1, 0]));
        assert!(guarded.visit(0, &[0, 1]));
        assert!(thread.join().unwrap());
        assert_eq!([guarded.get(0), guarded.get(1)], [2, 2]);
    });
}

#[test]
fn who_closes_the_gate_is_alone() {
    loom::model(|| {
        let guarded = Guarded::new(2);
        let other = guarded.clone();
        let thread = loom::thread::spawn(move || other.visit_all());
        let entered = guarded.visit(0, &[0]);
        assert!(thread.join().unwrap());
        assert_eq!([guarded.get(0), guarded.get(1)], [1 + u32::from(entered), 1]);
    });
}

/// Says whether it was woken.
#[derive(Default)]
struct Flag(loom::sync::atomic::AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn who_waits_to_close_the_gate_is_woken_for_his_turn() {
    loom::model(|| {
        let guarded = Guarded::new(1);
        let other = guarded.clone();
        let thread = loom::thread::spawn(move || other.visit_all());
        let gate = guarded.keyspace.gate();
        let (woken, mut turn) = (Arc::new(Flag::default()), None);
        if gate.close(&mut turn).is_none() {
            let waker = Waker::from(woken.clone());
            let is_open = gate.poll_open(turn.as_ref(), &mut Context::from_waker(&waker)).is_ready();
            thread.join().unwrap();
            assert!(is_open || woken.0.load(Ordering::SeqCst));
            assert!(gate.close(&mut turn).is_some());
        } else {
            assert!(turn.is_none());
        }
    });
}

#[test]
fn only_one_closes_the_gate() {
    loom::model(|| {
        let guarded = Guarded::new(2);
        let other = guarded.clone();
        let thread = loom::thread::spawn(move || u32::from(other.visit_all()));
        let closed = u32::from(guarded.visit_all()) + thread.join().unwrap();
        assert!(closed >= 1);
        assert_eq!(guarded.get(0), closed);
    });
}
