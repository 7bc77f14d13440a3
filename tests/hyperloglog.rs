//! Proves that HyperLogLogs are equal to Redis's byte for byte: the same elements give the same string, in the sparse form, in the dense
//! form, and at the change from one to the other.

use ochre_testkit::{Client, Kind, Launch, Random, Reply};

/// Ochre and Redis, which are sent the same commands.
struct Pair {
    clients: [Client; 2],
}

impl Pair {
    #[track_caller]
    fn same(&mut self, words: &[&str]) -> Reply {
        let [ours, theirs] = self.clients.each_mut().map(|client| client.call(words).expect("a reply"));
        if ours != theirs {
            let shown = |reply: &Reply| reply.to_string().chars().take(400).collect::<String>();
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
