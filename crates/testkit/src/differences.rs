//! Where Ochre means to differ from the reference servers: a row for each difference, with the reason.
//!
//! The differential test accepts the differences of these rows and no others, and COMPAT.md lists them. So a difference without a row is a
//! mistake that a test finds, and a row without a reason cannot be written.

use crate::{Kind, Reply};

/// A difference between Ochre and a reference server.
pub struct Difference {
    /// The commands, as in [`crate::command_table::Command::name`]; none if it concerns all or is about no command.
    pub commands: &'static [&'static str],
    /// The reference server that Ochre differs from. `None` means both.
    pub from: Option<Kind>,
    /// What Ochre does, and what the reference server does.
    pub what: &'static str,
    /// The reason.
    pub why: &'static str,
    /// How the differential test meets it.
    pub seen: Seen,
}

/// How the differential test meets a difference. The functions are given the arguments of a request, which begin with the command's name.
#[derive(Clone, Copy)]
pub enum Seen {
    /// In replies: whether this is such a request, by its arguments, Ochre's reply and the reference server's reply.
    InReplies(fn(&[Vec<u8>], &Reply, &Reply) -> bool),
    /// It does not, since such requests, by their arguments, are not drawn: the data would differ afterwards.
    NotDrawn(fn(&[Vec<u8>]) -> bool),
    /// It does not, for it depends on time, on other clients or on the configuration. Another test may.
    Elsewhere,
}

const AS_REDIS: &str = "Ochre follows Redis where the two differ.";

/// All differences.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        commands: &[],
        from: None,
        what: "An error repeats an argument with its zero bytes. The references end the argument at its first zero byte.",
        why: "The references copy the argument as a C string; with all its bytes the error says what was sent.",
        seen: Seen::InReplies(differs_after_zero_byte),
    },
    Difference {
        commands: &[],
        from: None,
        what: "TLS: the versions are 1.2 and 1.3, and keys are agreed on by elliptic curves only, so `tls-dh-params-file` has no effect. A \
               certificate of a client must be of X.509 version 3. Every file in `tls-ca-cert-dir` is read, whatever its name. A handshake \
               must be finished within `tls-handshake-timeout` seconds. The references have OpenSSL and no such limit.",
        why: "What is left out is what attacks on TLS have used. A silent client must not keep a connection.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &[],
        from: None,
        what: "SIGHUP reads the certificates and keys of TLS again. The references ignore it.",
        why: "It is how other servers are told that certificates were renewed.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["client|setname", "client|setinfo", "hello"],
        from: None,
        what: "A name with a zero byte is refused. The references check it only up to that byte, and accept it.",
        why: "Such a name breaks the format of CLIENT LIST.",
        seen: Seen::InReplies(|arguments, ours, _| has_zero_byte(arguments) && ours.is_error()),
    },
    Difference {
        commands: &["client|getname"],
        from: None,
        what: "Never returns a name with a zero byte.",
        why: "CLIENT SETNAME refuses it.",
        seen: Seen::InReplies(|_, _, theirs| theirs.as_bytes().is_some_and(|name| name.contains(&0))),
    },
    Difference {
        commands: &["lset"],
        from: None,
        what: "An index wider than 32 bits is out of range. The references set another element.",
        why: "The references truncate the index to 32 bits, and overwrite an element that the client did not name.",
        seen: Seen::NotDrawn(|arguments| arguments.get(2).is_some_and(|index| is_wider_than_32_bits(index))),
    },
    Difference {
        commands: &["keys"],
        from: None,
        what: "Runs in slices: commands of other clients run in between, and a key that is added, removed or renamed meanwhile may be listed or \
               not. Inside MULTI it sees one instant.",
        why: "A walk over many keys would stall all other clients.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["scan"],
        from: None,
        what: "A call with a large COUNT runs in slices like KEYS.",
        why: "A walk over many keys would stall all other clients.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["randomkey"],
        from: None,
        what: "Returns null while CLIENT PAUSE is on and all keys have expired. The references return an expired key.",
        why: "No command sees an expired key.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["watch"],
        from: None,
        what: "Removes and announces a key that has expired. On the references it stays until another command meets it.",
        why: "A removal after WATCH then always means that the key expired while it was watched.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["bitcount"],
        from: Some(Kind::Redis),
        what: "Accepts a start without an end, as Valkey 9.1 does.",
        why: "Programs that were written for Valkey run unchanged.",
        seen: Seen::InReplies(|arguments, _, theirs| arguments.len() == 3 && theirs.is_error()),
    },
    Difference {
        commands: &["client|reply"],
        from: Some(Kind::Redis),
        what: "Refused inside MULTI, as in Valkey 9.1. Redis leaves replies out of EXEC's array.",
        why: "A client would wait for elements that never come.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["restore", "restore-asking"],
        from: None,
        what: "A payload is always checked as with `sanitize-dump-payload yes`. Without it, the references accept a hash that has a field twice. \
               A value that reaches into the version and the checksum behind it is refused.",
        why: "The value is read into Ochre's own form, whose order and uniqueness must hold.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["set", "setex", "psetex", "getex", "hsetex", "msetex"],
        from: None,
        what: "A key or field whose expiry is in the past is removed within milliseconds. The references keep it until it is looked up or found \
               by sampling.",
        why: "Deadlines are sorted, so no sampling is needed.",
        seen: Seen::NotDrawn(|arguments| {
            arguments.windows(2).any(|pair| {
                let at: Option<i64> = str::from_utf8(&pair[1]).ok().and_then(|word| word.parse().ok());
                let is_within = |max| at.is_some_and(|at| (1..=max).contains(&at));
                pair[0].eq_ignore_ascii_case(b"EXAT") && is_within(1_700_000_000)
                    || pair[0].eq_ignore_ascii_case(b"PXAT") && is_within(1_700_000_000_000)
            })
        }),
    },
    Difference {
        commands: &["hdel"],
        from: Some(Kind::Redis),
        what: "Does not count a field that has expired, even if nothing has removed it yet. Redis does.",
        why: "No command sees an expired field, so the reply does not depend on when the field is removed.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["hlen"],
        from: None,
        what: "Never counts an expired field. The references count it until it is removed.",
        why: "No command sees an expired field, so the reply does not depend on when the field is removed.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["hpersist"],
        from: None,
        what: "When the last expiring field of a hash persists, INFO counts the hash no longer. On the references it stays in \
               `subexpiry` or `keys_with_volatile_items`.",
        why: "The figure is exact, since each change of a hash is counted with it.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["sort", "sort_ro"],
        from: Some(Kind::Redis),
        what: "Sorts numbers whatever another command has failed at before. Redis may answer that a score cannot be converted.",
        why: "Redis looks at an error code of the C library that the earlier command has left.",
        seen: Seen::InReplies(|_, ours, theirs| {
            !ours.is_error() && theirs.to_text().contains("can't be converted into double")
        }),
    },
    Difference {
        commands: &["sort"],
        from: Some(Kind::Redis),
        what: "STORE stores numbers sorted, whatever another command has failed at before. Redis may answer that a score cannot be converted.",
        why: "Redis looks at an error code of the C library that the earlier command has left.",
        seen: Seen::NotDrawn(|arguments| has_word(arguments, b"STORE") && !has_word(arguments, b"ALPHA")),
    },
    Difference {
        commands: &["fcall", "fcall_ro", "function|load"],
        from: None,
        what: "Variables that the functions of a library share have a value on each core, so a counter in one counts the calls of its core. A \
               library that registers two functions whose names differ only in case is refused; the references accept it.",
        why: "Each core has an interpreter of its own, so that cores do not wait for each other. FCALL ignores the case of names.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["sort"],
        from: None,
        what: "STORE over a key of another type serves clients that are blocked on the key, as STORE to a new key does. On the references they \
               go on waiting.",
        why: "A blocked client is served by whatever makes an element available.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["select", "move", "swapdb", "copy"],
        from: None,
        what: "A server may have any number of databases that `databases` allows, and unused ones cost nothing.",
        why: "A database is allocated when it is first used.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["dbsize", "info", "memory|stats"],
        from: None,
        what: "Expired keys are removed within milliseconds, so they are hardly ever counted. The references count them until they are looked \
               up or found by sampling.",
        why: "Deadlines are sorted, so no sampling is needed.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["del", "set", "rename", "flushall", "flushdb"],
        from: None,
        what: "Large values are freed by another thread, whatever removed them and whatever `lazyfree-lazy-…` say. Redis frees them at once \
               unless a directive or UNLINK says otherwise.",
        why: "No client waits for the freeing.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &[],
        from: None,
        what: "At `maxmemory`, a command that needs memory waits for removed values that are being freed, and is refused only if that does not \
               suffice. The references wait for a moment at most.",
        why: "The memory of what a client has just removed is free for its next command, though another thread frees it.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &[],
        from: None,
        what: "Keys are evicted before commands that need memory, and by each core on its own. Redis evicts before every command. `volatile-ttl` \
               evicts exactly the key that expires first, where the references sample.",
        why: "Reading costs nothing at the limit, and the deadlines are sorted.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["config|set"],
        from: None,
        what: "The error for a wrong `maxmemory-policy` lists `allkeys-lrm` and `volatile-lrm` too, which Redis has from 8.6 on.",
        why: "These policies can be chosen here.",
        seen: Seen::InReplies(|_, ours, _| ours.is_error() && ours.to_text().contains("volatile-lrm")),
    },
    Difference {
        commands: &[],
        from: None,
        what: "`activedefrag` is `yes` by default. It moves entries, with packed collections in them, and tables of keys; the parts of large values stay.",
        why: "No client waits for it, and it begins only when much memory is wasted.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &[],
        from: None,
        what: "Buffers of clients count for at most a half of `maxmemory`. What waits to be written to files does not count, snapshots among it.",
        why: "Clients that do not read must not empty the store.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["quit"],
        from: None,
        what: "All replies before it are sent, and those to a client that has closed its sending direction. Redis drops what the socket does \
               not take at once.",
        why: "A client that pipelines gets the replies to all that was run.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["hrandfield", "srandmember", "zrandmember"],
        from: None,
        what: "A count below -67108864 (2^26 elements) is refused.",
        why: "Redis would run out of memory.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["memory|usage", "object|refcount"],
        from: None,
        what: "Shows the sizes of Ochre's own entries, and 1 as the reference count of every value.",
        why: "Entries lie differently in memory, and no value is shared.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["pfdebug"],
        from: None,
        what: "SIMD is accepted and changes nothing.",
        why: "There is one way of merging.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["replicaof", "failover"],
        from: None,
        what: "Answers an error, unless the server is to stay a primary.",
        why: "Ochre does not replicate yet.",
        seen: Seen::Elsewhere,
    },
    Difference {
        commands: &["client|list"],
        from: Some(Kind::Redis),
        what: "Accepts Valkey's filters, any number of them. Redis accepts one.",
        why: "A filter that Redis refuses harms nobody.",
        seen: Seen::InReplies(|_, _, theirs| theirs.is_error()),
    },
    Difference {
        commands: &["client|list"],
        from: Some(Kind::Valkey),
        what: "Accepts the ID 0 and refuses an empty list of IDs, Valkey the opposite.",
        why: AS_REDIS,
        seen: Seen::InReplies(|_, ours, theirs| {
            let names_client = |reply: &Reply| reply.is_error() && reply.to_text().contains("client");
            ours.is_error() != theirs.is_error() || names_client(ours) || names_client(theirs)
        }),
    },
    Difference {
        commands: &["client|list"],
        from: Some(Kind::Valkey),
        what: "An error for flags names all letters. Valkey reads them only up to the first zero byte.",
        why: "With all its bytes the error says what was sent.",
        seen: Seen::InReplies(|arguments, ours, theirs| {
            has_zero_byte(arguments) && ours.is_error() && theirs.is_error()
        }),
    },
    Difference {
        commands: &["client|kill"],
        from: Some(Kind::Valkey),
        what: "The error for a wrong ID has Redis's text.",
        why: AS_REDIS,
        seen: Seen::InReplies(|_, ours, theirs| ours.is_error() && theirs.is_error()),
    },
    Difference {
        commands: &["geosearch", "geosearchstore"],
        from: Some(Kind::Valkey),
        what: "Errors have Redis's texts, and hexadecimal doubles are numbers.",
        why: AS_REDIS,
        seen: Seen::InReplies(|arguments, ours, theirs| {
            ours.is_error() && theirs.is_error() || has_hexadecimal(arguments)
        }),
    },
    Difference {
        commands: &["geosearchstore"],
        from: Some(Kind::Valkey),
        what: "Hexadecimal doubles are numbers, so another area may be stored.",
        why: AS_REDIS,
        seen: Seen::NotDrawn(has_hexadecimal),
    },
    Difference {
        commands: &["geosearch"],
        from: Some(Kind::Valkey),
        what: "Coordinates have all their decimals. Valkey truncates them after seventeen.",
        why: AS_REDIS,
        seen: Seen::InReplies(|arguments, _, _| {
            arguments.iter().any(|argument| argument.eq_ignore_ascii_case(b"WITHCOORD"))
        }),
    },
    Difference {
        commands: &["hsetex"],
        from: Some(Kind::Valkey),
        what: "Errors and encodings are Redis's. Valkey's options NX and XX work as on Valkey.",
        why: AS_REDIS,
        seen: Seen::NotDrawn(|_| true),
    },
    Difference {
        commands: &["object|encoding"],
        from: Some(Kind::Valkey),
        what: "Strings of some lengths are `embstr` where Valkey says `raw`, or the other way round.",
        why: AS_REDIS,
        seen: Seen::InReplies(|_, ours, theirs| same_encoding(Kind::Valkey, ours, theirs)),
    },
];

impl Difference {
    /// Whether it concerns a command, beside a reference server.
    fn concerns(&self, command: &str, reference: Kind) -> bool {
        let names_it = self.commands.is_empty() || self.commands.contains(&command);
        names_it && self.from.is_none_or(|from| from == reference)
    }
}

/// Whether a difference between two replies to a request is intended.
pub fn is_intended(command: &str, arguments: &[Vec<u8>], reference: Kind, ours: &Reply, theirs: &Reply) -> bool {
    DIFFERENCES.iter().filter(|row| row.concerns(command, reference)).any(|row| match row.seen {
        Seen::InReplies(is_seen) => is_seen(arguments, ours, theirs),
        Seen::NotDrawn(_) | Seen::Elsewhere => false,
    })
}

/// Whether a request can be drawn for comparison with a reference server.
pub fn can_be_drawn(command: &str, arguments: &[Vec<u8>], reference: Kind) -> bool {
    !DIFFERENCES.iter().filter(|row| row.concerns(command, reference)).any(|row| match row.seen {
        Seen::NotDrawn(is_such) => is_such(arguments),
        Seen::InReplies(_) | Seen::Elsewhere => false,
    })
}

/// Whether a key may have these encodings on the two servers. Valkey embeds strings of other lengths than Redis does.
pub fn same_encoding(reference: Kind, ours: &Reply, theirs: &Reply) -> bool {
    let is_text = |encoding: &Reply| ["raw", "embstr"].contains(&encoding.to_text().as_str());
    ours == theirs || (reference == Kind::Valkey && is_text(ours) && is_text(theirs))
}

fn has_hexadecimal(arguments: &[Vec<u8>]) -> bool {
    arguments.iter().any(|argument| argument.starts_with(b"0x"))
}

/// Whether one of the arguments is this word, in letters of either case.
fn has_word(arguments: &[Vec<u8>], word: &[u8]) -> bool {
    arguments.iter().any(|argument| argument.eq_ignore_ascii_case(word))
}

fn has_zero_byte(arguments: &[Vec<u8>]) -> bool {
    arguments.iter().any(|argument| argument.contains(&0))
}

/// Whether an argument is a 64-bit number that does not fit in 32 bits.
fn is_wider_than_32_bits(text: &[u8]) -> bool {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<i64>().ok());
    number.is_some_and(|number| i32::try_from(number).is_err())
}

/// Whether two errors differ only after a zero byte in an argument.
fn differs_after_zero_byte(arguments: &[Vec<u8>], ours: &Reply, theirs: &Reply) -> bool {
    let (Reply::Error(ours), Reply::Error(theirs)) = (ours, theirs) else {
        return false;
    };
    arguments.iter().filter(|argument| argument.contains(&0)).any(|argument| {
        let length = argument.iter().take_while(|byte| **byte != 0).count();
        let at = ours.windows(argument.len()).position(|window| window == argument);
        at.is_some_and(|at| [&ours[..at + length], &ours[at + argument.len()..]].concat() == *theirs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_described_in_sentences() {
        for row in DIFFERENCES {
            for text in [row.what, row.why] {
                assert!(text.ends_with('.') && text.len() > 15 && !text.contains('|'), "{:?}: {text}", row.commands);
            }
        }
    }
}
