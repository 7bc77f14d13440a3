//! What a script or a function declares of itself.

use bitflags::bitflags;

bitflags! {
    /// The flags of a script's first line and of `redis.register_function`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ScriptFlags: u8 {
        /// It may not write.
        const NO_WRITES = 1;
        /// It may run while more memory is in use than allowed.
        const ALLOW_OOM = 1 << 1;
        /// It may run on a replica without its primary. There are no replicas, so this makes no difference.
        const ALLOW_STALE = 1 << 2;
        /// It may not run in a cluster. There is none.
        const NO_CLUSTER = 1 << 3;
        /// Its keys may be in several slots of a cluster.
        const ALLOW_CROSS_SLOT_KEYS = 1 << 4;
    }
}

impl ScriptFlags {
    /// Every flag and its name, in the order in which FUNCTION LIST shows them. (Redis: `scripts_flags_def`)
    pub const NAMES: [(ScriptFlags, &str); 5] = [
        (ScriptFlags::NO_WRITES, "no-writes"),
        (ScriptFlags::ALLOW_OOM, "allow-oom"),
        (ScriptFlags::ALLOW_STALE, "allow-stale"),
        (ScriptFlags::NO_CLUSTER, "no-cluster"),
        (ScriptFlags::ALLOW_CROSS_SLOT_KEYS, "allow-cross-slot-keys"),
    ];

    /// The flag of a name.
    pub fn named(name: &str) -> Option<ScriptFlags> {
        ScriptFlags::NAMES.into_iter().find(|(_, known)| *known == name).map(|(flag, _)| flag)
    }

    /// The names of these flags.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ScriptFlags::NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}
