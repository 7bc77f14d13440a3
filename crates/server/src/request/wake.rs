//! Those who wait for keys: they are parked under the locks of their keys, and served by who changes one of these, before any other
//! command is seen.
//!
//! A parked command is run again by the writer, under the writer's locks. It may touch keys that the writer's own command does not (BLMOVE
//! writes to a second list, for which others may wait in turn), so the lock set is widened before the writer's command is run: it is
//! given back and taken again with the shards of those who would be served, until none is missing.

use std::{collections::HashMap, sync::Arc, time::Instant};

use ochre_datatypes::ValueType;
use ochre_keyspace::{Entered, HashedKey, LockSet, ShardList, Turn};
use ochre_resp::Args;

use super::execute::{self, Call};
use crate::{
    clock,
    commands::{
        self, Command, CommandSpec, Flags,
        context::Outcome,
        key_positions::positions,
        table::{Group, KeyFlags},
    },
    core::{Core, Ready},
    session::{
        Block, ClientFlags, Session,
        transaction::Queued,
        wait::{Parked, Waiting},
    },
};

/// How often a lock set is widened before the whole keyspace is taken instead.
const WIDENINGS_MAX: usize = 4;

/// A key that is about to be written, and what of it may be for those who wait.
pub struct Written<'a> {
    pub key: HashedKey<'a>,
    /// For how many of them it may be enough: none, where elements are only taken away.
    pub elements: usize,
    /// The type that the key has afterwards; any, where it is not known.
    pub value_type: Option<ValueType>,
}

/// Who is told of the keys that are about to be written.
pub type Visitor<'v> = dyn FnMut(Written<'_>) + 'v;

/// Locks shards for a command that writes some keys, and with them those that its waiters need; nothing where the gate is closed, or where
/// it is to be closed and it is another's turn. `entered` is used for the first try; `visit_written` visits the keys.
pub fn lock<'k>(
    core: &'k Core,
    entered: Entered<'k>,
    turn: &mut Option<Turn>,
    shards: ShardList,
    visit_written: impl Fn(&mut Visitor<'_>),
) -> Option<LockSet<'k>> {
    let keyspace = &core.server.keyspace;
    let mut set = LockSet::lock(keyspace, entered, shards);
    for _ in 0..WIDENINGS_MAX {
        if !keyspace.is_awaited() {
            return Some(set);
        }
        let missing = missing_shards(core, &set, &visit_written);
        if missing.is_empty() {
            return Some(set);
        }
        let mut shards = set.release();
        shards.extend(missing);
        set = LockSet::lock(keyspace, keyspace.gate().enter(core.index)?, shards);
    }
    drop(set);
    Some(LockSet::whole(keyspace, keyspace.gate().close(turn)?))
}

/// The shards that those who will be served need and that the set has not.
fn missing_shards(core: &Core, set: &LockSet<'_>, visit_written: &dyn Fn(&mut Visitor<'_>)) -> ShardList {
    let mut search = Search { core, set, missing: ShardList::new(), reached: HashMap::new(), todo: Vec::new() };
    visit_written(&mut |written| search.written(written));
    while let Some((hash, bytes)) = search.todo.pop() {
        search.written(Written {
            key: HashedKey { bytes: &bytes, hash },
            elements: 1,
            // Only from one list to another does a command that waits move anything.
            value_type: Some(ValueType::List),
        });
    }
    search.missing
}

/// The search for the shards that a lock set is to be widened by.
struct Search<'s, 'k> {
    core: &'s Core,
    set: &'s LockSet<'k>,
    missing: ShardList,
    /// How far those who wait for a key of a database were visited.
    reached: HashMap<(usize, Box<[u8]>), Reached>,
    /// The keys to which those add who will be served.
    todo: Vec<(u64, Box<[u8]>)>,
}

#[derive(Clone, Copy)]
struct Reached {
    /// The last who was visited.
    ticket: u64,
    /// How many may be served, and how many of those who were visited are among them.
    elements: usize,
    served: usize,
    /// Any, where it is not known: then nobody was passed by.
    value_type: Option<ValueType>,
    /// Whether those were visited who want to know that the key is gone.
    told: bool,
}

impl Search<'_, '_> {
    /// Visits those whom a write may serve, each once; so it takes as long as there are such, and no longer.
    fn written(&mut self, Written { key, elements, value_type }: Written<'_>) {
        let keyspace = &self.core.server.keyspace;
        let shard = keyspace.shard_of(key.hash);
        if !self.set.holds(shard) {
            self.missing.push(shard as u16);
            return;
        }
        for database in self.set.databases_awaiting(key) {
            let first = Reached { ticket: 0, elements: 0, served: 0, value_type, told: false };
            let reached = self.reached.entry((database, key.bytes.into())).or_insert(first);
            if reached.value_type.is_some() && reached.value_type != value_type {
                // Whom the one type passed by the other may serve. This happens once to a key, so the search ends.
                *reached = Reached { ticket: 0, served: 0, value_type: None, ..*reached };
            }
            reached.elements = reached.elements.saturating_add(elements);
            let (set, missing, todo) = (self.set, &mut self.missing, &mut self.todo);
            let mut needs = |parked: &Parked| {
                let shards = parked.hashed.iter().map(|&(_, hash)| keyspace.shard_of(hash));
                missing.extend(shards.filter(|&shard| !set.holds(shard)).map(|shard| shard as u16));
                let args = parked.request.args();
                todo.extend(parked.destination.map(|(at, hash)| (hash, args.get(at as usize).into())));
            };
            if elements > 0 {
                set.visit_waiters(database, key, reached.ticket, |ticket, waiter| {
                    let Some(parked) = waiter.downcast_ref::<Parked>() else { return true };
                    if reached.value_type.is_none_or(|value_type| value_type == parked.value_type) {
                        // Every reader of a stream gets what is added; of other types each element goes to one.
                        if parked.value_type != ValueType::Stream {
                            if reached.served == reached.elements {
                                return false;
                            }
                            reached.served += 1;
                        }
                        needs(parked);
                    }
                    reached.ticket = ticket;
                    true
                });
            }
            // Any write may be what those wait for who want to know that the key is gone.
            if !reached.told && set.is_removal_awaited(database, key) {
                reached.told = true;
                set.visit_waiters(database, key, 0, |_, waiter| {
                    waiter.downcast_ref::<Parked>().filter(|parked| parked.or_gone).into_iter().for_each(&mut needs);
                    true
                });
            }
        }
    }
}

/// Lets a session wait. Where it waits for keys, the set holds them.
pub fn park(core: &Core, session: &mut Session, set: Option<&LockSet<'_>>, block: Block, call: Call<'_>) {
    let wait = session.client.begin_wait();
    session.client.set_flag(ClientFlags::BLOCKED, true);
    session.client.set_flag(ClientFlags::HAS_DEADLINE, block.deadline.is_some());
    let parked = block.keys.map(|wanted| {
        let set = set.expect("who waits for keys has a lock set");
        let keyspace = &core.server.keyspace;
        let request = match &wanted.args {
            None => Queued::new(call.command, call.args),
            Some(args) => Queued::of(call.command, args.iter().map(Vec::as_slice)),
        };
        let awaited = call.hashed.iter().filter(|(at, _)| wanted.keys.contains(&(*at as usize))).copied().collect();
        let mut destination = None;
        // The command was run, so its keys are as its row says.
        let _ = positions(call.command.spec, call.args, |index, flags| {
            if flags.contains(KeyFlags::INSERT) {
                destination = call.hashed.iter().find(|(at, _)| *at as usize == index).copied();
            }
        });
        let parked = Arc::new(Parked {
            client: session.client.clone(),
            wait: wait.clone(),
            request,
            hashed: call.hashed.to_vec(),
            awaited,
            destination,
            deadline: block.deadline,
            database: session.database,
            no_touch: session.no_touch,
            value_type: wanted.value_type,
            or_gone: wanted.or_gone,
            ticket: keyspace.next_ticket(),
        });
        for key in awaited_keys(&parked) {
            set.park(parked.database, key, parked.ticket, parked.clone(), parked.or_gone);
        }
        parked
    });
    session.blocked = Some(Box::new(Waiting { deadline: block.deadline, on_timeout: block.on_timeout, wait, parked }));
}

fn awaited_keys(parked: &Parked) -> impl Iterator<Item = HashedKey<'_>> {
    let args = parked.request.args();
    parked.awaited.iter().map(move |&(at, hash)| HashedKey { bytes: args.get(at as usize), hash })
}

/// Takes a parked command away from its keys.
fn unpark(set: &LockSet<'_>, parked: &Parked) {
    for key in awaited_keys(parked) {
        set.unpark(parked.database, key, parked.ticket, parked.or_gone);
    }
}

/// As [`unpark`], for a wait that ended without being served.
pub fn leave(core: &Core, entered: Entered<'_>, parked: &Parked) {
    let keyspace = &core.server.keyspace;
    let shards = parked.awaited.iter().map(|&(_, hash)| keyspace.shard_of(hash) as u16).collect();
    unpark(&LockSet::lock(keyspace, entered, shards), parked);
}

/// Notes that a key changed for which somebody waits.
pub fn ready(core: &Core, database: usize, key: HashedKey<'_>) {
    let mut ready = core.ready.borrow_mut();
    let is_noted = |it: &Ready| it.database == database && *it.key == *key.bytes;
    if !ready.iter().any(is_noted) {
        ready.push_back(Ready { database, hash: key.hash, key: key.bytes.into() });
    }
}

/// As [`ready`], for all keys of a database that somebody waits for.
pub fn all_ready(core: &Core, database: usize, keys: Vec<Box<[u8]>>) {
    let keyspace = &core.server.keyspace;
    let ready = keys.into_iter().map(|key| Ready { database, hash: keyspace.hash(&key).hash, key });
    core.ready.borrow_mut().extend(ready);
}

/// Serves those who waited for the keys that have changed since, in the order in which they came, and then those for whose keys these
/// changed in turn.
#[inline]
pub fn serve(core: &Core, set: &mut LockSet<'_>, now_ms: i64) {
    if !core.ready.borrow().is_empty() {
        serve_ready(core, set, now_ms);
    }
}

#[cold]
fn serve_ready(core: &Core, set: &mut LockSet<'_>, now_ms: i64) {
    let pop = || core.ready.borrow_mut().pop_front();
    while let Some(ready) = pop() {
        if !serve_key(core, set, now_ms, &ready) {
            core.unserved.borrow_mut().push(ready);
            core.unserved_notify.notify_one();
        }
    }
}

/// Serves those who wait for one key; not where that takes more than the set holds.
fn serve_key(core: &Core, set: &mut LockSet<'_>, now_ms: i64, ready: &Ready) -> bool {
    let keyspace = &core.server.keyspace;
    let key = HashedKey { bytes: &ready.key, hash: ready.hash };
    if !set.holds(keyspace.shard_of(key.hash)) {
        return false;
    }
    let mut last = 0;
    while let Some((ticket, waiter)) = set.next_waiter(ready.database, key, last) {
        last = ticket;
        let value_type = set.reader().peek(ready.database, key).map(|entry| entry.value_type());
        if value_type.is_none() && !set.is_removal_awaited(ready.database, key) {
            break;
        }
        let Ok(parked) = waiter.downcast::<Parked>() else { continue };
        if value_type != Some(parked.value_type) && !parked.or_gone {
            continue;
        }
        if !parked.hashed.iter().all(|&(_, hash)| set.holds(keyspace.shard_of(hash))) {
            return false;
        }
        if !parked.client.is_killed() && parked.wait.claim() {
            serve_one(core, set, now_ms, &parked);
        }
    }
    true
}

/// Runs a parked command again, as the client that waits would.
fn serve_one(core: &Core, set: &mut LockSet<'_>, now_ms: i64, parked: &Parked) {
    let mut session = Session::new(parked.client.clone(), parked.client.protocol(), true);
    session.database = parked.database;
    session.no_touch = parked.no_touch;
    let mut out = Vec::new();
    let call = Call {
        command: commands::table().of(parked.request.command),
        args: parked.request.args(),
        hashed: &parked.hashed,
        now_ms,
        nested: false,
        shares_batch: false,
    };
    match execute::dispatch(core, &mut session, Some(set), call, &mut out) {
        Ok(Outcome::Block(_)) => {
            parked.wait.give_back();
            // Its time may have come while it was claimed.
            if parked.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                parked.client.wake();
            }
        }
        result => {
            if let Err(error) = result {
                out.clear();
                core.counters.of(call.command).failed.add(1);
                execute::write_error(core, &session, &error, &mut out);
            }
            unpark(set, parked);
            parked.client.set_flag(ClientFlags::BLOCKED | ClientFlags::HAS_DEADLINE, false);
            parked.wait.serve(out);
            parked.client.wake();
        }
    }
}

/// Serves those who could not be served under the locks of who changed their keys. Whether the gate let it.
pub fn serve_unserved(core: &Core, turn: &mut Option<Turn>) -> bool {
    let keyspace = &core.server.keyspace;
    let unserved = core.unserved.take();
    if unserved.is_empty() {
        return true;
    }
    let shards = unserved.iter().map(|ready| keyspace.shard_of(ready.hash) as u16).collect();
    let visit_written = |visit: &mut Visitor<'_>| {
        for ready in &unserved {
            let key = HashedKey { bytes: &ready.key, hash: ready.hash };
            visit(Written { key, elements: usize::MAX, value_type: None });
        }
    };
    let set = keyspace.gate().enter(core.index).and_then(|entered| lock(core, entered, turn, shards, visit_written));
    // A pause begins with the gate closed: one that began since is seen here.
    let Some(mut set) = set.filter(|_| !core.server.pause.is_on()) else {
        core.unserved.borrow_mut().extend(unserved);
        return false;
    };
    core.refresh_config();
    let now_ms = clock::now_ms();
    execute::prepare(core, &core.config(), Some(&mut set), now_ms);
    core.ready.borrow_mut().extend(unserved);
    serve(core, &mut set, now_ms);
    true
}

/// Visits the keys that a request writes, for [`lock`]. A command of bounded time, or one that inserts, makes as many elements as it has
/// arguments at most, another any number; where its row says that it only takes elements away, it makes none.
pub fn visit_written(command: &Command, args: Args<'_>, hashed: &[(u32, u64)], visit: &mut Visitor<'_>) {
    const ADDS: KeyFlags = KeyFlags::INSERT.union(KeyFlags::UPDATE).union(KeyFlags::OW);
    let CommandSpec { flags, group, .. } = *command.spec;
    if !flags.contains(Flags::WRITE) || hashed.is_empty() {
        return;
    }
    // Whose keys do not fit its row has none among the hashes.
    let _ = positions(command.spec, args, |index, key_flags| {
        let Ok(found) = hashed.binary_search_by_key(&(index as u32), |&(at, _)| at) else { return };
        let key = HashedKey { bytes: args.get(index), hash: hashed[found].1 };
        // What moves a key takes it away here and adds it in another database.
        let moves = group == Group::Generic && key_flags.contains(KeyFlags::RW);
        let elements = match () {
            () if !key_flags.intersects(ADDS) && !moves => 0,
            () if flags.contains(Flags::BATCH) || key_flags.contains(KeyFlags::INSERT) => args.len(),
            () => usize::MAX,
        };
        visit(Written { key, elements, value_type: group.value_type() });
    });
}
