//! Proves that HyperLogLogs are equal to Redis's byte for byte: the same elements give the same string, in the sparse form, in the dense
//! form, and at the change from one to the other.

use ochre_testkit::{Client, Kind, Launch, Random, Reply, quoting};

/// Ochre and Redis, which are sent the same commands.
struct Pair {
    clients: [Client; 2],
}

impl Pair {
    #[track_caller]
    fn same<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Reply {
        let [ours, theirs] = self.clients.each_mut().map(|client| client.call(words).expect("a reply"));
        if ours != theirs {
            let shown = |reply: &Reply| reply.to_string().chars().take(400).collect::<String>();
            let words = words.iter().map(|word| quoting::quote(word.as_ref())).collect::<Vec<_>>();
            panic!("{}\n  Ochre: {}\n  Redis: {}", words.join(" "), shown(&ours), shown(&theirs));
        }
        ours
    }

    /// Compares the strings of a key. Returns whether they are dense.
    #[track_caller]
    fn same_string(&mut self, key: &str) -> bool {
        self.same(&["GET", key]);
        self.same(&["PFCOUNT", key]);
        self.same(&["GET", key]);
        self.same(&["PFDEBUG", "ENCODING", key]).to_text() == "dense"
    }
}

#[test]
fn strings_are_those_of_redis() {
    let servers = [Launch::subject(), Launch::new(Kind::Redis)].map(Launch::start);
    let mut pair = Pair { clients: servers.each_ref().map(|server| server.client()) };
    let mut random = Random::new(7);
    let (mut dense, mut sparse) = (0, 0);
    for sparse_bytes_max in ["3000", "0", "100", "1000", "15000"] {
        pair.same(&["CONFIG", "SET", "hll-sparse-max-bytes", sparse_bytes_max]);
        let keys: Vec<String> = (0..4).map(|number| format!("{sparse_bytes_max}:{number}")).collect();
        for (key, elements) in keys.iter().zip([30, 300, 1500, 2500]) {
            for chunk in 0..elements / 10 {
                let words: Vec<String> = (0..10).map(|_| format!("e{}", random.below(elements * 2))).collect();
                let mut command = vec!["PFADD", key.as_str()];
                command.extend(words.iter().map(String::as_str));
                pair.same(&command);
                if chunk % 25 == 0 {
                    pair.same_string(key);
                }
            }
            if pair.same_string(key) { dense += 1 } else { sparse += 1 }
        }
        for round in 0..10 {
            let into = ["d", "e", "f"][round % 3];
            let (a, b) = (random.pick(&keys).clone(), random.pick(&keys).clone());
            pair.same(&["PFCOUNT", &a, &b, into]);
            pair.same(&["PFMERGE", into, &a, &b]);
            pair.same_string(into);
            pair.same(&["PFDEBUG", if round == 9 { "GETREG" } else { "DECODE" }, into]);
            if random.chance(40) {
                pair.same(&["DEL", into]);
            }
        }
    }
    assert!(dense >= 5 && sparse >= 5, "{dense} dense, {sparse} sparse");
}

/// Damages a string of a HyperLogLog. The result may be valid.
fn damaged(random: &mut Random, string: &[u8]) -> Vec<u8> {
    /// The length of the header.
    const HEADER: usize = 16;
    let mut bytes = string.to_vec();
    let byte = |random: &mut Random| random.below(256) as u8;
    match random.below(5) {
        0 => {
            for _ in 0..random.between(1, 5) {
                let at = random.below(bytes.len());
                bytes[at] = byte(random);
            }
        }
        1 => bytes.truncate(random.below(bytes.len() + 1)),
        2 => bytes.extend((0..random.between(1, 4)).map(|_| random.below(128) as u8 | 0x80)),
        3 => {
            for _ in 0..*random.pick(&[1, 20, 3_000]) {
                let at = random.between(HEADER, bytes.len() - 1);
                bytes[at] = *random.pick(&[0xff, 0xfe, 0xf7, 0x7f, 0]);
            }
        }
        _ => bytes[8..HEADER].iter_mut().for_each(|at| *at = byte(random)),
    }
    // Half of the cached counts are stale, so that the registers are counted.
    if bytes.len() >= HEADER && random.chance(50) {
        bytes[HEADER - 1] |= 0x80;
    }
    bytes
}

/// Whether the opcodes of a sparse string end inside of one. Redis then writes behind its end.
fn ends_inside_opcode(string: &[u8]) -> bool {
    let mut at = 16;
    while at < string.len() {
        at += if string[at] & 0xc0 == 0x40 { 2 } else { 1 };
    }
    string.get(4) == Some(&1) && at > string.len().max(16)
}

/// A damaged string is refused, or read as Redis reads it.
#[test]
fn damaged_strings_are_answered_as_by_redis() {
    let servers = [Launch::subject(), Launch::new(Kind::Redis)].map(Launch::start);
    let mut pair = Pair { clients: servers.each_ref().map(|server| server.client()) };
    let mut random = Random::new(5);
    let elements: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let mut strings = Vec::new();
    for (sparse_bytes_max, counts) in [("3000", [0, 3, 40]), ("0", [1, 3, 500])] {
        pair.same(&["CONFIG", "SET", "hll-sparse-max-bytes", sparse_bytes_max]);
        for count in counts {
            let mut command = vec!["PFADD", "whole"];
            command.extend(elements[..count].iter().map(String::as_str));
            pair.same(&["DEL", "whole"]);
            pair.same(&command);
            strings.push(pair.same(&["GET", "whole"]).as_bytes().expect("a string").to_vec());
        }
    }
    pair.same(&["CONFIG", "SET", "hll-sparse-max-bytes", "3000"]);
    let mut refused = 0;
    for _ in 0..1_000 {
        let whole = random.below(strings.len());
        let string = damaged(&mut random, &strings[whole]);
        if ends_inside_opcode(&string) {
            continue;
        }
        pair.same(&[b"SET", &b"h"[..], &string]);
        let reply = match random.below(8) {
            0 => pair.same(&["PFCOUNT", "h"]),
            1 => pair.same(&["PFCOUNT", "whole", "h"]),
            2 => pair.same(&["PFMERGE", "h", "whole"]),
            3 => pair.same(&["PFMERGE", "new", "h"]),
            4 => pair.same(&["PFADD", "h", "a", "b", "c", "d", "e", "f"]),
            5 => pair.same(&["PFDEBUG", "DECODE", "h"]),
            6 => pair.same(&["PFDEBUG", "TODENSE", "h"]),
            _ => pair.same(&["PFDEBUG", "GETREG", "h"]),
        };
        refused += usize::from(reply.is_error());
        pair.same(&["GET", "h"]);
        pair.same(&["GET", "new"]);
        pair.same(&["DEL", "new"]);
    }
    assert!((100..900).contains(&refused), "{refused} were refused");
}

/// If all registers are greater than any rank, the estimate is infinite. Redis replies with the least negative number.
#[test]
fn an_infinite_estimate_is_an_error() {
    let server = Launch::subject().start();
    let mut client = server.client();
    let string = [b"HYLL\0\0\0\0\0\0\0\0\0\0\0\x80".to_vec(), vec![0xff; 12_288]].concat();
    client.call(&[b"SET", &b"h"[..], &string]).expect("a reply");
    for command in ["PFCOUNT h", "PFCOUNT h missing"] {
        assert_eq!(
            client.run(command),
            Reply::Error(b"INVALIDOBJ Corrupted HLL object detected".to_vec()),
            "{command}"
        );
    }
    assert_eq!(client.call(&["GET", "h"]).expect("a reply").as_bytes(), Some(&string[..]));
}
