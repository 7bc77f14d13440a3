//! Step 2: cuts the read buffer into requests, up to the end of a batch.

use ochre_resp::{Args, Cut, Kind, Limits, Protocol, ProtocolError, Span};

use super::{
    check::{self, Verdict},
    keys,
    lookup::{Lookup, lookup},
    turn::{Item, Turn},
};
use crate::commands::Command;

/// The most requests of one batch.
const BATCH_MAX: usize = 32;
/// A request with more arguments runs alone.
const BATCH_ARGS_MAX: usize = 64;
/// The distance, in keys, between prefetching a key's shard and prefetching its slots. It gives the shard time to arrive in the cache.
pub(super) const SHARDS_AHEAD: usize = 4;

/// Further names of commands in the plain protocol.
const PLAIN_ALIASES: &[(&str, &str)] = &[("stop", "quit")];

/// The result of cutting. The requests of the batch are in the turn's workspace.
pub(super) struct CutBatch {
    /// Where the last request of the batch ends in the input.
    pub(super) batch_end: usize,
    /// The number of spans that belong to the batch. After them come the spans of a request that is to be run alone.
    pub(super) spans: usize,
    /// Why the batch ends there.
    pub(super) stop: Stop,
}

/// Why a batch ends.
pub(super) enum Stop {
    /// It is full.
    Full,
    /// The next request, which ends at `end` in the input, is to be run alone.
    Single { command: &'static Command, end: usize },
    /// The next request is incomplete. It has at least `wanted` bytes.
    Incomplete { wanted: usize },
    /// The next line, which ends at `end` in the input, is not a request. It is answered with the error, and the connection goes on.
    BadLine { end: usize, error: &'static str },
    /// The input is not valid in the protocol. The connection is closed after the error.
    ProtocolError(ProtocolError),
    /// As [`Lookup::CrossProtocol`].
    CrossProtocol,
}

impl Turn<'_> {
    /// Cuts requests from the input, from `start` on, for as long as they may share a batch.
    pub(super) fn cut_batch(&mut self, input: &mut [u8], start: usize) -> CutBatch {
        let Turn { core, config, session, parser, work, .. } = self;
        work.clear();
        let keyspace = &core.server.keyspace;
        core.server.users.refresh(&mut session.identity);
        // Requests are limited to a smaller size before authentication.
        let limits = Limits {
            bulk_len_max: config.proto_max_bulk_len as usize,
            unauthenticated: !session.identity.is_authenticated(),
            plain: session.protocol == Protocol::Plain,
            ..Limits::default()
        };
        let aliases = if limits.plain { PLAIN_ALIASES } else { &[] };
        let is_plain = session.is_plain();
        let flags_to_check = check::flags_to_check(core, config, session);
        // The attempt, if there is one, belongs to the first request, which is tried again.
        let has_left_batch = session.attempt.as_ref().is_some_and(|attempt| attempt.has_left_batch);
        // The previous command and its name. The same command often follows, which saves the lookup.
        let mut before: Option<(Span, &'static Command)> = None;
        let mut at = start;
        let mut slots_asked = 0;
        loop {
            let first_span = work.spans.len();
            let stopped = |stop| CutBatch { batch_end: at, spans: first_span, stop };
            if work.items.len() == BATCH_MAX {
                return stopped(Stop::Full);
            }
            work.keep_quoted(input, at);
            let end = match parser.cut(input, at, &limits, &mut work.spans) {
                Ok(Cut::Request { consumed, kind }) => {
                    // A client that sends RESP is answered in RESP, even if `inline-replies` is plain.
                    if kind == Kind::Multibulk && session.protocol == Protocol::Plain {
                        session.speak(Protocol::Resp2);
                    }
                    at + consumed
                }
                Ok(Cut::Nothing { consumed }) => {
                    at += consumed;
                    continue;
                }
                Ok(Cut::Incomplete { wanted }) => return stopped(Stop::Incomplete { wanted }),
                Ok(Cut::BadLine { consumed, reason }) => {
                    return stopped(Stop::BadLine { end: at + consumed, error: reason });
                }
                Err(error) => return stopped(Stop::ProtocolError(error)),
            };
            let args = Args::new(input, &work.spans[first_span..]);
            let found = match before {
                Some((name, command)) if Args::new(input, &[name]).get(0) == args.get(0) => Lookup::Command(command),
                _ => lookup(args, aliases),
            };
            let (command, refusal) = match found {
                Lookup::Command(command) => {
                    let flags = command.spec.flags;
                    let shares_batch = command.spec.may_share_batch(args.len()) && !has_left_batch;
                    if !(shares_batch && is_plain && args.len() <= BATCH_ARGS_MAX) {
                        return stopped(Stop::Single { command, end });
                    }
                    before = Some((work.spans[first_span], command));
                    let verdict = if command.allows_arity(args.len()) && !flags.intersects(flags_to_check) {
                        Verdict::Run
                    } else {
                        check::check(core, config, session, command, args)
                    };
                    match verdict {
                        Verdict::Run => {
                            let first = work.hashed.len();
                            keys::hash_into(keyspace, command.spec, args, &mut work.hashed);
                            for &(_, hash) in &work.hashed[first..] {
                                keyspace.prefetch_shard(hash);
                            }
                            // By now the shards of earlier keys have arrived.
                            while slots_asked + SHARDS_AHEAD < work.hashed.len() {
                                keyspace.prefetch_slot(work.hashed[slots_asked].1);
                                slots_asked += 1;
                            }
                            (Some(command), None)
                        }
                        // A request before it may free memory, so it is checked again after the batch.
                        Verdict::Refused(error) if check::is_for_memory(&error) && work.may_write() => {
                            return stopped(Stop::Single { command, end });
                        }
                        Verdict::Refused(error) => (Some(command), Some(error)),
                        Verdict::Held(_) | Verdict::Queued => return stopped(Stop::Single { command, end }),
                    }
                }
                Lookup::Unknown(error) => {
                    check::refused(session);
                    (None, Some(error))
                }
                Lookup::CrossProtocol => return stopped(Stop::CrossProtocol),
            };
            work.items.push(Item {
                command,
                spans_end: work.spans.len() as u32,
                hashed_end: work.hashed.len() as u32,
                end,
                refusal,
            });
            at = end;
        }
    }
}
