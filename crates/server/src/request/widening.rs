//! Step 7, widening: finds the further shards that a lock set needs so that the waiters which its writes may serve can be served under it.
//!
//! The writer runs a blocked command again, under the writer's locks. The blocked command may touch keys that the writer's own command does
//! not: BLMOVE pushes onto a second list, whose own waiters are served in turn. So the lock set is widened before the write runs. The
//! result of the search is the smallest set of shards that satisfies these rules:
//!
//! - A write of `n` elements to a key may serve the first `n` waiters on the key that take a value of the type which the key then has. If
//!   several writes go to one key, their elements are added up, and waiters of each of their types may be served.
//! - Any write of elements to a stream may serve all waiters that read the stream, since each of them gets the new entries. Any write to a
//!   key may serve all waiters that also want to know when the key is gone.
//! - A write counts in all databases, because MOVE writes in another database than the session's.
//! - A waiter that may be served needs the shards of all keys of its request. If its request pushes onto another list, this is a write of
//!   one element to that list.
//! - A key whose shard is not in the set needs that shard. Its waiters cannot be visited before the shard is locked. The search is repeated
//!   with the wider set.
//!
//! Waiters are visited in order of arrival, each at most once for each type and key. So the time that the search takes is proportional to
//! the number of waiters that it finds.

use std::collections::{HashMap, HashSet};

use ochre_datatypes::ValueType;
use ochre_keyspace::{HashedKey, Keyspace, LockSet, ShardList};
use ochre_resp::Args;

use crate::{
    commands::{
        Command, CommandSpec, Flags,
        key_positions::positions,
        table::{Group, KeyFlags},
    },
    session::wait::Parked,
};

/// A key that is about to be written, and what the write may leave for waiters.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The key.
    pub key: HashedKey<'a>,
    /// The most elements that the write adds; 0 if it only removes elements.
    pub elements: usize,
    /// The type that the key has afterwards; `None` if it is not known.
    pub value_type: Option<ValueType>,
}

/// A function that is called with each key that is about to be written.
pub type Visitor<'v> = dyn FnMut(Written<'_>) + 'v;

/// Calls `visit` with each key that a request writes. The row of the command bounds the number of elements: 0 if the command only removes
/// elements; the number of arguments if it takes bounded time or inserts its arguments; otherwise any number.
pub fn visit_written(command: &Command, args: Args<'_>, hashed: &[(u32, u64)], visit: &mut Visitor<'_>) {
    const ADDS: KeyFlags = KeyFlags::INSERT.union(KeyFlags::UPDATE).union(KeyFlags::OW);
    let CommandSpec { flags, group, .. } = *command.spec;
    if !flags.contains(Flags::WRITE) || hashed.is_empty() {
        return;
    }
    // A request whose arguments do not fit its row has no keys among the hashes.
    let _ = positions(command.spec, args, |index, key_flags| {
        let Ok(found) = hashed.binary_search_by_key(&(index as u32), |&(at, _)| at) else { return };
        let key = HashedKey { bytes: args.get(index), hash: hashed[found].1 };
        // A command that moves a key removes it here and adds it in another database.
        let moves = group == Group::Generic && key_flags.contains(KeyFlags::RW);
        let elements = match () {
            () if !key_flags.intersects(ADDS) && !moves => 0,
            () if flags.contains(Flags::BATCH) || key_flags.contains(KeyFlags::INSERT) => args.len(),
            () => usize::MAX,
        };
        visit(Written { key, elements, value_type: group.value_type() });
    });
}

/// Returns the shards that a set lacks to serve the waiters that the writes may serve. `visit_written` visits the writes.
pub fn missing_shards(keyspace: &Keyspace, set: &LockSet<'_>, visit_written: &dyn Fn(&mut Visitor<'_>)) -> ShardList {
    let mut search = Search { keyspace, set, keys: HashMap::new(), found: Found::default() };
    visit_written(&mut |written| search.written(written));
    while let Some((hash, bytes)) = search.found.pushes.pop() {
        // The blocked commands that push move an element from one list to another.
        let value_type = Some(ValueType::List);
        search.written(Written { key: HashedKey { bytes: &bytes, hash }, elements: 1, value_type });
    }
    search.found.missing
}

/// The search. See the module.
struct Search<'s, 'k> {
    keyspace: &'s Keyspace,
    set: &'s LockSet<'k>,
    /// How far the waiters were visited, by database and key.
    keys: HashMap<(usize, Box<[u8]>), Reached>,
    found: Found,
}

#[derive(Default)]
struct Found {
    missing: ShardList,
    /// The tickets of the waiters that may be served.
    served: HashSet<u64>,
    /// The keys onto which these waiters push. Their own waiters are still to be visited.
    pushes: Vec<(u64, Box<[u8]>)>,
}

/// How far the waiters on one key were visited.
#[derive(Default)]
struct Reached {
    /// The elements of all writes to the key so far.
    elements: usize,
    /// For each type that the key may have, how far the waiters that take this type were visited.
    by_type: [Option<Cursor>; AWAITED_TYPES.len()],
    /// Whether the waiters that want to know when the key is gone were visited.
    for_removal: bool,
}

#[derive(Clone, Copy, Default)]
struct Cursor {
    /// The ticket of the last waiter that was visited.
    ticket: u64,
    /// How many waiters of the type may be served.
    served: usize,
}

/// The types that a command can wait for.
const AWAITED_TYPES: [ValueType; 3] = [ValueType::List, ValueType::SortedSet, ValueType::Stream];

impl Search<'_, '_> {
    /// Adds what a write needs.
    fn written(&mut self, Written { key, elements, value_type }: Written<'_>) {
        let shard = self.keyspace.shard_of(key.hash);
        if !self.set.holds(shard) {
            self.found.missing.push(shard as u16);
            return;
        }
        for database in self.set.databases_awaiting(key) {
            let reached = self.keys.entry((database, key.bytes.into())).or_default();
            let (keyspace, set, found) = (self.keyspace, self.set, &mut self.found);
            let mut may_be_served = |ticket: u64, parked: &Parked| found.add(keyspace, set, ticket, parked);
            if elements > 0 {
                reached.elements = reached.elements.saturating_add(elements);
                for (awaited, cursor) in AWAITED_TYPES.into_iter().zip(&mut reached.by_type) {
                    if value_type.is_none_or(|value_type| value_type == awaited) {
                        cursor.get_or_insert_default();
                    }
                    if let Some(cursor) = cursor {
                        cursor.advance(set, (database, key), awaited, reached.elements, &mut may_be_served);
                    }
                }
            }
            if !reached.for_removal && set.is_removal_awaited(database, key) {
                reached.for_removal = true;
                set.visit_waiters(database, key, 0, |ticket, waiter| {
                    let parked = waiter.downcast_ref::<Parked>().filter(|parked| parked.or_gone);
                    parked.into_iter().for_each(|parked| may_be_served(ticket, parked));
                    true
                });
            }
        }
    }
}

impl Cursor {
    /// Visits the further waiters of the type that may be served by `elements` elements in all.
    fn advance(
        &mut self,
        set: &LockSet<'_>,
        (database, key): (usize, HashedKey<'_>),
        awaited: ValueType,
        elements: usize,
        may_be_served: &mut dyn FnMut(u64, &Parked),
    ) {
        set.visit_waiters(database, key, self.ticket, |ticket, waiter| {
            let Some(parked) = waiter.downcast_ref::<Parked>() else { return true };
            if parked.value_type == awaited {
                if awaited != ValueType::Stream {
                    if self.served >= elements {
                        return false;
                    }
                    self.served += 1;
                }
                may_be_served(ticket, parked);
            }
            self.ticket = ticket;
            true
        });
    }
}

impl Found {
    /// Adds a waiter that may be served.
    fn add(&mut self, keyspace: &Keyspace, set: &LockSet<'_>, ticket: u64, parked: &Parked) {
        if !self.served.insert(ticket) {
            return;
        }
        let shards = parked.request.hashed.iter().map(|&(_, hash)| keyspace.shard_of(hash));
        self.missing.extend(shards.filter(|&shard| !set.holds(shard)).map(|shard| shard as u16));
        let args = parked.request.args();
        self.pushes.extend(parked.destination.map(|(at, hash)| (hash, args.get(at as usize).into())));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{Arc, LazyLock},
    };

    use ochre_keyspace::Visit;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        label::{CommandId, CommandLabel},
        session::{Client, transaction::Queued},
    };

    const KEYS: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
    const DATABASES: usize = 2;

    /// A blocked command. Keys are indices of `KEYS`.
    #[derive(Clone, Debug)]
    struct Waiter {
        database: usize,
        value_type: ValueType,
        awaited: Vec<usize>,
        destination: Option<usize>,
        or_gone: bool,
    }

    #[derive(Clone, Copy, Debug)]
    struct Write {
        key: usize,
        elements: usize,
        value_type: Option<ValueType>,
    }

    fn waiter() -> impl Strategy<Value = Waiter> {
        let key = 0..KEYS.len();
        let types = prop::sample::select(&AWAITED_TYPES[..]);
        let keys = prop::collection::vec(key.clone(), 1..3);
        (0..DATABASES, types, keys, prop::option::of(key), any::<bool>()).prop_map(
            |(database, value_type, awaited, destination, or_gone)| Waiter {
                database,
                value_type,
                awaited,
                // Only waiters on lists push, and only readers of streams want to know when a key is gone.
                destination: destination.filter(|_| value_type == ValueType::List),
                or_gone: or_gone && value_type == ValueType::Stream,
            },
        )
    }

    fn write() -> impl Strategy<Value = Write> {
        let elements = prop_oneof![Just(0), 1usize..3, Just(usize::MAX)];
        let value_type = prop::option::of(prop::sample::select(&ValueType::ALL[..]));
        (0..KEYS.len(), elements, value_type).prop_map(|(key, elements, value_type)| Write {
            key,
            elements,
            value_type,
        })
    }

    /// Returns the missing shards. Applies the rules of the module until no waiter is added.
    fn missing_by_rules(
        shard_of: &dyn Fn(usize) -> usize,
        held: &BTreeSet<usize>,
        writes: &[Write],
        waiters: &[Waiter],
    ) -> BTreeSet<usize> {
        let mut served: BTreeSet<usize> = BTreeSet::new();
        loop {
            let pushes = served.iter().filter_map(|&waiter| waiters[waiter].destination);
            let push = |key| Write { key, elements: 1, value_type: Some(ValueType::List) };
            let writes: Vec<Write> = writes.iter().copied().chain(pushes.map(push)).collect();
            let mut next = BTreeSet::new();
            for key in (0..KEYS.len()).filter(|&key| held.contains(&shard_of(key))) {
                let of_key: Vec<&Write> = writes.iter().filter(|write| write.key == key).collect();
                let elements = of_key.iter().fold(0usize, |sum, write| sum.saturating_add(write.elements));
                for database in 0..DATABASES {
                    let on_key =
                        |index: &usize| waiters[*index].database == database && waiters[*index].awaited.contains(&key);
                    let queue: Vec<usize> = (0..waiters.len()).filter(on_key).collect();
                    for awaited in AWAITED_TYPES {
                        let takes =
                            |write: &&Write| write.elements > 0 && write.value_type.is_none_or(|it| it == awaited);
                        if of_key.iter().copied().any(|write| takes(&write)) {
                            let most = if awaited == ValueType::Stream { usize::MAX } else { elements };
                            let of_type = queue.iter().filter(|&&waiter| waiters[waiter].value_type == awaited);
                            next.extend(of_type.take(most));
                        }
                    }
                    if !of_key.is_empty() {
                        next.extend(queue.iter().filter(|&&waiter| waiters[waiter].or_gone));
                    }
                }
            }
            if next == served {
                let of_writes = writes.iter().map(|write| write.key);
                let of_waiters = served.iter().flat_map(|&waiter| {
                    let waiter = &waiters[waiter];
                    waiter.awaited.iter().copied().chain(waiter.destination)
                });
                return of_writes.chain(of_waiters).map(shard_of).filter(|shard| !held.contains(shard)).collect();
            }
            served = next;
        }
    }

    static LABEL: LazyLock<CommandLabel> = LazyLock::new(|| CommandLabel {
        id: CommandId(0),
        counted_as: CommandId(0),
        full_name: "waits".into(),
        flags: Flags::BLOCKING,
    });

    fn parked(keyspace: &Keyspace, waiter: &Waiter) -> Parked {
        let client = Client::new(1, "127.0.0.1:1".into(), "127.0.0.1:2".into(), 3, 0, 0);
        let keys: Vec<usize> = waiter.awaited.iter().copied().chain(waiter.destination).collect();
        let hashed: Vec<(u32, u64)> =
            keys.iter().enumerate().map(|(at, &key)| (at as u32, keyspace.hash(KEYS[key]).hash)).collect();
        Parked {
            client: Arc::new(client),
            wait: Arc::default(),
            request: Queued::of(&LABEL, keys.iter().map(|&key| KEYS[key]), &hashed),
            awaited: hashed[..waiter.awaited.len()].to_vec(),
            destination: waiter.destination.and(hashed.last().copied()),
            deadline: None,
            database: waiter.database,
            identity: crate::users::Identity::of_server(),
            no_touch: false,
            value_type: waiter.value_type,
            or_gone: waiter.or_gone,
            ticket: keyspace.next_ticket(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]
        #[test]
        fn the_search_finds_what_the_rules_say(
            waiters in prop::collection::vec(waiter(), 0..12),
            writes in prop::collection::vec(write(), 0..5),
            held in prop::collection::btree_set(0usize..8, 0..8),
        ) {
            let keyspace = Keyspace::with_shards(3, 1, DATABASES, (1, 2), |_| {});
            {
                let closed = keyspace.gate().close(&mut None).expect("nobody else is there");
                let set = LockSet::whole(&keyspace, closed, 0);
                for waiter in &waiters {
                    let parked = Arc::new(parked(&keyspace, waiter));
                    for &(at, hash) in &parked.awaited {
                        let key = HashedKey { bytes: parked.request.args().get(at as usize), hash };
                        set.park(parked.database, key, parked.ticket, parked.clone(), parked.or_gone);
                    }
                }
            }
            let shard_of = |key: usize| keyspace.shard_of(keyspace.hash(KEYS[key]).hash);
            let expected = missing_by_rules(&shard_of, &held, &writes, &waiters);

            let entered = keyspace.gate().enter(0, Visit::Brief, &mut None).expect("the gate is open");
            let shards = held.iter().map(|&shard| shard as u16).collect();
            let set = LockSet::try_lock(&keyspace, entered, shards).expect("nobody else is there");
            let visit = |visit: &mut Visitor<'_>| {
                for &Write { key, elements, value_type } in &writes {
                    visit(Written { key: keyspace.hash(KEYS[key]), elements, value_type });
                }
            };
            let found: BTreeSet<usize> = missing_shards(&keyspace, &set, &visit).into_iter().map(usize::from).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
