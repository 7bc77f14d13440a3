//! Step 5: from a request's keys to their hashes, and so to the shards that are to be locked.

use ochre_keyspace::Keyspace;
use ochre_resp::Args;

use crate::commands::{
    CommandSpec,
    key_positions::positions,
    table::{BeginSearch, FindKeys, KeyFlags, KeySpec},
};

/// Hashes the request's keys into `hashed`: index of the argument and hash, in order. Arguments that do not fit the key specs have no
/// keys: the command will say what is wrong with them.
#[inline]
pub fn hash_into(keyspace: &Keyspace, spec: &CommandSpec, args: Args<'_>, hashed: &mut Vec<(u32, u64)>) {
    if spec.unspecified_keys.is_none()
        && let [KeySpec { begin: BeginSearch::Index(index), find: FindKeys::Range { last: 0, .. }, flags, .. }] =
            spec.keys
    {
        // One key, the usual case.
        let index = *index as usize;
        if let Some(key) = args.try_get(index).filter(|_| !flags.contains(KeyFlags::NOT_KEY)) {
            hashed.push((index as u32, keyspace.hash(key).hash));
        }
        return;
    }
    let start = hashed.len();
    let found = positions(spec, args, |index, _| hashed.push((index as u32, keyspace.hash(args.get(index)).hash)));
    if found.is_err() {
        hashed.truncate(start);
    } else if spec.keys.len() > 1 || spec.unspecified_keys.is_some() {
        hashed[start..].sort_unstable();
        let mut rest = hashed.split_off(start);
        rest.dedup();
        hashed.append(&mut rest);
    }
}
