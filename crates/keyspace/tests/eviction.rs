//! Which keys are evicted, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use ochre_datatypes::hash::{Hash, HashLimits};
use ochre_keyspace::{
    AccessClock, Entered, EvictionOrder, EvictionRule, Evictor, ExpiryChange, Keyspace, LockSet, NewValue, ShardList,
    Victim, Visit, Walk,
};
use proptest::prelude::*;

const NOW_MS: i64 = 1_000_000_000;

fn keyspace() -> Keyspace {
    Keyspace::with_shards(4, 1, 4, (1, 2), |_| {})
}

fn enter(keyspace: &Keyspace) -> Entered<'_> {
    keyspace.gate().enter(0, Visit::Brief, &mut None).expect("the gate is open")
}

/// Locks the shard of a key. `clock` records the accesses.
fn lock<'k>(keyspace: &'k Keyspace, key: &[u8], clock: AccessClock) -> LockSet<'k> {
    let shard = keyspace.shard_of(keyspace.hash(key).hash) as u16;
    let mut set =
        LockSet::try_lock(keyspace, enter(keyspace), ShardList::from_slice(&[shard])).expect("nobody else is there");
    set.set_clock(NOW_MS, clock);
    set
}

/// The access clock of `ago_s` seconds before now.
fn ago(ago_s: i64) -> AccessClock {
    AccessClock::lru(NOW_MS - ago_s * 1000)
}

fn set(keyspace: &Keyspace, database: usize, key: &[u8], expiry_ms: Option<i64>, clock: AccessClock) {
    let expiry = expiry_ms.map_or(ExpiryChange::Clear, ExpiryChange::At);
    lock(keyspace, key, clock).writer().set(database, keyspace.hash(key), NewValue::Bytes(b"value"), expiry);
}

/// Stores a hash with a field that expires. The key itself does not expire.
fn set_expiring_field(keyspace: &Keyspace, name: &str, expiry_ms: i64) {
    let key = keyspace.hash(name.as_bytes());
    let mut hash = Hash::default();
    let limits = HashLimits { entries_max: 512, value_bytes_max: 64 };
    hash.set(b"field", b"value", false, &limits, NOW_MS);
    hash.let_expire();
    hash.set_expiry(b"field", Some(expiry_ms), NOW_MS);
    lock(keyspace, name.as_bytes(), ago(0)).writer().store(1, key, hash);
}

struct Evictions<'k> {
    keyspace: &'k Keyspace,
    evictor: Evictor,
    rule: EvictionRule,
    clock: AccessClock,
    random: u64,
}

impl<'k> Evictions<'k> {
    fn new(keyspace: &'k Keyspace, rule: EvictionRule) -> Evictions<'k> {
        Evictions { keyspace, evictor: Evictor::default(), rule, clock: ago(0), random: 7 }
    }

    fn choose(&mut self) -> Option<Victim> {
        let walk = Walk::new(self.keyspace, enter(self.keyspace), NOW_MS, true);
        let random = &mut || {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.random ^ self.random >> 31
        };
        walk.walker().choose_victim(&mut self.evictor, self.rule, self.clock, random).expect("nothing is locked")
    }

    /// Evicts the chosen key. Returns false if the choice does not hold any more.
    fn evict(&self, victim: &Victim) -> bool {
        lock(self.keyspace, &victim.key, self.clock).writer().evict(victim).is_some()
    }

    /// Evicts until there is nothing left. Returns the keys with their databases, in order.
    fn evict_all(&mut self) -> Vec<(usize, Vec<u8>)> {
        let mut evicted = Vec::new();
        while let Some(victim) = self.choose() {
            if self.evict(&victim) {
                evicted.push((victim.database, victim.key.to_vec()));
            }
        }
        evicted
    }
}

const BY_ACCESS: EvictionRule = EvictionRule { order: EvictionOrder::ByAccess, only_expiring: false, samples: 5 };
const SOONEST: EvictionRule = EvictionRule { order: EvictionOrder::SoonestExpiry, only_expiring: true, ..BY_ACCESS };
const RANDOM: EvictionRule = EvictionRule { order: EvictionOrder::Random, ..BY_ACCESS };

proptest! {
    #[test]
    fn the_soonest_expiry_goes_first(
        keys in prop::collection::btree_map((0usize..4, 0u16..500), prop::option::of(1i64..400), 0..200),
        fields in prop::collection::vec((0u16..100, 1i64..400), 0..20),
    ) {
        let keyspace = keyspace();
        for (&(database, key), &expiry) in &keys {
            set(&keyspace, database, key.to_string().as_bytes(), expiry.map(|at| NOW_MS + at), ago(0));
        }
        // Fields that expire early in hashes that do not expire.
        for (number, at) in fields {
            set_expiring_field(&keyspace, &format!("hash {number}"), NOW_MS + at);
        }
        let evicted = Evictions::new(&keyspace, SOONEST).evict_all();
        let expiry = |(database, key): &(usize, Vec<u8>)| {
            let number: u16 = String::from_utf8_lossy(key).parse().unwrap();
            keys[&(*database, number)].expect("only keys with an expiry are evicted")
        };
        prop_assert!(evicted.iter().map(expiry).is_sorted());
        prop_assert_eq!(evicted.len(), keys.values().flatten().count());
    }

    #[test]
    fn what_is_added_between_evictions_is_known(
        steps in prop::collection::vec((0usize..4, 0u16..200, 1i64..400, any::<bool>()), 1..100),
    ) {
        let keyspace = keyspace();
        let mut evictions = Evictions::new(&keyspace, SOONEST);
        let mut expiries = BTreeMap::new();
        for (database, key, at, is_field) in steps {
            if is_field {
                set_expiring_field(&keyspace, &format!("hash {key}"), NOW_MS + at);
            } else {
                set(&keyspace, database, key.to_string().as_bytes(), Some(NOW_MS + at), ago(0));
                expiries.insert((database, key.to_string().into_bytes()), at);
            }
            let chosen = evictions.choose().map(|victim| expiries[&(victim.database, victim.key.to_vec())]);
            prop_assert_eq!(chosen, expiries.values().min().copied());
            // Half of them stay, so that the next step adds to what is there.
            if at % 2 == 0 && let Some(victim) = evictions.choose() {
                prop_assert!(evictions.evict(&victim));
                expiries.remove(&(victim.database, victim.key.to_vec()));
            }
        }
    }

    #[test]
    fn the_rule_says_which_keys_may_go(
        keys in prop::collection::btree_map((0usize..4, 0u16..300), any::<bool>(), 0..150),
        only_expiring in any::<bool>(),
        order in prop::sample::select(vec![EvictionOrder::ByAccess, EvictionOrder::Random]),
    ) {
        let keyspace = keyspace();
        for (&(database, key), &expires) in &keys {
            let expiry_ms = expires.then_some(NOW_MS + 1);
            set(&keyspace, database, key.to_string().as_bytes(), expiry_ms, ago(i64::from(key)));
        }
        let rule = EvictionRule { order, only_expiring, samples: 3 };
        let evicted: BTreeSet<_> = Evictions::new(&keyspace, rule).evict_all().into_iter().collect();
        let may_go = |(&(of, key), &expires): (&(usize, u16), &bool)| {
            (!only_expiring || expires).then(|| (of, key.to_string().into_bytes()))
        };
        prop_assert_eq!(evicted, keys.iter().filter_map(may_go).collect());
    }

    #[test]
    fn with_enough_samples_the_order_is_exact(idle in prop::collection::btree_set(0i64..100_000, 1..16)) {
        let keyspace = keyspace();
        for &idle_s in &idle {
            set(&keyspace, 0, idle_s.to_string().as_bytes(), None, ago(idle_s));
        }
        let evicted = Evictions::new(&keyspace, EvictionRule { samples: 64, ..BY_ACCESS }).evict_all();
        let expected: Vec<_> = idle.iter().rev().map(|idle_s| (0, idle_s.to_string().into_bytes())).collect();
        prop_assert_eq!(evicted, expected);
    }
}

#[test]
fn five_samples_come_close_to_the_least_recently_used() {
    let keyspace = keyspace();
    for idle_s in 0..10_000 {
        set(&keyspace, 0, idle_s.to_string().as_bytes(), None, ago(idle_s));
    }
    let mut evictions = Evictions::new(&keyspace, BY_ACCESS);
    let mut idle: Vec<i64> = (0..2_000)
        .filter_map(|_| evictions.choose().filter(|victim| evictions.evict(victim)))
        .map(|victim| String::from_utf8_lossy(&victim.key).parse().unwrap())
        .collect();
    assert_eq!(idle.len(), 2_000, "nothing is used meanwhile");
    idle.sort_unstable();
    // Exact order would evict 8,000 and above. The best of five without a pool would be below 6,300 in a tenth of all choices.
    assert!(idle[200] > 7_000, "a tenth of the keys was idle for less than {} of 10,000 seconds", idle[200]);
}

#[test]
fn a_key_that_is_used_after_it_was_sampled_stays() {
    let keyspace = keyspace();
    for (key, idle_s) in [(b"a", 30), (b"b", 20), (b"c", 10)] {
        set(&keyspace, 0, key, None, ago(idle_s));
    }
    let mut evictions = Evictions::new(&keyspace, EvictionRule { samples: 64, ..BY_ACCESS });
    let victim = evictions.choose().unwrap();
    assert_eq!(&*victim.key, b"a");
    lock(&keyspace, b"a", ago(0)).reader().get(0, keyspace.hash(b"a"));
    assert!(!evictions.evict(&victim));
    let evicted: Vec<_> = evictions.evict_all().into_iter().map(|(_, key)| key).collect();
    assert_eq!(evicted, [b"b", b"c", b"a"]);
}

#[test]
fn a_key_that_no_longer_expires_stays() {
    let keyspace = keyspace();
    for order in [EvictionOrder::ByAccess, EvictionOrder::Random, EvictionOrder::SoonestExpiry] {
        set(&keyspace, 0, b"key", Some(NOW_MS + 1), ago(0));
        let rule = EvictionRule { order, only_expiring: true, ..BY_ACCESS };
        let victim = Evictions::new(&keyspace, rule).choose().unwrap();
        set(&keyspace, 0, b"key", None, ago(0));
        assert!(!Evictions::new(&keyspace, rule).evict(&victim), "{order:?}");
        assert_eq!(Evictions::new(&keyspace, rule).choose(), None, "{order:?}");
    }
}

#[test]
fn under_lrm_only_writes_make_a_key_recent() {
    let keyspace = keyspace();
    let at = |ago_s: i64| AccessClock::lrm(NOW_MS - ago_s * 1000);
    for (key, idle_s) in [(b"a", 30), (b"b", 20)] {
        set(&keyspace, 0, key, None, at(idle_s));
    }
    lock(&keyspace, b"a", at(0)).reader().get(0, keyspace.hash(b"a"));
    lock(&keyspace, b"b", at(0)).writer().modify(0, keyspace.hash(b"b"), |value| value.push(b'!'));
    let mut evictions =
        Evictions { clock: at(0), ..Evictions::new(&keyspace, EvictionRule { samples: 64, ..BY_ACCESS }) };
    assert_eq!(&*evictions.choose().unwrap().key, b"a");
    // An expiry is a change too.
    lock(&keyspace, b"a", at(0)).writer().set_expiry(0, keyspace.hash(b"a"), Some(NOW_MS + 1));
    set(&keyspace, 0, b"b", None, at(5));
    let mut evictions =
        Evictions { clock: at(0), ..Evictions::new(&keyspace, EvictionRule { samples: 64, ..BY_ACCESS }) };
    assert_eq!(&*evictions.choose().unwrap().key, b"b");
}

#[test]
fn a_random_choice_prefers_no_key() {
    let keyspace = keyspace();
    // A shard has five keys on average, and some have twice as many.
    const KEYS: usize = 80;
    for number in 0..KEYS {
        set(&keyspace, number % 3, number.to_string().as_bytes(), None, ago(0));
    }
    let mut evictions = Evictions::new(&keyspace, RANDOM);
    let mut drawn: BTreeMap<Box<[u8]>, usize> = BTreeMap::new();
    for _ in 0..1_000 * KEYS {
        *drawn.entry(evictions.choose().unwrap().key).or_default() += 1;
    }
    assert_eq!(drawn.len(), KEYS, "every key is drawn");
    // A thousand times each, with a standard deviation of 32.
    assert!(drawn.values().all(|times| (850..1_150).contains(times)), "{drawn:?}");
}
