//! What MONITOR shows: every command that runs, in the order in which they run, without secrets.

use ochre_testkit::{Client, Launch, Reply};

/// The next line of a monitor, without the time and the client's port.
fn line(monitor: &mut Client) -> String {
    let Reply::Simple(line) = monitor.read_reply().expect("a line") else { panic!("a line is a simple string") };
    let line = String::from_utf8(line).expect("a line is text");
    let (time, rest) = line.split_once(' ').expect("a line begins with the time");
    assert!(time.parse::<f64>().is_ok_and(|seconds| seconds > 1e9), "{line}");
    let (head, command) = rest.split_once("] ").expect("the client is in brackets");
    let source = head.rsplit_once(':').map_or(head, |(address, _)| address);
    format!("{source}] {command}")
}

fn check(commands: &[&str], lines: &[&str]) {
    let server = Launch::subject().threads(2).start();
    let mut monitor = server.client();
    assert_eq!(monitor.run("MONITOR"), Reply::ok());
    let mut client = server.client();
    for command in commands {
        client.run(command);
    }
    client.run("PING end");
    for expected in lines.iter().chain(&["[0 127.0.0.1] \"PING\" \"end\""]) {
        assert_eq!(line(&mut monitor), *expected);
    }
}

#[test]
fn commands_are_shown_as_they_were_sent() {
    check(
        &["SET key \"a\\x00\\n\\\"b\"", "SELECT 3", "get key", "NOSUCH", "GET", "ECHO \"\"", "SELECT 0"],
        &[
            r#"[0 127.0.0.1] "SET" "key" "a\x00\n\"b""#,
            r#"[3 127.0.0.1] "SELECT" "3""#,
            r#"[3 127.0.0.1] "get" "key""#,
            r#"[3 127.0.0.1] "ECHO" """#,
            r#"[0 127.0.0.1] "SELECT" "0""#,
        ],
    );
}

#[test]
fn a_transaction_is_shown_when_it_runs() {
    check(
        &["MULTI", "SET key 1", "INCR key", "EXEC"],
        &[
            r#"[0 127.0.0.1] "MULTI""#,
            r#"[0 127.0.0.1] "SET" "key" "1""#,
            r#"[0 127.0.0.1] "INCR" "key""#,
            r#"[0 127.0.0.1] "EXEC""#,
        ],
    );
}

#[test]
fn what_a_script_calls_comes_behind_the_script() {
    let script = "EVAL \"redis.call('set', KEYS[1], 'x') return redis.pcall('incr', KEYS[1])\" 1 key";
    check(
        &[script, "GET key"],
        &[
            r#"[0 127.0.0.1] "EVAL" "redis.call('set', KEYS[1], 'x') return redis.pcall('incr', KEYS[1])" "1" "key""#,
            r#"[0 lua] "set" "key" "x""#,
            r#"[0 lua] "incr" "key""#,
            r#"[0 127.0.0.1] "GET" "key""#,
        ],
    );
}

#[test]
fn secrets_are_not_shown() {
    check(
        &["AUTH name password", "HELLO 3 AUTH default password", "CONFIG SET requirepass hidden"],
        &[
            r#"[0 127.0.0.1] "AUTH" "(redacted)" "(redacted)""#,
            r#"[0 127.0.0.1] "HELLO" "3" "AUTH" "(redacted)" "(redacted)""#,
        ],
    );
}
