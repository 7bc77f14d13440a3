//! Proves that commands on sets are atomic while several clients change the sets: a command on two sets is one step, and a member is popped
//! once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ochre_testkit::{Client, Launch, Random};

const MEMBERS: usize = 600;
const SETS: [&str; 3] = ["a", "b", "c"];

fn fill(client: &mut Client, key: &str) {
    let commands: Vec<Vec<Vec<u8>>> = (0..MEMBERS)
        .map(|number| ["SADD", key, &member(number)].map(|word| word.as_bytes().to_vec()).to_vec())
        .collect();
    client.pipeline(&commands).expect("replies");
}

fn member(number: usize) -> String {
    format!("member:{number}")
}

#[test]
fn a_moving_member_is_always_in_one_set() {
    let server = Launch::subject().threads(4).start();
    let mut reader = server.client();
    fill(&mut reader, SETS[0]);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 1..=3 {
            let (mut client, ended) = (server.client(), &ended);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                while !ended.load(Ordering::Relaxed) {
                    let [from, to] = [(); 2].map(|()| *random.pick(&SETS));
                    client.call(&["SMOVE", from, to, &member(random.below(MEMBERS))]).expect("a reply");
                }
            });
        }
        let check = || {
            for _ in 0..300 {
                assert_eq!(reader.run("SUNION a b c").items().len(), MEMBERS);
                for pair in ["a b", "b c", "c a"] {
                    assert_eq!(reader.run(&format!("SINTERCARD 2 {pair}")).as_integer(), Some(0), "{pair}");
                }
                assert_eq!(reader.run("SUNIONSTORE all a b c").as_integer(), Some(MEMBERS as i64));
                assert_eq!(reader.run("SDIFF all a b c").items().len(), 0);
            }
        };
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        ended.store(true, Ordering::Relaxed);
        checked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn a_member_is_popped_once() {
    let server = Launch::subject().threads(4).start();
    for count in ["", "7"] {
        fill(&mut server.client(), "set");
        let popped: Vec<Vec<String>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = server.client();
                    scope.spawn(move || {
                        let mut popped = Vec::new();
                        loop {
                            let reply = client.run(&format!("SPOP set {count}"));
                            let found: Vec<String> = match reply.as_bytes() {
                                Some(_) => vec![reply.to_text()],
                                None => reply.items().iter().map(|member| member.to_text()).collect(),
                            };
                            if found.is_empty() {
                                return popped;
                            }
                            popped.extend(found);
                        }
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
        });
        assert_eq!(popped.iter().map(Vec::len).sum::<usize>(), MEMBERS);
        assert_eq!(popped.into_iter().flatten().collect::<BTreeSet<_>>().len(), MEMBERS);
    }
}
