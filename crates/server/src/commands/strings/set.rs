//! Setting strings: SET with its options, the older commands that the options replace, and commands on several keys.

use ochre_datatypes::number::parse_i64;
use ochre_keyspace::{EntryRef, ExpiryChange, HashedKey, NewValue};
use ochre_resp::Args;

use super::{STRING, compare::Comparison, reply_old_string};
use crate::{
    commands::{
        CommandError, CommandSpec, Flags, Handler,
        context::{KeyedWrite, Outcome, Run},
        expire::TimeUnit,
        keys::announce_set,
        table::{BeginSearch, FindKeys, KeyFlags, KeySpec},
    },
    events::NotifyClass,
};

/// The rows of commands that set strings.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "getex",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec {
            notes: Some("RW and UPDATE because it changes the TTL"),
            ..KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
        }],
        since: "6.2.0",
        summary: "Returns the string of a key, and sets or removes the key's expiry.",
        syntax: "key [EX seconds:integer|PX milliseconds:integer|EXAT unix-time-seconds:unix-time|\
                 PXAT unix-time-milliseconds:unix-time|PERSIST]",
        handler: Handler::Write(getex),
        ..STRING
    },
    CommandSpec {
        name: "getset",
        arity: 3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        since: "1.0.0",
        summary: "Sets a key to a string, and returns its old string.",
        syntax: "key value",
        deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
        handler: Handler::Write(getset),
        ..STRING
    },
    CommandSpec {
        name: "mset",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BATCH),
        keys: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        since: "1.0.1",
        complexity: "O(N) with N keys",
        summary: "Sets several keys to strings, atomically.",
        syntax: "(key value)...",
        handler: Handler::Write(mset),
        ..STRING
    },
    CommandSpec {
        name: "msetex",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec {
            flags: KeyFlags::OW.union(KeyFlags::UPDATE),
            begin: BeginSearch::Index(1),
            find: FindKeys::Count { at: 0, first: 1, step: 2 },
            notes: None,
        }],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        since: "9.1.0",
        complexity: "O(N) with N keys",
        summary: "Sets several keys to strings with one expiry, and optionally only if all or none of the keys exist.",
        syntax: "numkeys:integer (key value)... [NX|XX] [EX seconds:integer|PX milliseconds:integer|\
                 EXAT unix-time-seconds:unix-time|PXAT unix-time-milliseconds:unix-time|KEEPTTL]",
        handler: Handler::Write(msetex),
        ..STRING
    },
    CommandSpec {
        name: "msetnx",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BATCH),
        keys: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::INSERT))],
        since: "1.0.1",
        complexity: "O(N) with N keys",
        summary: "Sets several keys to strings, but only if none of the keys exists.",
        syntax: "(key value)...",
        handler: Handler::Write(msetnx),
        ..STRING
    },
    CommandSpec {
        name: "psetex",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
        since: "2.6.0",
        summary: "Sets a key to a string with an expiry, in milliseconds from now.",
        syntax: "key milliseconds:integer value",
        deprecated: Some(("2.6.12", "`SET` with the `PX` argument")),
        handler: Handler::Write(|cx| set_for(cx, TimeUnit::Milliseconds)),
        ..STRING
    },
    CommandSpec {
        name: "set",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BATCH),
        keys: &[KeySpec {
            notes: Some("RW and ACCESS due to the optional `GET` argument"),
            ..KeySpec::one(
                1,
                KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
            )
        }],
        variable_flags: Some(set_key_flags),
        since: "1.0.0",
        summary: "Sets a key to a string, in place of any value. Options set a condition and an expiry.",
        syntax: "key value [NX|XX|IFEQ value|IFNE value|IFDEQ digest|IFDNE digest] [GET] [EX seconds:integer|\
                 PX milliseconds:integer|EXAT unix-time-seconds:unix-time|PXAT unix-time-milliseconds:unix-time|KEEPTTL]",
        handler: Handler::Write(set),
        ..STRING
    },
    CommandSpec {
        name: "setex",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
        since: "2.0.0",
        summary: "Sets a key to a string with an expiry, in seconds from now.",
        syntax: "key seconds:integer value",
        deprecated: Some(("2.6.12", "`SET` with the `EX` argument")),
        handler: Handler::Write(|cx| set_for(cx, TimeUnit::Seconds)),
        ..STRING
    },
    CommandSpec {
        name: "setnx",
        arity: 3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::INSERT))],
        since: "1.0.0",
        summary: "Sets a key to a string, but only if the key does not exist.",
        syntax: "key value",
        deprecated: Some(("2.6.12", "`SET` with the `NX` argument")),
        handler: Handler::Write(setnx),
        ..STRING
    },
];

/// SET reads its key only with GET. (Redis: `setGetKeys`)
fn set_key_flags(args: Args<'_>) -> KeyFlags {
    if args.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"GET")) {
        KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE
    } else {
        KeyFlags::OW | KeyFlags::UPDATE
    }
}

/// The condition of SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition<'a> {
    None,
    /// NX
    Absent,
    /// XX
    Present,
    /// IFEQ, IFNE, IFDEQ, IFDNE
    Compares(Comparison<'a>),
}

/// The option about the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpiryOption<'a> {
    None,
    Keep,
    Persist,
    At(Deadline<'a>),
}

/// An expiry as the request gives it: by EX, PX, EXAT or PXAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Deadline<'a> {
    unit: TimeUnit,
    /// Whether it counts from 1970 rather than from now.
    absolute: bool,
    amount: &'a [u8],
}

impl Deadline<'_> {
    /// The expiry in milliseconds since 1970. The error names `command`.
    fn at_ms(self, now_ms: i64, command: &str) -> Result<i64, CommandError> {
        let amount = parse_i64(self.amount).ok_or(CommandError::NOT_AN_INTEGER)?;
        let base_ms = if self.absolute { 0 } else { now_ms };
        let at_ms = self.unit.after(base_ms, amount);
        at_ms.filter(|_| amount > 0).ok_or_else(|| CommandError::invalid_expire(command))
    }
}

/// The options of SET. GETEX and MSETEX take some of them.
#[derive(Debug, PartialEq, Eq)]
struct Options<'a> {
    condition: Condition<'a>,
    /// GET: reply with the old string.
    returns_old: bool,
    expiry: ExpiryOption<'a>,
}

/// The command, which decides about the options that it takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Set,
    GetEx,
    MultiSet,
}

impl<'a> Options<'a> {
    /// Parses the options from an argument on. An option may be repeated, and the last one counts. Options of one kind exclude each other.
    fn parse(args: Args<'a>, from: usize, known: Known) -> Result<Options<'a>, CommandError> {
        let mut options = Options { condition: Condition::None, returns_old: false, expiry: ExpiryOption::None };
        let mut index = from;
        while index < args.len() {
            index += if options.take_flag(args.get(index), known) {
                1
            } else if index + 1 < args.len() && options.take_pair(args.get(index), args.get(index + 1), known) {
                2
            } else {
                return Err(CommandError::SYNTAX);
            };
        }
        Ok(options)
    }

    /// Takes an option of one word. Returns whether the word is an option, and one that is allowed here.
    fn take_flag(&mut self, word: &[u8], known: Known) -> bool {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let sets = known != Known::GetEx;
        if is("NX") && sets && matches!(self.condition, Condition::None | Condition::Absent) {
            self.condition = Condition::Absent;
        } else if is("XX") && sets && matches!(self.condition, Condition::None | Condition::Present) {
            self.condition = Condition::Present;
        } else if is("GET") && known == Known::Set {
            self.returns_old = true;
        } else if is("KEEPTTL") && sets && matches!(self.expiry, ExpiryOption::None | ExpiryOption::Keep) {
            self.expiry = ExpiryOption::Keep;
        } else if is("PERSIST")
            && known == Known::GetEx
            && matches!(self.expiry, ExpiryOption::None | ExpiryOption::Persist)
        {
            self.expiry = ExpiryOption::Persist;
        } else {
            return false;
        }
        true
    }

    /// Takes an option with a value. Returns whether the word is an option, and one that is allowed here.
    fn take_pair(&mut self, word: &[u8], value: &'a [u8], known: Known) -> bool {
        if let Some((unit, absolute)) = TimeUnit::of_option(word) {
            let deadline = Deadline { unit, absolute, amount: value };
            let is_allowed = match self.expiry {
                ExpiryOption::None => true,
                ExpiryOption::At(before) => (before.unit, before.absolute) == (deadline.unit, deadline.absolute),
                ExpiryOption::Keep | ExpiryOption::Persist => false,
            };
            self.expiry = ExpiryOption::At(deadline);
            return is_allowed;
        }
        match Comparison::parse(word, value) {
            Some(comparison) if known == Known::Set && self.condition == Condition::None => {
                self.condition = Condition::Compares(comparison);
                true
            }
            _ => false,
        }
    }
}

impl ExpiryOption<'_> {
    /// The change of the expiry of a key that is set.
    fn change(self, now_ms: i64, command: &str) -> Result<ExpiryChange, CommandError> {
        Ok(match self {
            ExpiryOption::None | ExpiryOption::Persist => ExpiryChange::Clear,
            ExpiryOption::Keep => ExpiryChange::Keep,
            ExpiryOption::At(deadline) => ExpiryChange::At(deadline.at_ms(now_ms, command)?),
        })
    }
}

/// Why a key was not set.
enum Unset {
    Condition,
    Error(CommandError),
}

impl Condition<'_> {
    fn check(self, entry: Option<EntryRef<'_>>) -> Result<(), Unset> {
        let holds = match (self, entry) {
            (Condition::None, _) => true,
            (Condition::Absent, entry) => entry.is_none(),
            (Condition::Present, entry) => entry.is_some(),
            (Condition::Compares(comparison), None) => comparison.holds_without_key(),
            (Condition::Compares(comparison), Some(entry)) => {
                let value = super::string_of(entry).map_err(Unset::Error)?;
                comparison.holds(value).map_err(Unset::Error)?
            }
        };
        if holds { Ok(()) } else { Err(Unset::Condition) }
    }
}

fn set(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, value) = (cx.key(1), cx.args.get(2));
    if cx.args.len() == 3 {
        let database = cx.db();
        let before = cx.keys.set(database, key, NewValue::from_bytes(value), ExpiryChange::Clear);
        announce_set(cx, key, before);
        cx.reply.ok();
        return Ok(Outcome::Done);
    }
    let options = Options::parse(cx.args, 3, Known::Set)?;
    let expiry = options.expiry.change(cx.now_ms, cx.command.spec.name)?;
    if options.returns_old {
        reply_old_string(cx, key)?;
    }
    let is_set = set_if(cx, key, value, options.condition, expiry)?;
    match (options.returns_old, is_set) {
        (true, _) => {}
        (false, true) => cx.reply.ok(),
        (false, false) => cx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn setnx(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, value) = (cx.key(1), cx.args.get(2));
    let is_set = set_if(cx, key, value, Condition::Absent, ExpiryChange::Clear)?;
    cx.reply.integer(is_set.into());
    Ok(Outcome::Done)
}

/// SETEX and PSETEX.
fn set_for(cx: &mut KeyedWrite<'_>, unit: TimeUnit) -> Run {
    let deadline = Deadline { unit, absolute: false, amount: cx.args.get(2) };
    let at_ms = deadline.at_ms(cx.now_ms, cx.command.spec.name)?;
    let (key, value) = (cx.key(1), cx.args.get(3));
    set_if(cx, key, value, Condition::None, ExpiryChange::At(at_ms))?;
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn getset(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, value) = (cx.key(1), cx.args.get(2));
    reply_old_string(cx, key)?;
    set_if(cx, key, value, Condition::None, ExpiryChange::Clear)?;
    Ok(Outcome::Done)
}

/// Sets a key if the condition holds, and announces it. Returns whether it was set.
fn set_if<'a>(
    cx: &mut KeyedWrite<'a>,
    key: HashedKey<'a>,
    value: &'a [u8],
    condition: Condition<'_>,
    expiry: ExpiryChange,
) -> Result<bool, CommandError> {
    let database = cx.db();
    let before = cx.keys.replace(database, key, |entry| {
        condition.check(entry)?;
        Ok((NewValue::from_bytes(value), expiry))
    });
    let before = match before {
        Ok(before) => before,
        Err(Unset::Condition) => return Ok(false),
        Err(Unset::Error(error)) => return Err(error),
    };
    announce_set(cx, key, before);
    if let ExpiryChange::At(_) = expiry {
        cx.announce(key, NotifyClass::GENERIC, "expire");
    }
    journal_set(cx, key, value, expiry);
    Ok(true)
}

/// Records a SET without its condition, and with an absolute expiry.
fn journal_set<'a>(cx: &mut KeyedWrite<'a>, key: HashedKey<'a>, value: &'a [u8], expiry: ExpiryChange) {
    cx.journal(|| {
        let mut words = vec![b"SET".into(), key.bytes.into(), value.into()];
        match expiry {
            ExpiryChange::Clear => {}
            ExpiryChange::Keep => words.push(b"KEEPTTL".into()),
            ExpiryChange::At(at_ms) => words.extend([b"PXAT".into(), at_ms.to_string().into_bytes().into()]),
        }
        words
    });
}

fn getex(cx: &mut KeyedWrite<'_>) -> Run {
    let options = if cx.args.len() > 2 { Some(Options::parse(cx.args, 2, Known::GetEx)?) } else { None };
    let (key, database) = (cx.key(1), cx.db());
    if !reply_old_string(cx, key)? {
        return Ok(Outcome::Done);
    }
    match options.map(|options| options.expiry) {
        Some(ExpiryOption::At(deadline)) => {
            let at_ms = deadline.at_ms(cx.now_ms, cx.command.spec.name)?;
            if deadline.absolute && at_ms <= cx.now_ms {
                cx.keys.remove(database, key);
                cx.changed(key, NotifyClass::GENERIC, "del");
                cx.journal(|| vec![b"DEL".into(), key.bytes.into()]);
            } else {
                cx.keys.set_expiry(database, key, Some(at_ms));
                cx.changed(key, NotifyClass::GENERIC, "expire");
                cx.journal(|| vec![b"PEXPIREAT".into(), key.bytes.into(), at_ms.to_string().into_bytes().into()]);
            }
        }
        Some(ExpiryOption::Persist) => {
            let expires = cx.keys.peek(database, key).is_some_and(|entry| entry.expiry_ms().is_some());
            if expires {
                cx.keys.set_expiry(database, key, None);
                cx.changed(key, NotifyClass::GENERIC, "persist");
                cx.journal(|| vec![b"PERSIST".into(), key.bytes.into()]);
            }
        }
        Some(ExpiryOption::None | ExpiryOption::Keep) | None => {}
    }
    Ok(Outcome::Done)
}

/// Refuses a last key without a value.
fn check_pairs(cx: &KeyedWrite<'_>) -> Result<(), CommandError> {
    if cx.args.len() % 2 == 1 { Ok(()) } else { Err(CommandError::wrong_arity(cx.command.spec.name)) }
}

/// Sets the keys of MSET and MSETNX.
fn set_pairs(cx: &mut KeyedWrite<'_>) {
    let database = cx.db();
    for index in (1..cx.args.len()).step_by(2) {
        let key = cx.nth_key(index / 2, index);
        let before = cx.keys.set(database, key, NewValue::from_bytes(cx.args.get(index + 1)), ExpiryChange::Clear);
        announce_set(cx, key, before);
    }
}

fn mset(cx: &mut KeyedWrite<'_>) -> Run {
    check_pairs(cx)?;
    set_pairs(cx);
    cx.reply.ok();
    Ok(Outcome::Done)
}

fn msetnx(cx: &mut KeyedWrite<'_>) -> Run {
    check_pairs(cx)?;
    let database = cx.db();
    let any = (1..cx.args.len()).step_by(2).any(|index| cx.keys.get(database, cx.nth_key(index / 2, index)).is_some());
    if !any {
        set_pairs(cx);
    }
    cx.reply.integer((!any).into());
    Ok(Outcome::Done)
}

fn msetex(cx: &mut KeyedWrite<'_>) -> Run {
    let pairs = parse_i64(cx.args.get(1)).filter(|pairs| (1..=i64::from(i32::MAX)).contains(pairs));
    let Some(pairs) = pairs else {
        return Err(CommandError::text("ERR invalid numkeys value or out of range"));
    };
    let after_pairs = 2 + 2 * pairs as usize;
    if cx.args.len() < after_pairs {
        return Err(CommandError::SYNTAX);
    }
    let options = Options::parse(cx.args, after_pairs, Known::MultiSet)?;
    let expiry = options.expiry.change(cx.now_ms, cx.command.spec.name)?;
    let database = cx.db();
    for index in (2..after_pairs).step_by(2) {
        let entry = cx.keys.get(database, cx.nth_key(index / 2 - 1, index));
        if options.condition.check(entry).is_err() {
            cx.reply.integer(0);
            return Ok(Outcome::Done);
        }
    }
    for index in (2..after_pairs).step_by(2) {
        let (key, value) = (cx.nth_key(index / 2 - 1, index), cx.args.get(index + 1));
        let before = cx.keys.set(database, key, NewValue::from_bytes(value), expiry);
        announce_set(cx, key, before);
        if let ExpiryChange::At(_) = expiry {
            cx.announce(key, NotifyClass::GENERIC, "expire");
        }
        journal_set(cx, key, value, expiry);
    }
    cx.reply.integer(1);
    Ok(Outcome::Done)
}
