//! Users and their rights: the rules, what they allow, and what happens to clients when they change, beside the reference servers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ochre_testkit::random::Random;
use ochre_testkit::server::{free_port, new_folder};
use ochre_testkit::{Client, Kind, Launch, Reply, Server, poll};

fn start(kind: Kind) -> Server {
    Launch::new(kind).threads(2).start()
}

fn call(client: &mut Client, words: &[&str]) -> Reply {
    client.call(words).expect("the server answers")
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(text) | Reply::Simple(text) | Reply::Error(text) => String::from_utf8_lossy(text).into_owned(),
        Reply::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", ")),
        other => format!("{other:?}"),
    }
}

/// What GETUSER shows, without the fields and flags that not both references have.
fn rules_of(reply: Reply) -> Vec<Reply> {
    let Reply::Array(fields) = reply else { return vec![reply] };
    let pairs = fields.as_chunks::<2>().0.iter();
    let compared = pairs.filter(|[name, _]| !["flags", "databases"].contains(&&text(name)[..]));
    compared
        .flat_map(|[name, value]| {
            let value = match value {
                Reply::Array(selectors) if text(name) == "selectors" => {
                    Reply::Array(selectors.iter().cloned().flat_map(rules_of).collect())
                }
                value => value.clone(),
            };
            [name.clone(), value]
        })
        .collect()
}

/// The rules that users are drawn from. Some contradict each other, and some are invalid.
const RULES: &[&str] = &[
    "on",
    "off",
    "nopass",
    ">one",
    ">two",
    "<one",
    "<three",
    "#12",
    "resetpass",
    "reset",
    "clearselectors",
    "~*",
    "allkeys",
    "resetkeys",
    "~a*",
    "~b?",
    "%R~r*",
    "%W~w*",
    "%RW~x",
    "%R~x",
    "%WR~y[ab]",
    "%R",
    "%~z",
    "%RR~z",
    "&*",
    "allchannels",
    "resetchannels",
    "&c*",
    "&d",
    "+@all",
    "-@all",
    "allcommands",
    "nocommands",
    "+@read",
    "-@read",
    "+@write",
    "-@write",
    "+@string",
    "-@string",
    "+@dangerous",
    "-@dangerous",
    "+@set",
    "-@keyspace",
    "+@pubsub",
    "-@fast",
    "+@slow",
    "+@nosuch",
    "+get",
    "-get",
    "+set",
    "-set",
    "+SET",
    "+get|a1",
    "+get|b1",
    "-get|a1",
    "+config",
    "-config",
    "+config|get",
    "-config|get",
    "+config|set",
    "+config|nosuch",
    "+client|id",
    "-client|id",
    "+client|id|x",
    "+nosuch",
    "-nosuch",
    "+mget",
    "+del",
    "+copy",
    "+lpush",
    "+publish",
    "+subscribe",
    "+psubscribe",
    "+select|0",
    "+object|freq",
    "-object",
    "+eval",
    "+sort",
    "+exists",
    "(+get ~s*)",
    "(+@all %R~t*)",
    "(~u &e +set -get)",
    "(+nosuch)",
    "(",
    "()",
    "(+get",
    "~v)",
    "+",
    "-",
    "~",
    "&",
    "@all",
    "+@",
    "x",
    "",
];

/// Commands that the rules are asked about.
const COMMANDS: &[&str] = &[
    "GET a1",
    "GET b1",
    "GET r1",
    "GET w1",
    "GET x",
    "GET ya",
    "GET q",
    "GET s1",
    "GET t1",
    "SET a1 v",
    "SET r1 v",
    "SET w1 v",
    "SET x v",
    "SET u v",
    "SET w1 v GET",
    "MGET a1 r1 x",
    "MSET a1 1 w1 2",
    "DEL a1 w1",
    "EXISTS r1 w1 q",
    "TYPE w1",
    "STRLEN w1",
    "COPY r1 w1",
    "COPY a1 r1",
    "RENAME a1 a2",
    "LPUSH a1 x",
    "LPOP w1",
    "SUNIONSTORE w1 r1 a1",
    "SINTER r1 a1",
    "GETRANGE r1 0 1",
    "APPEND w1 x",
    "INCR a1",
    "SETRANGE w1 0 x",
    "BITFIELD r1 GET u8 0",
    "BITFIELD w1 SET u8 0 1",
    "SORT a1",
    "SORT a1 BY w_*",
    "SORT a1 STORE w1",
    "GEORADIUS a1 1 1 1 m STORE w1",
    "XREADGROUP GROUP g c STREAMS a1 >",
    "ZADD a1 1 x",
    "ZRANGESTORE w1 r1 0 1",
    "EVAL x 1 a1",
    "EVAL x 2 a1 q",
    "EVAL x 0",
    "PUBLISH c1 x",
    "PUBLISH d x",
    "PUBLISH q x",
    "SUBSCRIBE c1 d",
    "SUBSCRIBE q",
    "PSUBSCRIBE c*",
    "PSUBSCRIBE c",
    "PSUBSCRIBE d q",
    "UNSUBSCRIBE q",
    "SPUBLISH c1 x",
    "SSUBSCRIBE q",
    "CONFIG GET x",
    "CONFIG SET x y",
    "CLIENT ID",
    "CLIENT LIST",
    "OBJECT FREQ a1",
    "SELECT 0",
    "SELECT 1",
    "PING",
    "ECHO x",
    "AUTH x",
    "MULTI",
    "DBSIZE",
    "KEYS *",
    "FLUSHALL",
    "WATCH q",
    "HELLO",
    "RESET",
    "NOSUCH",
    "GET",
    "CONFIG NOSUCH",
];

/// A random user on both servers: the replies to its rules, what GETUSER shows, and what the user may run.
#[test]
fn rules_mean_the_same_as_on_the_references() {
    for reference in [Kind::Redis, Kind::Valkey] {
        let (ours, theirs) = (start(Kind::Ochre), start(reference));
        let mut clients = [ours.client(), theirs.client()];
        let mut random = Random::new(11);
        for number in 0..300 {
            let name = format!("user{number}");
            let mut history = Vec::new();
            for _ in 0..1 + random.below(4) {
                let mut words = vec!["ACL", "SETUSER", &name];
                words.extend((0..random.below(4)).map(|_| RULES[random.below(RULES.len())]));
                history.push(words.join(" "));
                let [ours, theirs] = clients.each_mut().map(|client| call(client, &words));
                assert_eq!(text(&ours), text(&theirs), "{}: {history:#?}", reference.name());
            }
            let [ours, theirs] = clients.each_mut().map(|client| rules_of(call(client, &["ACL", "GETUSER", &name])));
            assert_eq!(ours, theirs, "{}: {history:#?}", reference.name());
            let dry_runs: Vec<Vec<Vec<u8>>> = COMMANDS
                .iter()
                .map(|command| {
                    format!("ACL DRYRUN {name} {command}").split(' ').map(|word| word.as_bytes().to_vec()).collect()
                })
                .collect();
            let [ours, theirs] = clients.each_mut().map(|client| client.pipeline(&dry_runs).unwrap());
            for (command, (ours, theirs)) in COMMANDS.iter().zip(ours.iter().zip(&theirs)) {
                assert_eq!(text(ours), text(theirs), "{}: {command} after {history:#?}", reference.name());
            }
        }
    }
}

/// What a user is answered who may not do everything. Commands that are allowed are answered as to others, which other tests compare.
#[test]
fn denials_are_answered_as_on_the_references() {
    for reference in [Kind::Redis, Kind::Valkey] {
        let (ours, theirs) = (start(Kind::Ochre), start(reference));
        let mut admins = [ours.client(), theirs.client()];
        let mut random = Random::new(13);
        for number in 0..60 {
            let name = format!("user{number}");
            let mut history = vec!["on", "nopass"];
            for _ in 0..8 {
                let rule = RULES[random.below(RULES.len())];
                let replies = admins.each_mut().map(|client| call(client, &["ACL", "SETUSER", &name, rule]));
                if replies[0] == Reply::ok() {
                    history.push(rule);
                }
            }
            for client in &mut admins {
                assert_eq!(call(client, &["ACL", "SETUSER", &name, "on", "nopass"]), Reply::ok());
            }
            let denials = [&ours, &theirs].map(|server| {
                let mut client = server.client();
                assert_eq!(call(&mut client, &["AUTH", &name, "x"]), Reply::ok());
                COMMANDS
                    .iter()
                    .filter(|command| {
                        !["SUBSCRIBE", "RESET", "HELLO", "MULTI", "AUTH"].iter().any(|word| command.contains(word))
                    })
                    .map(|command| {
                        let words: Vec<&str> = command.split(' ').collect();
                        let reply = text(&call(&mut client, &words));
                        (
                            *command,
                            if reply.contains("NOPERM") || reply.contains("ACL") { reply } else { String::new() },
                        )
                    })
                    .collect::<Vec<_>>()
            });
            assert_eq!(denials[0], denials[1], "{} after {history:?}", reference.name());
        }
    }
}

/// A conversation of several clients, and what each of them is answered, on Ochre and on Redis.
fn same_conversation(lines: &[(usize, &str)]) {
    let replies = [Kind::Ochre, Kind::Redis].map(|kind| {
        let server = start(kind);
        let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
        let answer = |&(of, line): &(usize, &str)| (of, line.to_owned(), text(&clients[of].run(line)));
        lines.iter().map(answer).collect::<Vec<_>>()
    });
    for (ours, theirs) in replies[0].iter().zip(&replies[1]) {
        assert_eq!(ours, theirs);
    }
}

#[test]
fn rights_are_checked_when_queued_and_when_run() {
    same_conversation(&[
        (0, "ACL SETUSER eve on nopass ~k* &c* +@all -set (%R~z +get)"),
        (1, "AUTH eve x"),
        (1, "MULTI"),
        (1, "GET q"),
        (1, "EXEC"),
        (1, "MULTI"),
        (1, "GET k1"),
        (1, "INCR k1"),
        (1, "PUBLISH c1 x"),
        (0, "ACL SETUSER eve -get resetchannels"),
        (1, "EXEC"),
        (0, "ACL SETUSER eve -exec"),
        (1, "MULTI"),
        (1, "INCR k1"),
        (1, "EXEC"),
        (1, "DISCARD"),
        (0, "ACL SETUSER eve nocommands"),
        (1, "MULTI"),
        (1, "GET k1"),
        (1, "PING"),
        (1, "ACL WHOAMI"),
        (1, "AUTH eve x"),
        (1, "RESET"),
        (1, "ACL WHOAMI"),
    ]);
}

#[test]
fn scripts_have_the_rights_of_their_caller() {
    same_conversation(&[
        (0, "ACL SETUSER eve on nopass ~k* &c* +@all -set"),
        (1, "AUTH eve x"),
        (1, "EVAL \"return redis.pcall('set', 'k', 'v').err\" 0"),
        (1, "EVAL \"return redis.pcall('get', 'q').err\" 0"),
        (1, "EVAL \"return redis.pcall('publish', 'q', 'x').err\" 0"),
        (1, "EVAL \"return redis.call('incr', 'k1')\" 0"),
        (1, "EVAL \"return 1\" 1 q"),
        (
            1,
            "EVAL \"return {redis.acl_check_cmd('get', 'k'), redis.acl_check_cmd('get', 'q'), redis.acl_check_cmd('set', 'k', 'v')}\" 0",
        ),
        (1, "EVAL \"return {redis.acl_check_cmd('config', 'get', 'x'), redis.acl_check_cmd('publish', 'q', 'x')}\" 0"),
        (1, "EVAL \"return redis.acl_check_cmd('config', 'nosuch')\" 0"),
        (1, "EVAL_RO \"#!lua\nreturn 1\" 0"),
        (1, "EVAL_RO \"#!lua flags=no-writes\nreturn 1\" 0"),
    ]);
}

#[test]
fn the_default_user_and_passwords() {
    same_conversation(&[
        (0, "CONFIG SET requirepass foo"),
        (0, "ACL GETUSER default"),
        (1, "AUTH foo"),
        (1, "AUTH bar"),
        (0, "ACL SETUSER default >bar"),
        (1, "AUTH bar"),
        (0, "CONFIG GET requirepass"),
        (0, "CONFIG SET requirepass foo"),
        (1, "AUTH bar"),
        (0, "CONFIG SET requirepass \"\""),
        (1, "AUTH x"),
        (1, "AUTH default x"),
        (1, "AUTH nobody x"),
        (0, "ACL SETUSER default off"),
        (1, "PING"),
        (1, "AUTH default x"),
        (1, "RESET"),
        (1, "PING"),
        (1, "HELLO 3"),
        (0, "ACL SETUSER default on"),
        (1, "PING"),
        (0, "ACL DELUSER default"),
        (0, "ACL SETUSER \"a b\" on"),
        (0, "ACL GENPASS 0"),
        (0, "ACL GENPASS 4097"),
        (0, "ACL GENPASS x"),
        (0, "ACL LOAD"),
        (0, "ACL SAVE"),
        (0, "ACL LOG x"),
        (0, "ACL LOG 1 2"),
        (0, "ACL CAT nosuch"),
        (0, "ACL CAT a b"),
        (0, "ACL DRYRUN nosuch get a"),
        (0, "ACL NOSUCH"),
        (0, "ACL HELP"),
        (0, "ACL USERS"),
        (0, "ACL LIST"),
        (0, "CLIENT KILL USER nosuch"),
    ]);
}

#[test]
fn a_blocked_command_is_checked_when_it_is_served() {
    for kind in [Kind::Ochre, Kind::Redis] {
        let server = start(kind);
        let (mut admin, mut client) = (server.client(), server.client());
        admin.run("ACL SETUSER eve on nopass ~* +@all");
        client.run("AUTH eve x");
        client.send(&["BLPOP", "list", "0"]).unwrap();
        poll::eventually("it is blocked", || text(&admin.run("INFO clients")).contains("blocked_clients:1"));
        admin.run("ACL SETUSER eve -blpop");
        assert_eq!(admin.run("LPUSH list x"), Reply::Integer(1));
        let reply = client.read_reply().unwrap();
        assert_eq!(text(&reply), "NOPERM User eve has no permissions to run the 'blpop' command", "{}", kind.name());
        assert_eq!(admin.run("LLEN list"), Reply::Integer(1));
    }
}

#[test]
fn clients_whose_rights_go_away_are_closed() {
    for kind in [Kind::Ochre, Kind::Redis] {
        let server = start(kind);
        let mut admin = server.client();
        let subscriber = |words: &[&str]| {
            let mut client = server.client();
            assert_eq!(call(&mut client, &["AUTH", "eve", "x"]), Reply::ok());
            assert!(matches!(call(&mut client, words), Reply::Array(_)));
            client
        };
        admin.run("ACL SETUSER eve on nopass &c* &d &s +@all");
        let (mut channel, mut pattern) = (subscriber(&["SUBSCRIBE", "c1"]), subscriber(&["PSUBSCRIBE", "c*"]));
        let mut shard = subscriber(&["SSUBSCRIBE", "s"]);
        let (mut stays, mut other) = (subscriber(&["SUBSCRIBE", "d"]), server.client());
        assert_eq!(call(&mut other, &["AUTH", "eve", "x"]), Reply::ok());
        assert_eq!(admin.run("ACL SETUSER eve resetchannels &d"), Reply::ok());
        for client in [&mut channel, &mut pattern, &mut shard] {
            assert!(client.read_to_end().unwrap().is_empty(), "{}", kind.name());
        }
        assert_eq!(admin.run("PUBLISH d x"), Reply::Integer(1));
        assert!(matches!(stays.read_reply(), Ok(Reply::Array(_))));
        assert_eq!(other.run("PING"), Reply::simple("PONG"));
        assert_eq!(admin.run("ACL DELUSER eve nobody"), Reply::Integer(1));
        for client in [&mut stays, &mut other] {
            assert!(client.read_to_end().unwrap().is_empty(), "{}", kind.name());
        }
        // A client that removes its own user is answered first.
        admin.run("ACL SETUSER eve on nopass +@all");
        let mut eve = server.client();
        eve.run("AUTH eve x");
        assert_eq!(eve.run("ACL DELUSER eve"), Reply::Integer(1), "{}", kind.name());
        assert!(eve.read_to_end().unwrap().is_empty(), "{}", kind.name());
    }
}

#[test]
fn clients_are_found_by_their_user() {
    let server = start(Kind::Ochre);
    let (mut admin, mut client) = (server.client(), server.client());
    admin.run("ACL SETUSER eve on nopass +@all");
    client.run("AUTH eve x");
    assert!(text(&admin.run("CLIENT LIST USER eve")).contains(" user=eve "));
    assert!(text(&admin.run("CLIENT LIST USER default")).contains(" user=default "));
    assert_eq!(admin.run("CLIENT KILL USER eve"), Reply::Integer(1));
    assert!(client.read_to_end().unwrap().is_empty());
}

#[test]
fn denials_are_logged_and_counted() {
    let replies = [Kind::Ochre, Kind::Redis].map(|kind| {
        let server = start(kind);
        let (mut admin, mut client) = (server.client(), server.client());
        admin.run("ACL SETUSER eve on nopass ~k* +@all -set");
        for line in [
            "AUTH eve x",
            "SET k v",
            "GET q",
            "GET q",
            "PUBLISH c x",
            "EVAL \"return redis.pcall('get', 'q')\" 0",
            "MULTI",
            "GET q",
            "DISCARD",
        ] {
            client.run(line);
        }
        client.run("AUTH nobody x");
        let Reply::Array(entries) = admin.run("ACL LOG") else { panic!("a list") };
        let shown: Vec<Vec<Reply>> = entries
            .into_iter()
            .map(|entry| {
                let Reply::Array(fields) = entry else { panic!("an entry is a list") };
                // Times and the client's line differ.
                let is_compared = |index: usize| ![10, 11, 12, 13, 16, 17, 18, 19].contains(&index);
                fields
                    .into_iter()
                    .enumerate()
                    .filter(|(index, _)| is_compared(*index))
                    .map(|(_, field)| field)
                    .collect()
            })
            .collect();
        let info = text(&admin.run("INFO stats"));
        let counts: Vec<String> = info
            .lines()
            .filter(|line| line.starts_with("acl_access_denied_") && !line.contains("tls"))
            .map(str::to_owned)
            .collect();
        assert_eq!(admin.run("ACL LOG RESET"), Reply::ok());
        assert_eq!(admin.run("ACL LOG"), Reply::Array(vec![]));
        assert_eq!(admin.run("CONFIG SET acllog-max-len 2"), Reply::ok());
        ["GET a", "GET b", "GET c"].iter().for_each(|line| drop(client.run(line)));
        let Reply::Array(newest) = admin.run("ACL LOG") else { panic!("a list") };
        (shown, counts, newest.len())
    });
    assert_eq!(replies[0], replies[1]);
    assert_eq!(replies[0].1.len(), 4);
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_acl_file_is_loaded_and_saved() {
    let folder = new_folder(Kind::Ochre);
    let path = write(&folder, "users.acl", "# users\n\nuser alice on nopass ~a* +@all\n");
    let server = Launch::subject().threads(2).directive("aclfile", &path).start();
    let (mut admin, mut alice) = (server.client(), server.client());
    assert_eq!(alice.run("AUTH alice x"), Reply::ok());
    assert!(text(&alice.run("GET b")).starts_with("NOPERM"));
    // A change of the file is loaded as a whole. The clients of a user that is gone are closed.
    let (mut bob, mut gone) = (server.client(), server.client());
    admin.run("ACL SETUSER gone on nopass");
    assert_eq!(gone.run("AUTH gone x"), Reply::ok());
    write(
        &folder,
        "users.acl",
        "user alice on nopass ~b* +@all\nuser bob on >secret ~* +@read\nuser default on nopass ~* &* +@all\n",
    );
    assert_eq!(admin.run("ACL LOAD"), Reply::ok());
    assert!(gone.read_to_end().unwrap().is_empty());
    assert_eq!(text(&alice.run("GET b")), "NullBulk");
    assert_eq!(bob.run("AUTH bob secret"), Reply::ok());
    // A broken file changes nothing, and each wrong line is told as by Redis.
    let broken =
        "user alice on\nuser eve +nosuch +nobody\nfoo\nuser alice off\nuser (\nuser x (+get\nuser y xyz zyx\nuser\n";
    write(&folder, "users.acl", broken);
    let error = text(&admin.run("ACL LOAD"));
    write(&folder, "users.acl", "");
    let redis = Launch::new(Kind::Redis).directive("aclfile", &path).start();
    write(&folder, "users.acl", broken);
    assert_eq!(error, text(&redis.client().run("ACL LOAD")));
    // What is saved is what is in force, and it can be loaded.
    assert_eq!(admin.run("ACL SAVE"), Reply::ok());
    let before = admin.run("ACL LIST");
    let saved = fs::read_to_string(&path).unwrap();
    assert_eq!(saved.lines().count(), 3, "{saved}");
    assert_eq!(admin.run("ACL LOAD"), Reply::ok());
    assert_eq!(admin.run("ACL LIST"), before);
    assert_eq!(text(&bob.run("GET x")), "NullBulk", "a user that has not changed keeps its clients");
    assert_eq!(
        fs::read_dir(&folder)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|it| it == "tmp"))
            .count(),
        0
    );
}

#[test]
fn users_are_lines_of_the_configuration() {
    let folder = new_folder(Kind::Ochre);
    let path = write(
        &folder,
        "ochre.conf",
        "user alice on nopass ~a* resetchannels +@all (~b* +get)\nrequirepass foo\nmaxmemory 0\n",
    );
    let server = Launch::subject().threads(2).file(Path::new(&path)).start();
    let mut admin = server.client();
    assert_eq!(admin.run("AUTH foo"), Reply::ok());
    assert_eq!(
        admin.run("ACL USERS"),
        Reply::Array(["alice", "default"].map(|name| Reply::Bulk(name.into())).to_vec())
    );
    admin.run("ACL SETUSER bob on >secret ~* +@read -get");
    admin.run("ACL SETUSER alice off");
    let before = admin.run("ACL LIST");
    assert_eq!(admin.run("CONFIG REWRITE"), Reply::ok());
    let rewritten = fs::read_to_string(&path).unwrap();
    assert_eq!(rewritten.matches("\nuser ").count() + usize::from(rewritten.starts_with("user ")), 3, "{rewritten}");
    drop(server);
    let server = Launch::subject().threads(2).file(Path::new(&path)).start();
    let mut admin = server.client();
    assert_eq!(admin.run("AUTH foo"), Reply::ok());
    assert_eq!(admin.run("ACL LIST"), before);
}

#[test]
fn wrong_users_are_a_reason_not_to_start() {
    let folder = new_folder(Kind::Ochre);
    let users = write(&folder, "users.acl", "user alice +nosuch\n");
    for (config, reason) in [
        ("user alice +nosuch\n".to_owned(), "Unknown command or category name in ACL"),
        ("user alice on\nuser alice off\n".to_owned(), "Duplicate user found"),
        (format!("aclfile {users}\n"), "users.acl:1: Error in applying operation '+nosuch': Unknown command"),
        (format!("aclfile {users}\nuser alice on\n"), "not both"),
        ("aclfile /there/is/no/file\n".to_owned(), "No such file or directory"),
    ] {
        let path = write(&folder, "ochre.conf", &format!("port {}\ndir {}\n{config}", free_port(), folder.display()));
        let output = Command::new(Kind::Ochre.program())
            .arg(path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(told.contains(reason), "{reason} is not in:\n{told}");
    }
}

/// While clients write, their rights are taken away. Once that is answered, none of them writes any more.
#[test]
fn rights_that_are_taken_away_while_commands_run_are_gone() {
    let server = Launch::new(Kind::Ochre).threads(4).start();
    let mut admin = server.client();
    for _ in 0..20 {
        assert_eq!(admin.run("ACL SETUSER eve on nopass ~* +@all"), Reply::ok());
        let started = AtomicBool::new(false);
        thread::scope(|scope| {
            for number in 0..4 {
                let (server, started) = (&server, &started);
                scope.spawn(move || {
                    let mut client = server.client();
                    assert_eq!(client.run("AUTH eve x"), Reply::ok());
                    let key = format!("key{number}");
                    let writes = vec![vec![b"INCR".to_vec(), key.clone().into_bytes()]; 50];
                    loop {
                        let replies = client.pipeline(&writes).unwrap();
                        started.store(true, Ordering::Relaxed);
                        // Once one was refused, all later ones are.
                        let refused = replies.iter().position(|reply| matches!(reply, Reply::Error(_)));
                        if let Some(refused) = refused {
                            assert!(replies[refused..].iter().all(|reply| text(reply).starts_with("NOPERM")));
                            let again = client.pipeline(&writes).unwrap();
                            assert!(again.iter().all(|reply| text(reply).starts_with("NOPERM")));
                            return;
                        }
                    }
                });
            }
            poll::eventually("clients write", || started.load(Ordering::Relaxed));
            assert_eq!(admin.run("ACL SETUSER eve -incr"), Reply::ok());
            let values = admin.run("MGET key0 key1 key2 key3");
            for _ in 0..100 {
                assert_eq!(admin.run("MGET key0 key1 key2 key3"), values);
            }
        });
    }
}

/// Wrong passwords of an address are answered slowly after the first ones. Nobody else waits.
#[test]
fn passwords_cannot_be_tried_quickly() {
    const TRIES: usize = 40;
    let server = Launch::new(Kind::Ochre).threads(1).directive("requirepass", "secret").start();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (server, is_done) = (&server, &is_done);
        scope.spawn(move || {
            let start = Instant::now();
            let tries = vec![vec![b"AUTH".to_vec(), b"wrong".to_vec()]; TRIES];
            let replies = server.client().pipeline(&tries).unwrap();
            assert!(replies.iter().all(|reply| text(reply).starts_with("WRONGPASS")));
            // At least a dozen of them had to wait for 50 ms each, however slow the machine is.
            assert!(start.elapsed() > Duration::from_millis(500), "{:?}", start.elapsed());
            is_done.store(true, Ordering::Release);
        });
        let mut count = 0;
        while !is_done.load(Ordering::Acquire) {
            let mut client = server.client();
            assert_eq!(client.run("AUTH secret"), Reply::ok());
            assert_eq!(client.run("PING"), Reply::simple("PONG"));
            count += 1;
        }
        assert!(count > 20, "others were served {count} times");
    });
}
