//! The part of the differential test for publish and subscribe, where a command may have several replies, and other clients may receive
//! messages.
//!
//! After each command every client sends a PING with a token. Everything that it receives before the token comes back is the result of the
//! command. PING is answered in every state that is drawn here.

use std::fmt::Write as _;

use ochre_testkit::quoting::quote_command;
use ochre_testkit::{Client, Kind, Launch, Random, Reply, Server, eventually};

const CLIENTS: usize = 3;
const CHANNELS: [&str; 5] = ["news", "sport", "", "news.art", "__keyevent@0__:set"];
const PATTERNS: [&str; 6] = ["*", "n*", "news.*", "[ns]*", "", "__key*__:*"];

/// A client and what it sends.
type Step = (usize, Vec<Vec<u8>>);

pub fn explore(threads: usize, first_seed: u64, sequences: u64) {
    let with = |launch: Launch| launch.directive("notify-keyspace-events", "KEA").start();
    let ours = with(Launch::subject().threads(threads));
    let theirs = with(Launch::new(Kind::Redis));
    for seed in first_seed..first_seed + sequences {
        let mut steps = sequence(&mut Random::new(seed));
        let Some(first) = differs(&ours, &theirs, &steps) else {
            continue;
        };
        // Steps are removed one at a time for as long as there is still a difference.
        let mut index = 0;
        while index < steps.len() {
            let mut fewer = steps.clone();
            fewer.remove(index);
            if differs(&ours, &theirs, &fewer).is_some() {
                steps = fewer;
            } else {
                index += 1;
            }
        }
        let difference = differs(&ours, &theirs, &steps).unwrap_or_else(|| format!("at times {first}"));
        let script: String =
            steps.iter().map(|(client, words)| format!("{client}> {}\n", quote_command(words))).collect();
        panic!("seed {seed}: {difference}\nafter\n{script}");
    }
}

fn sequence(random: &mut Random) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..random.between(5, 40) {
        let client = random.between(1, CLIENTS);
        let name = random.below(24);
        let mut words: Vec<&str> = Vec::new();
        let (command, names): (&str, &[&str]) = match name {
            0..4 => ("SUBSCRIBE", &CHANNELS),
            4..6 => ("PSUBSCRIBE", &PATTERNS),
            6..8 => ("SSUBSCRIBE", &CHANNELS),
            8..10 => ("UNSUBSCRIBE", &CHANNELS),
            10 => ("PUNSUBSCRIBE", &PATTERNS),
            11 => ("SUNSUBSCRIBE", &CHANNELS),
            _ => ("", &[]),
        };
        if command.is_empty() {
            let channel = random.pick(&CHANNELS);
            match name {
                12..16 => words.extend(["PUBLISH", channel, *random.pick(&["hello", "", "a b"])]),
                16 => words.extend(["SPUBLISH", channel, "hello"]),
                17 => words.extend(["SET", *random.pick(&["k", "l"]), "v"]),
                18 => words.extend(*random.pick(&[
                    ["DEL", "k"],
                    ["GET", "k"],
                    ["INCR", "l"],
                    ["HELLO", "3"],
                    ["HELLO", "2"],
                ])),
                19 => words.extend(["PUBSUB", "NUMSUB", channel, "nobody"]),
                20 => words.extend(["PUBSUB", "NUMPAT"]),
                21 => words.extend(["PUBSUB", "SHARDNUMSUB", channel]),
                22 => words.extend(*random.pick(&[
                    ["RESET"],
                    ["SUBSCRIBE"],
                    ["PUBLISH"],
                    ["UNSUBSCRIBE"],
                    ["PUNSUBSCRIBE"],
                ])),
                _ => words.extend(["RENAME", "k", "l"]),
            }
        } else {
            words.push(command);
            words.extend((0..random.between(1, 3)).map(|_| *random.pick(names)));
        }
        steps.push((client, words.into_iter().map(|word| word.as_bytes().to_vec()).collect()));
    }
    steps
}

/// A description of the first difference in what a client receives.
fn differs(ours: &Server, theirs: &Server, steps: &[Step]) -> Option<String> {
    let connect = |server: &Server| -> Vec<Client> {
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect();
        clients[0].run("FLUSHALL");
        // The connections of the previous sequence may still be closing, and would be counted as subscribers.
        let empty = Reply::Array(Vec::new());
        eventually("earlier subscribers are gone", || {
            clients[0].run("PUBSUB CHANNELS") == empty
                && clients[0].run("PUBSUB SHARDCHANNELS") == empty
                && clients[0].run("PUBSUB NUMPAT") == Reply::Integer(0)
        });
        clients
    };
    let (mut ours, mut theirs) = (connect(ours), connect(theirs));
    for (number, (client, words)) in steps.iter().enumerate() {
        for clients in [&mut ours, &mut theirs] {
            clients[client - 1].send(words).expect("a command can be sent");
            // Once the command is answered, its messages to other clients are on their way.
        }
        let order = [*client].into_iter().chain((1..=CLIENTS).filter(|other| other != client));
        for receiver in order {
            let token = format!("token-{number}-{receiver}");
            let (ours, theirs) =
                (received(&mut ours[receiver - 1], &token), received(&mut theirs[receiver - 1], &token));
            // The reply to HELLO has the server's name.
            let same = in_order(ours.clone(), words) == in_order(theirs.clone(), words);
            if !same && words[0] != b"HELLO" {
                let mut text = format!("client {receiver} receives after {}\n", quote_command(words));
                for (name, replies) in [("Ochre:    ", ours), ("reference:", theirs)] {
                    let replies: Vec<String> = replies.iter().map(Reply::to_string).collect();
                    writeln!(text, "  {name} {}", replies.join("   ")).expect("writing to a string succeeds");
                }
                return Some(text);
            }
        }
    }
    None
}

/// Sorts replies whose order is that of a hash table: messages for several patterns that match, and the names in the confirmations of an
/// UNSUBSCRIBE without arguments. The counts in these confirmations keep their order.
fn in_order(replies: Vec<Reply>, words: &[Vec<u8>]) -> Vec<Reply> {
    // The kind is put before the parts, so that a push is not equal to an array.
    let kind = |reply: &Reply| Reply::simple(if matches!(reply, Reply::Push(_)) { "push" } else { "array" });
    let parts = |reply: &Reply| [kind(reply)].into_iter().chain(reply.items().into_iter().cloned()).collect();
    let mut replies: Vec<Vec<Reply>> =
        replies.iter().map(|reply| if reply.items().is_empty() { vec![reply.clone()] } else { parts(reply) }).collect();
    if words.len() == 1 && replies.iter().all(|reply| reply.len() == 4) {
        let mut names: Vec<Reply> = replies.iter().map(|reply| reply[2].clone()).collect();
        names.sort();
        replies.iter_mut().zip(names).for_each(|(reply, name)| reply[2] = name);
    }
    let is_pattern = |reply: &Vec<Reply>| reply.len() == 5 && reply[1].as_bytes() == Some(b"pmessage");
    let same = |a: &Vec<Reply>, b: &Vec<Reply>| is_pattern(a) && is_pattern(b) && a[3..] == b[3..];
    replies.chunk_by_mut(same).for_each(|run| run.sort());
    replies.into_iter().map(Reply::Array).collect()
}

/// Everything that a client receives before the reply to a PING with this token.
fn received(client: &mut Client, token: &str) -> Vec<Reply> {
    client.send(&["PING", token]).expect("a PING can be sent");
    let mut replies = Vec::new();
    loop {
        let reply = match client.read_reply() {
            Ok(reply) => reply,
            Err(error) => {
                replies.push(Reply::Error(error.to_string().into_bytes()));
                return replies;
            }
        };
        let is_token = |reply: &Reply| reply.as_bytes() == Some(token.as_bytes());
        if is_token(&reply) || reply.items().last().is_some_and(|last| is_token(last)) {
            return replies;
        }
        replies.push(reply);
    }
}
