//! Step 5: hashes the keys of a request. The hashes determine the shards to lock.

use ochre_keyspace::Keyspace;
use ochre_resp::Args;

use crate::commands::{
    CommandSpec,
    key_positions::positions,
    table::{BeginSearch, FindKeys, KeyFlags, KeySpec},
};

/// Appends the keys of a request to `hashed`, each as the index of the argument and the hash, in the order of the arguments. If the
/// arguments do not fit the key specs, nothing is appended, and the command will answer what is wrong with them.
#[inline]
pub fn hash_into(keyspace: &Keyspace, spec: &CommandSpec, args: Args<'_>, hashed: &mut Vec<(u32, u64)>) {
    if spec.unspecified_keys.is_none()
        && let [KeySpec { begin: BeginSearch::Index(index), find: FindKeys::Range { last: 0, .. }, flags, .. }] =
            spec.keys
    {
        // A single key, the usual case.
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
