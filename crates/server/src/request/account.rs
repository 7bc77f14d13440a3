//! What is noted of a command that has run: the log of unusual commands, the latency monitor, MONITOR.
//!
//! A command whose time and sizes are usual costs three comparisons.

use std::time::Duration;

use ochre_resp::Args;

use crate::{
    clock,
    commandlog::{self, Logged, Reason},
    commands::{Command, Flags},
    config::Config,
    core::Core,
    journal::Position,
    latency::Sample,
    session::{Session, delivery::Sending},
};

/// What a command took.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Processor ticks.
    pub ticks: u64,
    /// The length of the request.
    pub request_bytes: usize,
    /// The length of the reply.
    pub reply_bytes: usize,
}

/// From which cost on a command is noted. A limit that is off is never reached.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The least ticks that concern the log or the latency monitor.
    pub ticks: u64,
    /// The least length of a request or reply for which [`Limits::are_reached`] must be asked, with a time of its own.
    pub bytes: u64,
    request_bytes: u64,
    reply_bytes: u64,
}

/// A request of this length, or with a reply of this length, has a time of its own in a batch: it may take longer than its neighbours.
const OWN_TIME_BYTES: u64 = 16 * 1024;

impl Limits {
    /// The limits of the settings.
    #[inline]
    pub fn of(config: &Config) -> Limits {
        let slow_us = limit(config.slowlog_log_slower_than_us);
        let latency_us = match config.latency_monitor_threshold_ms {
            1.. => (config.latency_monitor_threshold_ms as u64).saturating_mul(1000),
            _ => u64::MAX,
        };
        let request_bytes = limit(config.commandlog_request_larger_than);
        let reply_bytes = limit(config.commandlog_reply_larger_than);
        Limits {
            ticks: ticks_of_us(slow_us.min(latency_us)),
            bytes: request_bytes.min(reply_bytes).min(OWN_TIME_BYTES),
            request_bytes,
            reply_bytes,
        }
    }

    /// Whether a command of this cost is to be noted.
    #[inline]
    pub fn are_reached(&self, cost: Cost) -> bool {
        cost.ticks >= self.ticks
            || cost.request_bytes as u64 >= self.request_bytes
            || cost.reply_bytes as u64 >= self.reply_bytes
    }
}

/// A directive's limit; a negative number is none.
fn limit(of_directive: i64) -> u64 {
    u64::try_from(of_directive).unwrap_or(u64::MAX)
}

/// Converts microseconds to ticks. A time that no command reaches is never reached.
fn ticks_of_us(us: u64) -> u64 {
    /// A year.
    const NEVER_US: u64 = 365 * 86_400 * 1_000_000;
    if us >= NEVER_US { u64::MAX } else { clock::ticks_of(Duration::from_micros(us)) }
}

/// Notes a command that was expensive: in the log of unusual commands, and in the latency monitor.
#[cold]
pub fn note(core: &Core, config: &Config, session: &Session, command: &Command, args: Args<'_>, cost: Cost) {
    let us = clock::ticks_to_us(cost.ticks) as u64;
    let time_s = clock::now_ms() / 1000;
    let ms = us / 1000;
    if config.latency_monitor_threshold_ms > 0 && ms >= config.latency_monitor_threshold_ms as u64 {
        let event = if command.spec.flags.contains(Flags::FAST) { "fast-command" } else { "command" };
        core.server.latency.add(event, Sample { time_s, ms });
    }
    if command.spec.flags.contains(Flags::SKIP_SLOWLOG) {
        return;
    }
    let reasons = [
        (Reason::Slow, us, config.slowlog_log_slower_than_us, config.slowlog_max_len),
        (
            Reason::LargeRequest,
            cost.request_bytes as u64,
            config.commandlog_request_larger_than,
            config.commandlog_large_request_max_len,
        ),
        (
            Reason::LargeReply,
            cost.reply_bytes as u64,
            config.commandlog_reply_larger_than,
            config.commandlog_large_reply_max_len,
        ),
    ];
    for (reason, figure, from, len_max) in reasons {
        if figure >= limit(from) && len_max > 0 {
            let arguments = commandlog::cut_arguments(command.spec.shown_arguments(args));
            let name = session.client.details.lock().name.clone();
            let logged = Logged { time_s, figure, arguments, address: &session.client.address, name: &name };
            core.server.command_log.push(reason, logged, len_max);
        }
    }
}

/// Shows a command to the monitors under its locks: before it runs if it is a script, so that what it calls comes behind it, and otherwise after it has
/// run. The journal position is what a reply to it would depend on.
#[cold]
pub fn show_monitors(core: &Core, session: &Session, command: &Command, args: Args<'_>, position: Position) {
    if command.spec.flags.contains(Flags::ADMIN) {
        return;
    }
    // What a script calls has no client of its own.
    let source = if core.server.scripts.runs_on(core.index) { "lua" } else { &*session.client.address };
    let config = core.config();
    let sending = Sending { config: &config, counters: &core.counters, position };
    let arguments = command.spec.shown_arguments(args);
    core.server.monitors.feed(sending, session.database, source, arguments);
}
