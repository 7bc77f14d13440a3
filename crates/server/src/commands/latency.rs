//! LATENCY: the times at which something took long, and how long each command takes.

use super::{
    Command, CommandError, CommandSpec, Flags, Handler,
    context::{Outcome, Run, SessionOnly},
    help, registry,
    table::Group,
};
use crate::{
    latency::Series,
    observe::{
        command_times::{self, Times},
        sparkline,
    },
};

const LATENCY: CommandSpec = CommandSpec {
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(1)",
    ..CommandSpec::DEFAULT
};

/// The rows of LATENCY.
pub const ROWS: &[CommandSpec] = &[CommandSpec {
    name: "latency",
    arity: -2,
    flags: Flags::empty(),
    tips: &[],
    complexity: "depends on the subcommand",
    summary: "Contains the commands about latency.",
    subcommands: &[
        CommandSpec {
            name: "doctor",
            summary: "Returns a report on what took long, with advice.",
            handler: Handler::Session(doctor),
            ..LATENCY
        },
        CommandSpec {
            name: "graph",
            arity: 3,
            summary: "Draws the times of an event.",
            syntax: "event",
            handler: Handler::Session(graph),
            ..LATENCY
        },
        CommandSpec {
            name: "help",
            flags: Flags::LOADING.union(Flags::STALE),
            tips: &[],
            summary: "Lists the subcommands.",
            handler: Handler::Session(help),
            ..LATENCY
        },
        CommandSpec {
            name: "histogram",
            arity: -2,
            since: "7.0.0",
            complexity: "O(N) with N commands",
            summary: "Returns how often commands took how long.",
            syntax: "[command...]",
            handler: Handler::Session(histogram),
            ..LATENCY
        },
        CommandSpec {
            name: "history",
            arity: 3,
            summary: "Returns the times of an event.",
            syntax: "event",
            handler: Handler::Session(history),
            ..LATENCY
        },
        CommandSpec {
            name: "latest",
            summary: "Returns the last and the longest time of each event.",
            handler: Handler::Session(latest),
            ..LATENCY
        },
        CommandSpec {
            name: "reset",
            arity: -2,
            tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
            summary: "Forgets the times of events.",
            syntax: "[event...]",
            handler: Handler::Session(reset),
            ..LATENCY
        },
    ],
    ..LATENCY
}];

fn latest(cx: &mut SessionOnly<'_>) -> Run {
    let events = cx.core.server.latency.all();
    let reply = &mut cx.reply;
    reply.array(events.len());
    for (name, series) in events {
        let last = series.samples.back().expect("a series has a sample");
        reply.array(4);
        reply.bulk(name.as_bytes());
        reply.integer(last.time_s);
        reply.integer(last.ms as i64);
        reply.integer(series.ms_max as i64);
    }
    Ok(Outcome::Done)
}

fn history(cx: &mut SessionOnly<'_>) -> Run {
    let series = cx.core.server.latency.of(cx.args.get(2)).unwrap_or_default();
    let reply = &mut cx.reply;
    reply.array(series.samples.len());
    for sample in series.samples {
        reply.array(2);
        reply.integer(sample.time_s);
        reply.integer(sample.ms as i64);
    }
    Ok(Outcome::Done)
}

fn reset(cx: &mut SessionOnly<'_>) -> Run {
    let latency = &cx.core.server.latency;
    let count = match cx.args.len() {
        2 => latency.reset_all(),
        _ => cx.args.slice(2..).iter().filter(|event| latency.reset(event)).count(),
    };
    cx.reply.integer(count as i64);
    Ok(Outcome::Done)
}

fn graph(cx: &mut SessionOnly<'_>) -> Run {
    let event = cx.args.get(2);
    let Some(series) = cx.core.server.latency.of(event) else {
        return Err(CommandError::repeating("ERR No samples available for event '", event, "'"));
    };
    let now_s = cx.now_ms / 1000;
    let text = sparkline::draw(&String::from_utf8_lossy(event).to_lowercase(), &series, now_s);
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

/// What to look at when an event took long.
const ADVICE: &[(&str, &str)] = &[
    (
        "command",
        "Look at SLOWLOG GET for the commands that took long. Commands on many keys, or on large values, can be replaced by several short ones.",
    ),
    (
        "fast-command",
        "Such a command is short. The processor was probably taken away: look for other processes on its cores.",
    ),
];

fn doctor(cx: &mut SessionOnly<'_>) -> Run {
    let events = cx.core.server.latency.all();
    let text = if events.is_empty() && cx.core.config().latency_monitor_threshold_ms == 0 {
        "Latency monitoring is off. It begins with \"CONFIG SET latency-monitor-threshold <milliseconds>\".\n"
            .to_owned()
    } else if events.is_empty() {
        "Nothing has taken long since the start or the last LATENCY RESET.\n".to_owned()
    } else {
        report(&events)
    };
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn report(events: &[(&'static str, Series)]) -> String {
    let mut text = "Some events took long:\n\n".to_owned();
    for (index, (name, series)) in events.iter().enumerate() {
        let count = series.samples.len() as f64;
        let mean = series.samples.iter().map(|sample| sample.ms as f64).sum::<f64>() / count;
        let deviation = series.samples.iter().map(|sample| (sample.ms as f64 - mean).abs()).sum::<f64>() / count;
        let (first, last) = (series.samples[0].time_s, series.samples[series.samples.len() - 1].time_s);
        let period_s = (last - first).max(1) as f64 / count;
        text.push_str(&format!(
            "{}. {name}: {count} latency spikes (average {mean:.0}ms, mean deviation {deviation:.0}ms, period {period_s:.2} sec). Worst \
             all time event {}ms.\n",
            index + 1,
            series.ms_max,
        ));
    }
    text.push_str("\nAdvice:\n\n");
    for (name, advice) in ADVICE.iter().filter(|(name, _)| events.iter().any(|(event, _)| event == name)) {
        text.push_str(&format!("- {name}: {advice}\n"));
    }
    text
}

fn histogram(cx: &mut SessionOnly<'_>) -> Run {
    let table = registry::table();
    let mut shown: Vec<(&'static Command, Times)> = Vec::new();
    let mut add = |command: &'static Command| {
        if !command.is_private()
            && !shown.iter().any(|(other, _)| std::ptr::eq(*other, command))
            && let Some(times) = command_times::of(&cx.core.server, command)
        {
            shown.push((command, times));
        }
    };
    if cx.args.len() == 2 {
        table.all().for_each(&mut add);
    }
    for name in cx.args.slice(2..).iter() {
        let mut words = name.splitn(2, |&byte| byte == b'|');
        let container = words.next().and_then(|name| table.command(name));
        match (container, words.next()) {
            (Some(command), None) => {
                add(command);
                command.subcommands.iter().for_each(&mut add);
            }
            (Some(command), Some(name)) => command.subcommand(name).into_iter().for_each(&mut add),
            (None, _) => {}
        }
    }
    let reply = &mut cx.reply;
    reply.map(shown.len());
    for (command, times) in shown {
        let steps = times.powers_of_two();
        reply.bulk(command.full_name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(times.count() as i64);
        reply.bulk(b"histogram_usec");
        reply.map(steps.len());
        for (us, count) in steps {
            reply.integer(us as i64);
            reply.integer(count as i64);
        }
    }
    Ok(Outcome::Done)
}

fn help(cx: &mut SessionOnly<'_>) -> Run {
    help::write(
        &mut cx.reply,
        "latency",
        &[
            "DOCTOR",
            "    A report on what took long, with advice.",
            "GRAPH <event>",
            "    A drawing of the times of an event.",
            "HISTORY <event>",
            "    The times of an event.",
            "LATEST",
            "    The last and the longest time of each event.",
            "RESET [<event> ...]",
            "    Forget the times of events, of all if none is named.",
            "HISTOGRAM [<command> ...]",
            "    How often commands took how many microseconds, all commands if none is named.",
        ],
    );
    Ok(Outcome::Done)
}
