//! Proves that MEMORY USAGE says what a key takes, by the memory that the server uses before and after it has such keys.

use ochre_testkit::{Client, Launch, client};

/// What the figure may be off by, in percent.
const TOLERANCE_PERCENT: f64 = 10.0;

fn used_memory(client: &mut Client) -> f64 {
    let info = client.run("INFO memory").to_text();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok());
    used.expect("INFO shows the memory")
}

fn words(command: &str, key: &str, elements: impl Iterator<Item = Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    let head = [command.as_bytes().to_vec(), key.as_bytes().to_vec()];
    head.into_iter().chain(elements.flatten()).collect()
}

/// The commands that make a key of `count` elements of about `len` bytes.
type Make = fn(key: &str, count: usize, len: usize) -> Vec<Vec<Vec<u8>>>;

fn number(number: usize, len: usize) -> Vec<u8> {
    format!("{number:0len$}e").into_bytes()
}

fn string(key: &str, _: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    vec![words("SET", key, std::iter::once(vec![vec![b'x'; len]]))]
}

fn expiring(key: &str, count: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    let mut commands = string(key, count, len);
    commands[0].extend([b"EX".to_vec(), b"100000".to_vec()]);
    commands
}

fn appended(key: &str, count: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    (0..count).map(|_| words("APPEND", key, std::iter::once(vec![vec![b'x'; len]]))).collect()
}

fn list(key: &str, count: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    vec![words("RPUSH", key, (0..count).map(|at| vec![number(at, len)]))]
}

fn hash(key: &str, count: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    vec![words("HSET", key, (0..count).map(|at| vec![number(at, 7), vec![b'v'; len]]))]
}

fn hash_with_expiring_fields(key: &str, count: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    let mut commands = hash(key, count, len);
    let mut expire = words("HEXPIRE", key, std::iter::empty());
    expire.extend([b"10000".to_vec(), b"FIELDS".to_vec(), count.to_string().into_bytes()]);
    expire.extend((0..count).map(|at| number(at, 7)));
    commands.push(expire);
    commands
}

fn set(key: &str, count: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    vec![words("SADD", key, (0..count).map(|at| vec![number(at, len)]))]
}

fn integers(key: &str, count: usize, _: usize) -> Vec<Vec<Vec<u8>>> {
    vec![words("SADD", key, (0..count).map(|at| vec![at.to_string().into_bytes()]))]
}

fn sorted_set(key: &str, count: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    vec![words("ZADD", key, (0..count).map(|at| vec![format!("{at}.5").into_bytes(), number(at, len)]))]
}

fn stream(key: &str, count: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    let entry = |at: usize| vec![vec![format!("{}-1", at + 1).into_bytes(), b"field".to_vec(), vec![b'x'; len]]];
    (0..count).map(|at| words("XADD", key, entry(at).into_iter())).collect()
}

fn stream_with_pending_entries(key: &str, count: usize, len: usize) -> Vec<Vec<Vec<u8>>> {
    let mut commands = stream(key, count, len);
    let split = |line: String| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    commands.push(split(format!("XGROUP CREATE {key} group 0")));
    commands.push(split(format!("XREADGROUP GROUP group consumer COUNT {count} STREAMS {key} >")));
    commands
}

/// Runs commands, many at a time.
fn run(client: &mut Client, commands: impl Iterator<Item = Vec<Vec<u8>>>) -> Vec<i64> {
    const BYTES_AT_A_TIME: usize = 32 << 10;
    let (mut bytes, mut sent, mut figures) = (Vec::new(), 0, Vec::new());
    let mut answer = |client: &mut Client, bytes: &mut Vec<u8>, sent: &mut usize| {
        client.send_bytes(bytes).expect("the commands are sent");
        bytes.clear();
        for _ in 0..std::mem::take(sent) {
            let reply = client.read_reply().expect("a reply");
            assert!(!reply.is_error(), "{reply}");
            figures.extend(reply.as_integer());
        }
    };
    for command in commands {
        client::encode(&command, &mut bytes);
        sent += 1;
        if bytes.len() > BYTES_AT_A_TIME {
            answer(client, &mut bytes, &mut sent);
        }
    }
    answer(client, &mut bytes, &mut sent);
    figures
}

fn check(client: &mut Client, name: &str, make: Make, count: usize, len: usize) {
    /// So many keys that what each database takes, however few keys it has, does not count.
    const KEYS_MAX: usize = 100_000;
    const BYTES: usize = 8 << 20;
    let keys = (BYTES / (count * (len + 20))).clamp(3, KEYS_MAX);
    client.run("FLUSHALL SYNC");
    let before = used_memory(client);
    let key = |at: usize| format!("key:{at:08}");
    run(client, (0..keys).flat_map(|at| make(&key(at), count, len)));
    let usage = |at: usize| words("MEMORY", "USAGE", std::iter::once(vec![key(at).into_bytes()]));
    let told: i64 = run(client, (0..keys).map(usage)).into_iter().sum();
    let used = used_memory(client) - before;
    let percent = 100.0 * (told as f64 / used - 1.0);
    assert!(
        percent.abs() <= TOLERANCE_PERCENT,
        "{name} of {count} elements of {len} bytes: {told} bytes are told and {used} are used, {percent:+.1} %"
    );
}

#[test]
fn memory_usage_is_true_for_every_type_and_size() {
    let server = Launch::subject().threads(1).start();
    let mut client = server.client();
    for len in [1, 20, 64, 100, 500, 3_000, 5_000, 20_000, 100_000, 1_000_000] {
        check(&mut client, "string", string, 1, len);
    }
    check(&mut client, "expiring string", expiring, 1, 64);
    for (count, len) in [(30, 100), (100, 1_000), (20, 100_000)] {
        check(&mut client, "appended string", appended, count, len);
    }
    for count in [5, 100, 500, 5_000] {
        check(&mut client, "set of integers", integers, count, 5);
    }
    let types: [(&str, Make); 5] =
        [("list", list), ("hash", hash), ("set", set), ("sorted set", sorted_set), ("stream", stream)];
    for (name, make) in types {
        for count in [1, 10, 100, 1_000, 20_000] {
            for len in [10, 100] {
                check(&mut client, name, make, count, len);
            }
        }
        check(&mut client, name, make, 5, 3_000);
    }
    for count in [1, 10, 100, 5_000] {
        check(&mut client, "hash with expiring fields", hash_with_expiring_fields, count, 10);
        check(&mut client, "stream with pending entries", stream_with_pending_entries, count, 10);
    }
}
