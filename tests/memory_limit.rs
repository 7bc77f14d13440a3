//! Proves that `maxmemory` refuses a write while too much memory is in use, and no longer: memory that was freed is free for the next write.

use ochre_testkit::{Client, Launch, Reply};

const REFUSED: &str = "OOM command not allowed when used memory > 'maxmemory'.";
/// How much more than at the start may be used.
const ROOM_BYTES: i64 = 6 << 20;

/// Sets `maxmemory` so that there is some room.
fn limit(client: &mut Client) {
    let info = client.run("INFO memory").to_text();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("INFO shows the memory");
    let limit = used.trim().parse::<i64>().expect("a number") + ROOM_BYTES;
    assert_eq!(client.run(&format!("CONFIG SET maxmemory {limit}")), Reply::simple("OK"));
}

fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text == REFUSED.as_bytes())
}

/// Fills the memory by the commands that `write` names by number, until one is refused. Returns the number of commands.
fn fill(client: &mut Client, write: impl Fn(usize) -> Vec<Vec<u8>>) -> usize {
    (0..)
        .find(|&number| {
            let reply = client.call(&write(number)).expect("a reply");
            assert!(!reply.is_error() || is_refused(&reply), "{reply}");
            is_refused(&reply)
        })
        .expect("the memory is full at last")
}

fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

/// A string of a kilobyte under a key of its own.
fn small(number: usize) -> Vec<Vec<u8>> {
    words(&[b"SET", format!("k{number}").as_bytes(), &[b'x'; 1000]])
}

/// Elements of one large list, which another thread frees.
fn large(number: usize) -> Vec<Vec<u8>> {
    let mut words = words(&[b"RPUSH", b"list"]);
    words.extend((0..100).map(|element| format!("element {number} {element} {:0200}", 0).into_bytes()));
    words
}

fn check(write: impl Fn(usize) -> Vec<Vec<u8>>, removal: impl Fn(usize) -> Vec<Vec<u8>>) {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    limit(&mut client);
    for _ in 0..3 {
        let count = fill(&mut client, &write);
        assert!(client.run("GET k0").to_text().len() < 2000, "a read is not refused");
        let removal = removal(count);
        assert!(!client.call(&removal).expect("a reply").is_error());
        assert_eq!(client.run("SET after 1"), Reply::simple("OK"), "right after {}", removal[0].escape_ascii());
        // The same in one batch: what the removal frees is free for the request behind it.
        fill(&mut client, &write);
        let replies = client.pipeline(&[removal, words(&[b"SET", b"after", b"1"])]).expect("replies");
        assert_eq!(replies[1], Reply::simple("OK"));
    }
}

fn every_small_key(count: usize) -> Vec<Vec<u8>> {
    let mut removal = words(&[b"DEL"]);
    removal.extend((0..count).map(|number| format!("k{number}").into_bytes()));
    removal
}

#[test]
fn a_write_right_after_the_removal_of_small_keys_passes() {
    check(small, every_small_key);
}

#[test]
fn a_write_right_after_the_removal_of_a_large_value_passes() {
    check(large, |_| words(&[b"DEL", b"list"]));
    check(large, |_| words(&[b"UNLINK", b"list"]));
    // A command that replaces the value would itself be refused, but this one needs no memory.
    check(large, |_| words(&[b"LTRIM", b"list", b"1", b"0"]));
}

#[test]
fn a_write_right_after_a_flush_passes() {
    check(small, |_| words(&[b"FLUSHALL", b"SYNC"]));
    check(large, |_| words(&[b"FLUSHDB", b"SYNC"]));
    check(small, |_| words(&[b"FLUSHALL", b"ASYNC"]));
}

/// EXEC is checked like the commands that it runs.
#[test]
fn a_transaction_right_after_the_removal_passes() {
    let server = Launch::subject().threads(2).start();
    let mut client = server.client();
    limit(&mut client);
    for _ in 0..5 {
        client.run("MULTI");
        client.run("SET after 1");
        let mut other = server.client();
        fill(&mut other, large);
        other.run("DEL list");
        assert_eq!(client.run("EXEC"), Reply::Array(vec![Reply::simple("OK")]));
    }
}
