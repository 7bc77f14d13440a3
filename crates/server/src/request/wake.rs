//! Those who wait for keys: they are parked under the locks of their keys, and served by who changes one of these, before any other
//! command is seen.
//!
//! A parked command is run again by the writer, under the writer's locks. It may touch keys that the writer's own command does not (BLMOVE
//! writes to a second list, for which others may wait in turn), so the lock set is widened before the writer's command is run: it is
//! given back and taken again with the shards of those who would be served, until none is missing.

use std::{collections::HashMap, collections::HashSet, sync::Arc};

use ochre_datatypes::ValueType;
use ochre_keyspace::{Entered, HashedKey, LockSet, ShardList, Turn};
use ochre_resp::Args;

use super::execute::{self, Call};
use crate::{
    clock,
    commands::{Command, Flags, context::Outcome},
    core::Core,
    session::{
        Block, ClientFlags, Session,
        transaction::Queued,
        wait::{Parked, Waiting},
    },
};

/// How often a lock set is widened before the whole keyspace is taken instead.
const WIDENINGS_MAX: usize = 4;

/// A key that changed while somebody waited for it.
pub struct Ready {
    pub database: usize,
    pub hash: u64,
    pub key: Box<[u8]>,
}

/// A key that is about to be written, and for how many of those who wait for it that may be enough.
pub struct Written<'a> {
    pub key: HashedKey<'a>,
    pub elements: usize,
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
    let keyspace = &core.server.keyspace;
    let mut missing = ShardList::new();
    let mut seen = HashSet::new();
    // How many of those who wait for a key may be served.
    let mut served: HashMap<Box<[u8]>, usize> = HashMap::new();
    let mut todo: Vec<(u64, Box<[u8]>, usize)> = Vec::new();
    visit_written(&mut |Written { key, elements }| {
        if set.holds(keyspace.shard_of(key.hash)) {
            let mut is_awaited = false;
            set.visit_waiters(key, |_, _| {
                is_awaited = true;
                false
            });
            if is_awaited {
                todo.push((key.hash, key.bytes.into(), elements));
            }
        }
    });
    while let Some((hash, bytes, elements)) = todo.pop() {
        let shard = keyspace.shard_of(hash);
        if !set.holds(shard) {
            missing.push(shard as u16);
            continue;
        }
        let total = served.entry(bytes.clone()).or_default();
        *total = total.saturating_add(elements);
        let mut left = *total;
        set.visit_waiters(HashedKey { bytes: &bytes, hash }, |ticket, waiter| {
            let Some(parked) = waiter.downcast_ref::<Parked>() else { return true };
            // Every reader of a stream gets what is added; of other types each element goes to one.
            if parked.value_type != ValueType::Stream {
                if left == 0 {
                    return false;
                }
                left -= 1;
            }
            if seen.insert(ticket) {
                let args = parked.request.args();
                todo.extend(parked.hashed.iter().map(|&(at, hash)| (hash, args.get(at as usize).into(), 1)));
            }
            true
        });
    }
    missing
}

/// Lets a session wait. Where it waits for keys, the set holds them.
pub fn park(core: &Core, session: &mut Session, set: Option<&LockSet<'_>>, block: Block, call: Call<'_>) {
    let wait = session.client.begin_wait();
    session.client.set_flag(ClientFlags::BLOCKED, true);
    let parked = block.keys.map(|wanted| {
        let set = set.expect("who waits for keys has a lock set");
        let keyspace = &core.server.keyspace;
        let request = match &wanted.args {
            None => Queued::new(call.command, call.args),
            Some(args) => Queued::of(call.command, args.iter().map(Vec::as_slice)),
        };
        let awaited = call.hashed.iter().filter(|(at, _)| wanted.keys.contains(&(*at as usize))).copied().collect();
        let parked = Arc::new(Parked {
            client: session.client.clone(),
            wait: wait.clone(),
            request,
            hashed: call.hashed.to_vec(),
            awaited,
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
        command: parked.request.command,
        args: parked.request.args(),
        hashed: &parked.hashed,
        now_ms,
        nested: false,
        shares_batch: false,
    };
    match execute::dispatch(core, &mut session, Some(set), call, &mut out) {
        Ok(Outcome::Block(_)) => parked.wait.give_back(),
        result => {
            if let Err(error) = result {
                out.clear();
                core.counters.by_command[call.command.id].failed.add(1);
                execute::write_error(core, &session, &error, &mut out);
            }
            unpark(set, parked);
            parked.client.set_flag(ClientFlags::BLOCKED, false);
            parked.wait.serve(out);
        }
    }
    // It may also be that its time came while it was claimed.
    parked.client.wake();
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
            visit(Written { key: HashedKey { bytes: &ready.key, hash: ready.hash }, elements: usize::MAX });
        }
    };
    let set = keyspace.gate().enter(core.index).and_then(|entered| lock(core, entered, turn, shards, visit_written));
    let Some(mut set) = set else {
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

/// Visits the keys that a request writes, for [`lock`]. A command of bounded time makes as many elements as it has arguments at most,
/// another any number.
pub fn visit_written(command: &Command, args: Args<'_>, hashed: &[(u32, u64)], visit: &mut Visitor<'_>) {
    let flags = command.spec.flags;
    if flags.contains(Flags::WRITE) {
        let elements = if flags.contains(Flags::BATCH) { args.len() } else { usize::MAX };
        for &(at, hash) in hashed {
            visit(Written { key: HashedKey { bytes: args.get(at as usize), hash }, elements });
        }
    }
}
