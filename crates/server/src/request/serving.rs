//! Step 10: serves blocked clients. A writer runs the blocked commands that wait for the keys it changed, under its own locks and before
//! any other command sees these keys. The waiters on a key are served in order of arrival. Their commands may change further keys, whose
//! waiters are served next.

use std::time::Instant;

use ochre_keyspace::HashedKey;
use ochre_resp::ReplyBuffer;

use super::{
    effects,
    execute::{self, Access, Call},
    parking,
};
use crate::{
    commands::{self, context::Outcome, permissions},
    core::{Chore, Core, Ready},
    locked::Locked,
    session::{ClientFlags, Session, delivery, wait::Parked},
    users::denials::Place,
};

/// Notes that a key with waiters has changed.
pub fn note_ready(core: &Core, database: usize, key: HashedKey<'_>) {
    core.ready.borrow_mut().add(Ready { database, hash: key.hash, key: key.bytes.into() });
}

/// As [`note_ready`], for several keys with their databases.
pub fn note_all_ready(core: &Core, keys: Vec<(usize, Box<[u8]>)>) {
    let mut ready = core.ready.borrow_mut();
    for (database, key) in keys {
        ready.add(Ready { database, hash: core.server.keyspace.hash(&key).hash, key: key.into() });
    }
}

/// Serves the waiters on the keys that were noted since the last call.
#[inline]
pub fn serve(core: &Core, locked: &mut Locked<'_>) {
    if !core.ready.borrow().is_empty() {
        serve_ready(core, locked);
    }
}

#[cold]
fn serve_ready(core: &Core, locked: &mut Locked<'_>) {
    // The command may have taken long. A key that has expired by now is not handed out.
    locked.read_clock(&core.config());
    let pop = || core.ready.borrow_mut().pop();
    while let Some(ready) = pop() {
        if !serve_key(core, locked, &ready) {
            core.leave_chore(Chore::Serve(ready));
        }
    }
}

/// Serves the waiters on one key. Returns false if a shard that this needs is not locked.
fn serve_key(core: &Core, locked: &mut Locked<'_>, ready: &Ready) -> bool {
    let keyspace = &core.server.keyspace;
    let key = HashedKey { bytes: &ready.key, hash: ready.hash };
    if !locked.holds(keyspace.shard_of(key.hash)) {
        return false;
    }
    let mut last = 0;
    while let Some((ticket, waiter)) = locked.next_waiter(ready.database, key, last) {
        last = ticket;
        let value_type = locked.reader().peek(ready.database, key).map(|entry| entry.value_type());
        effects::publish_expired_alone(core, locked);
        if value_type.is_none() && !locked.is_removal_awaited(ready.database, key) {
            break;
        }
        let Ok(parked) = waiter.downcast::<Parked>() else { continue };
        if value_type != Some(parked.value_type) && !parked.or_gone {
            continue;
        }
        if !parked.request.hashed.iter().all(|&(_, hash)| locked.holds(keyspace.shard_of(hash))) {
            return false;
        }
        if !parked.client.is_killed() && parked.wait.claim() {
            serve_waiter(core, locked, &parked);
        }
    }
    true
}

/// Runs a blocked command again, on behalf of its client.
fn serve_waiter(core: &Core, locked: &mut Locked<'_>, parked: &Parked) {
    let mut session = Session::new(parked.client.clone(), parked.client.protocol(), parked.identity.clone());
    core.server.users.refresh(&mut session.identity);
    session.database = parked.database;
    session.no_touch = parked.no_touch;
    let mut out = ReplyBuffer::new(delivery::room(&core.config(), &parked.client));
    let call = Call {
        command: commands::table().of(parked.request.command),
        args: parked.request.args(),
        hashed: &parked.request.hashed,
        now_ms: locked.now_ms(),
        nested: false,
        shares_batch: false,
    };
    let mark = locked.record_mark();
    // The rights of the user may have changed since it was blocked.
    let allowed = permissions::allow(core, &session, call.command, call.args, Place::TopLevel);
    let result = allowed.and_then(|()| execute::dispatch(core, &mut session, Access::Keys(locked), call, &mut out));
    locked.end_record(mark);
    match result {
        Ok(Outcome::Block(_)) => {
            parked.wait.give_back();
            // Its deadline may have passed while it was claimed. It could not time out then.
            if parked.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                parked.client.wake();
            }
        }
        result => {
            if let Err(error) = result {
                out.truncate(0);
                core.counters.of(call.command).failed.add(1);
                execute::write_error(core, &session, &error, &mut out);
            }
            parking::unpark(locked, parked);
            parked.client.set_flag(ClientFlags::BLOCKED | ClientFlags::HAS_DEADLINE, false);
            parked.wait.serve(out, locked.position());
            parked.client.wake();
        }
    }
}
