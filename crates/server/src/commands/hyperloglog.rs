//! HyperLogLogs: strings that estimate the number of different elements that were added to them.

use ochre_datatypes::hyperloglog::{self, Corrupted, Element, HyperLogLog, Registers};
use ochre_keyspace::{EntryRef, HashedKey, ValueRef};
use smallvec::SmallVec;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{KeyedWrite, Outcome, Run, SessionOnly},
    strings::string_of,
    table::{Category, Group, KeyFlags, KeySpec},
};
use crate::events::NotifyClass;

/// The rows of commands on HyperLogLogs.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "pfadd",
        arity: -2,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        since: "2.8.9",
        complexity: "O(1) for each element",
        summary: "Adds elements to the HyperLogLog of a key, which is created if it does not exist.",
        syntax: "key [element...]",
        handler: Handler::Write(pfadd),
        ..HYPERLOGLOG
    },
    CommandSpec {
        name: "pfcount",
        arity: -2,
        flags: Flags::READONLY.union(Flags::MAY_REPLICATE),
        keys: &[KeySpec {
            notes: Some("RW because it may change the internal representation of the key, and propagate to replicas"),
            ..KeySpec::range(1, -1, 1, KeyFlags::RW.union(KeyFlags::ACCESS))
        }],
        since: "2.8.9",
        complexity: "O(1) with one key whose count is cached; O(N) with N keys",
        summary: "Returns the approximate number of different elements in the HyperLogLogs of some keys together.",
        syntax: "key...",
        handler: Handler::Write(pfcount),
        ..HYPERLOGLOG
    },
    CommandSpec {
        name: "pfdebug",
        arity: 3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::ADMIN),
        keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::ACCESS))],
        since: "2.8.9",
        complexity: "O(N) with N registers",
        summary: "Shows the internals of a HyperLogLog.",
        syntax: "subcommand key",
        handler: Handler::Write(pfdebug),
        ..HYPERLOGLOG
    },
    CommandSpec {
        name: "pfmerge",
        arity: -2,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::INSERT)),
            KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ],
        since: "2.8.9",
        complexity: "O(N) with N keys",
        summary: "Merges the HyperLogLogs of some keys into that of the first key, which is created if it does not exist.",
        syntax: "destkey:key [sourcekey:key...]",
        handler: Handler::Write(pfmerge),
        ..HYPERLOGLOG
    },
    CommandSpec {
        name: "pfselftest",
        arity: 1,
        flags: Flags::ADMIN,
        since: "2.8.9",
        complexity: "O(N) with N the elements of the test",
        summary: "Tests that both encodings of a HyperLogLog return the same count, and that its error is small.",
        handler: Handler::Session(pfselftest),
        ..HYPERLOGLOG
    },
];

/// The fields that the rows of HyperLogLogs share.
const HYPERLOGLOG: CommandSpec =
    CommandSpec { categories: Category::HYPERLOGLOG, group: Group::HyperLogLog, ..CommandSpec::DEFAULT };

/// For a change without an event: nobody subscribes to an empty class.
const NO_EVENT: (NotifyClass, &str) = (NotifyClass::empty(), "");

impl From<Corrupted> for CommandError {
    fn from(_: Corrupted) -> CommandError {
        CommandError::text("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// The HyperLogLog of an entry. The error is for a value that is none.
#[inline]
fn hyperloglog_of(entry: EntryRef<'_>) -> Result<HyperLogLog<'_>, CommandError> {
    const INVALID: CommandError = CommandError::text("WRONGTYPE Key is not a valid HyperLogLog string value.");
    match string_of(entry)? {
        ValueRef::Bytes(bytes) => HyperLogLog::new(bytes).ok_or(INVALID),
        ValueRef::Integer(_) => Err(INVALID),
    }
}

fn is_hyperloglog(entry: EntryRef<'_>) -> Result<(), CommandError> {
    hyperloglog_of(entry).map(|_| ())
}

fn pfadd(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, database) = (cx.key(1), cx.db());
    let sparse_bytes_max = cx.core.config().hll_sparse_max_bytes;
    let args = cx.args;
    let add = |value: &mut Vec<u8>| {
        let mut raised = 0;
        let mut result = Ok(());
        for element in args.iter().skip(2).map(Element::new) {
            match hyperloglog::add(value, element, sparse_bytes_max) {
                Ok(is_raised) => raised += usize::from(is_raised),
                Err(corrupted) => {
                    result = Err(corrupted);
                    break;
                }
            }
        }
        if raised > 0 {
            hyperloglog::outdate(value);
        }
        (raised, result)
    };
    let (changes, result) = match cx.keys.modify_checked(database, key, is_hyperloglog, add)? {
        Some(added) => added,
        None => {
            let mut value = hyperloglog::empty();
            let (raised, result) = add(&mut value);
            hyperloglog::outdate(&mut value);
            cx.keys.set_vec(database, key, value);
            cx.announce(key, NotifyClass::NEW, "new");
            (1 + raised, result)
        }
    };
    if changes > 0 {
        cx.changed(key, NotifyClass::STRING, "pfadd");
        cx.effects.count_as(changes);
    }
    result?;
    cx.reply.integer((changes > 0).into());
    Ok(Outcome::Done)
}

/// Merges the HyperLogLogs of the request's keys into `registers`. A missing key is an empty HyperLogLog. Returns whether any is dense.
fn merge_keys(cx: &mut KeyedWrite<'_>, registers: &mut Registers) -> Result<bool, CommandError> {
    let mut any_is_dense = false;
    for index in 1..cx.args.len() {
        let key = cx.key(index);
        if let Some(entry) = cx.lookup(key) {
            let other = hyperloglog_of(entry)?;
            any_is_dense |= other.is_dense();
            registers.merge(other)?;
        }
    }
    Ok(any_is_dense)
}

fn pfcount(cx: &mut KeyedWrite<'_>) -> Run {
    if cx.args.len() > 2 {
        let mut registers = Registers::default();
        merge_keys(cx, &mut registers)?;
        cx.reply.integer(registers.count()? as i64);
        return Ok(Outcome::Done);
    }
    let (key, database) = (cx.key(1), cx.db());
    let Some(entry) = cx.lookup(key) else {
        cx.reply.integer(0);
        return Ok(Outcome::Done);
    };
    let found = hyperloglog_of(entry)?;
    let count = match found.kept_count() {
        Some(count) => count,
        None => {
            let count = found.count()?;
            cx.keys.modify(database, key, |value| hyperloglog::keep_count(value, count));
            let (class, event) = NO_EVENT;
            cx.changed(key, class, event);
            count
        }
    };
    cx.reply.integer(count as i64);
    Ok(Outcome::Done)
}

fn pfmerge(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, database) = (cx.key(1), cx.db());
    let sparse_bytes_max = cx.core.config().hll_sparse_max_bytes;
    let mut registers = Registers::default();
    let as_dense = merge_keys(cx, &mut registers)?;
    let store = |value: &mut Vec<u8>| hyperloglog::store(value, &registers, as_dense, sparse_bytes_max);
    match cx.keys.modify(database, key, store) {
        Some(stored) => stored?,
        None => {
            let mut value = hyperloglog::empty();
            store(&mut value)?;
            cx.keys.set_vec(database, key, value);
            cx.announce(key, NotifyClass::NEW, "new");
        }
    }
    // Redis announces a merge as if all elements had been added.
    cx.changed(key, NotifyClass::STRING, "pfadd");
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn pfdebug(cx: &mut KeyedWrite<'_>) -> Run {
    if cx.is_word(1, "SIMD") {
        // On Redis this switches between two ways of merging. Ochre has one way of merging, and only replies.
        match () {
            () if cx.is_word(2, "ON") => cx.reply.simple("enabled"),
            () if cx.is_word(2, "OFF") => cx.reply.simple("disabled"),
            () => return Err(CommandError::text("ERR Argument must be ON or OFF")),
        }
        return Ok(Outcome::Done);
    }
    let (key, database) = (cx.key(2), cx.db());
    let Some(entry) = cx.keys.get(database, key) else {
        return Err(CommandError::text("ERR The specified key does not exist"));
    };
    let found = hyperloglog_of(entry)?;
    let is_dense = found.is_dense();
    match () {
        () if cx.is_word(1, "GETREG") => {
            let registers = found.registers()?;
            if !is_dense {
                make_dense(cx, key)?;
            }
            cx.reply.array(hyperloglog::REGISTERS);
            registers.iter().for_each(|register| cx.reply.integer(register.into()));
        }
        () if cx.is_word(1, "DECODE") => {
            if is_dense {
                return Err(CommandError::text("ERR HLL encoding is not sparse"));
            }
            let decoded = found.decoded();
            cx.reply.bulk(decoded.as_bytes());
        }
        () if cx.is_word(1, "ENCODING") => cx.reply.simple(if is_dense { "dense" } else { "sparse" }),
        () if cx.is_word(1, "TODENSE") => {
            if !is_dense {
                make_dense(cx, key)?;
            }
            cx.reply.integer((!is_dense).into());
        }
        () => {
            return Err(CommandError::repeating("ERR Unknown PFDEBUG subcommand '", cx.args.get(1), "'"));
        }
    }
    Ok(Outcome::Done)
}

fn make_dense<'a>(cx: &mut KeyedWrite<'a>, key: HashedKey<'a>) -> Result<(), CommandError> {
    let database = cx.db();
    cx.keys.modify(database, key, hyperloglog::make_dense).expect("the key was found under the same lock")?;
    let (class, event) = NO_EVENT;
    cx.changed(key, class, event);
    Ok(())
}

/// PFSELFTEST. Counts up to 100,000 elements in both encodings, which takes a few milliseconds.
fn pfselftest(cx: &mut SessionOnly<'_>) -> Run {
    let (mut sparse, mut dense) = (hyperloglog::empty(), hyperloglog::empty());
    hyperloglog::make_dense(&mut dense)?;
    let mut seen = 0u64;
    for count in [1, 10, 100, 1_000, 10_000, 100_000] {
        while seen < count {
            seen += 1;
            let element = Element::new(&seen.to_le_bytes());
            hyperloglog::add(&mut sparse, element, cx.core.config().hll_sparse_max_bytes)?;
            hyperloglog::add_dense(&mut dense, element);
        }
        let counted: SmallVec<[u64; 2]> = [&sparse, &dense]
            .iter()
            .map(|bytes| HyperLogLog::new(bytes).ok_or(Corrupted)?.count())
            .collect::<Result<_, Corrupted>>()?;
        if counted[0] != counted[1] {
            return Err(CommandError::text("TESTFAILED dense/sparse disagree"));
        }
        // The bound is seven times the standard error.
        let error = counted[0].abs_diff(count);
        if error > count.div_ceil(17) {
            return Err(CommandError::composed(format!("TESTFAILED Too big error. card:{count} abserr:{error}")));
        }
    }
    cx.reply.ok();
    Ok(Outcome::Done)
}
