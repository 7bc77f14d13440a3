//! Parking: adds a blocked command to the waiters on its keys, and removes it again.
//!
//! A command is parked under the locks of its keys, so the next writer of one of them finds it. What the writer does then is in
//! `serving.rs`.

use std::sync::Arc;

use ochre_keyspace::{HashedKey, LockSet};

use super::execute::Call;
use crate::{
    commands::{key_positions::positions, table::KeyFlags},
    core::Core,
    session::{
        Block, ClientFlags, Session,
        transaction::Queued,
        wait::{Parked, Waiting},
    },
};

/// Blocks a session. If the command waits for keys, the set holds their shards.
pub fn park(core: &Core, session: &mut Session, set: Option<&LockSet<'_>>, block: Block, call: Call<'_>) {
    let wait = session.client.begin_wait();
    let parked = block.keys.map(|wanted| {
        let set = set.expect("a command that waits for keys has locked them");
        let request = match &wanted.args {
            None => Queued::new(call.command, call.args, call.hashed),
            Some(args) => Queued::of(call.command, args.iter().map(Vec::as_slice), call.hashed),
        };
        let awaited = call.hashed.iter().filter(|(at, _)| wanted.keys.contains(&(*at as usize))).copied().collect();
        let mut destination = None;
        // The command has run, so its arguments fit its row.
        let _ = positions(call.command.spec, call.args, |index, flags| {
            if flags.contains(KeyFlags::INSERT) {
                destination = call.hashed.iter().find(|(at, _)| *at as usize == index).copied();
            }
        });
        let parked = Arc::new(Parked {
            client: session.client.clone(),
            wait: wait.clone(),
            request,
            awaited,
            destination,
            deadline: block.deadline,
            identity: session.identity.clone(),
            database: session.database,
            no_touch: session.no_touch,
            value_type: wanted.value_type,
            or_gone: wanted.or_gone,
            ticket: core.server.keyspace.next_ticket(),
        });
        for key in awaited_keys(&parked) {
            set.park(parked.database, key, parked.ticket, parked.clone(), parked.or_gone);
        }
        parked
    });
    // Whoever sees it blocked sees its keys awaited too.
    session.client.set_flag(ClientFlags::HAS_DEADLINE, block.deadline.is_some());
    session.client.set_flag(ClientFlags::BLOCKED, true);
    session.blocked = Some(Box::new(Waiting { deadline: block.deadline, on_timeout: block.on_timeout, wait, parked }));
}

/// Returns the keys that a blocked command waits for.
pub fn awaited_keys(parked: &Parked) -> impl Iterator<Item = HashedKey<'_>> {
    let args = parked.request.args();
    parked.awaited.iter().map(move |&(at, hash)| HashedKey { bytes: args.get(at as usize), hash })
}

/// Removes a blocked command from its keys, whose shards the set holds.
pub fn unpark(set: &LockSet<'_>, parked: &Parked) {
    for key in awaited_keys(parked) {
        set.unpark(parked.database, key, parked.ticket, parked.or_gone);
    }
}
