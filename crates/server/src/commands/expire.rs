//! The expiry of keys: setting, removing and reading it.

use ochre_datatypes::number::parse_i64;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{KeyedRead, KeyedWrite, Outcome, Run},
    keys::GENERIC,
    table::{KeyFlags, KeySpec},
};
use crate::events::NotifyClass;

/// The rows of commands on the expiry of keys.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "expire",
        since: "1.0.0",
        summary: "Sets the expiry of a key, in seconds from now.",
        syntax: "key seconds:integer [NX|XX|GT|LT]",
        handler: Handler::Write(|cx| expire(cx, TimeUnit::Seconds, false)),
        ..SETTING
    },
    CommandSpec {
        name: "expireat",
        since: "1.2.0",
        summary: "Sets the expiry of a key, in seconds since 1970.",
        syntax: "key unix-time-seconds:unix-time [NX|XX|GT|LT]",
        handler: Handler::Write(|cx| expire(cx, TimeUnit::Seconds, true)),
        ..SETTING
    },
    CommandSpec {
        name: "expiretime",
        since: "7.0.0",
        summary: "Returns the expiry of a key, in seconds since 1970.",
        handler: Handler::Read(|cx| time(cx, TimeUnit::Seconds, true)),
        ..READING
    },
    CommandSpec {
        name: "persist",
        arity: 2,
        since: "2.2.0",
        summary: "Removes the expiry of a key.",
        syntax: "key",
        handler: Handler::Write(persist),
        ..SETTING
    },
    CommandSpec {
        name: "pexpire",
        since: "2.6.0",
        summary: "Sets the expiry of a key, in milliseconds from now.",
        syntax: "key milliseconds:integer [NX|XX|GT|LT]",
        handler: Handler::Write(|cx| expire(cx, TimeUnit::Milliseconds, false)),
        ..SETTING
    },
    CommandSpec {
        name: "pexpireat",
        since: "2.6.0",
        summary: "Sets the expiry of a key, in milliseconds since 1970.",
        syntax: "key unix-time-milliseconds:unix-time [NX|XX|GT|LT]",
        handler: Handler::Write(|cx| expire(cx, TimeUnit::Milliseconds, true)),
        ..SETTING
    },
    CommandSpec {
        name: "pexpiretime",
        since: "7.0.0",
        summary: "Returns the expiry of a key, in milliseconds since 1970.",
        handler: Handler::Read(|cx| time(cx, TimeUnit::Milliseconds, true)),
        ..READING
    },
    CommandSpec {
        name: "pttl",
        since: "2.6.0",
        tips: &["nondeterministic_output"],
        summary: "Returns the time until a key expires, in milliseconds.",
        handler: Handler::Read(|cx| time(cx, TimeUnit::Milliseconds, false)),
        ..READING
    },
    CommandSpec {
        name: "ttl",
        since: "1.0.0",
        tips: &["nondeterministic_output"],
        summary: "Returns the time until a key expires, in seconds.",
        handler: Handler::Read(|cx| time(cx, TimeUnit::Seconds, false)),
        ..READING
    },
];

const SETTING: CommandSpec = CommandSpec {
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST).union(Flags::BATCH),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    ..GENERIC
};

const READING: CommandSpec = CommandSpec {
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST).union(Flags::BATCH),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    syntax: "key",
    ..GENERIC
};

/// The unit in which a command counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// EXPIRE, EX and others.
    Seconds,
    /// PEXPIRE, PX and others.
    Milliseconds,
}

impl TimeUnit {
    /// The milliseconds in one unit.
    pub const fn ms(self) -> i64 {
        match self {
            TimeUnit::Seconds => 1000,
            TimeUnit::Milliseconds => 1,
        }
    }

    /// The time that is `amount` units after `base_ms`, in milliseconds; `None` on overflow.
    pub fn after(self, base_ms: i64, amount: i64) -> Option<i64> {
        amount.checked_mul(self.ms())?.checked_add(base_ms)
    }

    /// The unit of the options EX, PX, EXAT and PXAT, and whether the option counts from 1970 rather than from now.
    pub fn of_option(word: &[u8]) -> Option<(TimeUnit, bool)> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        match word.len() {
            2 if is("EX") => Some((TimeUnit::Seconds, false)),
            2 if is("PX") => Some((TimeUnit::Milliseconds, false)),
            4 if is("EXAT") => Some((TimeUnit::Seconds, true)),
            4 if is("PXAT") => Some((TimeUnit::Milliseconds, true)),
            _ => None,
        }
    }
}

/// The conditions of EXPIRE.
#[derive(Clone, Copy, Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(cx: &KeyedWrite<'_>) -> Result<Conditions, CommandError> {
        let mut conditions = Conditions::default();
        for word in cx.args.iter().skip(3) {
            match word.to_ascii_uppercase().as_slice() {
                b"NX" => conditions.nx = true,
                b"XX" => conditions.xx = true,
                b"GT" => conditions.gt = true,
                b"LT" => conditions.lt = true,
                _ => return Err(CommandError::repeating("ERR Unsupported option ", word, "")),
            }
        }
        let Conditions { nx, xx, gt, lt } = conditions;
        if nx && (xx || gt || lt) {
            return Err(CommandError::text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if gt && lt {
            return Err(CommandError::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether a new expiry may replace the key's own. A key without an expiry counts as never expiring.
    fn hold(self, before_ms: Option<i64>, new_ms: i64) -> bool {
        let Conditions { nx, xx, gt, lt } = self;
        match before_ms {
            None => !xx && !gt,
            Some(before_ms) => !nx && (!gt || new_ms > before_ms) && (!lt || new_ms < before_ms),
        }
    }
}

fn expire(cx: &mut KeyedWrite<'_>, unit: TimeUnit, absolute: bool) -> Run {
    let conditions = if cx.args.len() > 3 { Conditions::parse(cx)? } else { Conditions::default() };
    let amount = parse_i64(cx.args.get(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let base_ms = if absolute { 0 } else { cx.now_ms };
    let at_ms = unit.after(base_ms, amount).ok_or_else(|| CommandError::invalid_expire(cx.command.spec.name))?;
    let (key, database) = (cx.key(1), cx.db());
    let holds = cx.keys.get(database, key).is_some_and(|entry| conditions.hold(entry.expiry_ms(), at_ms));
    if holds && at_ms <= cx.now_ms {
        cx.keys.remove(database, key);
        cx.changed(key, NotifyClass::GENERIC, "del");
        cx.journal(|| vec![b"DEL".into(), key.bytes.into()]);
    } else if holds {
        cx.keys.set_expiry(database, key, Some(at_ms));
        cx.changed(key, NotifyClass::GENERIC, "expire");
        cx.journal(|| vec![b"PEXPIREAT".into(), key.bytes.into(), at_ms.to_string().into_bytes().into()]);
    }
    cx.reply.integer(holds.into());
    Ok(Outcome::Done)
}

fn persist(cx: &mut KeyedWrite<'_>) -> Run {
    let (key, database) = (cx.key(1), cx.db());
    let expires = cx.keys.get(database, key).is_some_and(|entry| entry.expiry_ms().is_some());
    if expires {
        cx.keys.set_expiry(database, key, None);
        cx.changed(key, NotifyClass::GENERIC, "persist");
    }
    cx.reply.integer(expires.into());
    Ok(Outcome::Done)
}

/// TTL, PTTL, EXPIRETIME and PEXPIRETIME. The reply is -2 if the key does not exist, and -1 if it has no expiry.
fn time(cx: &mut KeyedRead<'_>, unit: TimeUnit, absolute: bool) -> Run {
    let key = cx.key(1);
    let base_ms = if absolute { 0 } else { cx.now_ms };
    let answer = match cx.lookup_untouched(key).map(|entry| entry.expiry_ms()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at_ms)) => {
            let ms = at_ms.saturating_sub(base_ms).max(0);
            match unit {
                TimeUnit::Milliseconds => ms,
                // Rounded to the nearest second, as in Redis.
                TimeUnit::Seconds => (i128::from(ms) + 500).div_euclid(1000) as i64,
            }
        }
    };
    cx.reply.integer(answer);
    Ok(Outcome::Done)
}
