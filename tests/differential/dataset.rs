//! The data of a server, in a form that can be compared with another server's.

use std::collections::BTreeMap;
use std::io;

use ochre_testkit::quoting::quote;
use ochre_testkit::{Client, Kind, Reply, differences};

use crate::rules;

const DATABASES: usize = 16;

/// The keys with their values, by database and key.
pub type Dataset = BTreeMap<(usize, Vec<u8>), Entry>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Reply,
    pub encoding: Reply,
    pub expires: Reply,
    pub digest: Reply,
    pub value: Reply,
}

fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

/// Reads all data through a connection that uses RESP2.
pub fn read(client: &mut Client) -> io::Result<Dataset> {
    let mut commands = Vec::new();
    for database in 0..DATABASES {
        commands.push(words(&[b"SELECT", database.to_string().as_bytes()]));
        commands.push(words(&[b"KEYS", b"*"]));
    }
    let replies = client.pipeline(&commands)?;
    let mut dataset = Dataset::new();
    for (database, pair) in replies.chunks_exact(2).enumerate() {
        let Reply::Array(keys) = &pair[1] else {
            return Err(io::Error::other(format!("KEYS * was answered by {}", pair[1])));
        };
        if !keys.is_empty() {
            client.call(&["SELECT", &database.to_string()])?;
            let keys: Vec<Vec<u8>> = keys.iter().filter_map(|key| Some(key.as_bytes()?.to_vec())).collect();
            read_keys(client, database, keys, &mut dataset)?;
        }
    }
    Ok(dataset)
}

fn read_keys(client: &mut Client, database: usize, keys: Vec<Vec<u8>>, dataset: &mut Dataset) -> io::Result<()> {
    let mut commands = Vec::new();
    for key in &keys {
        commands.push(words(&[b"TYPE", key]));
        commands.push(words(&[b"OBJECT", b"ENCODING", key]));
        commands.push(words(&[b"PEXPIRETIME", key]));
        commands.push(words(&[b"DEBUG", b"DIGEST-VALUE", key]));
    }
    let abouts = client.pipeline(&commands)?;
    let commands: Vec<_> =
        keys.iter().zip(abouts.chunks_exact(4)).map(|(key, about)| reading(&about[0].to_text(), key)).collect();
    let values = client.pipeline(&commands)?;
    for ((key, about), value) in keys.into_iter().zip(abouts.chunks_exact(4)).zip(values) {
        let value = match about[0].to_text().as_str() {
            "set" => sorted(value, 1),
            "hash" => sorted(value, 2),
            _ => value,
        };
        let [kind, encoding, expires, digest] = about else { unreachable!("chunks of four") };
        let entry = Entry {
            kind: kind.clone(),
            encoding: encoding.clone(),
            expires: expires.clone(),
            digest: digest.clone(),
            value,
        };
        dataset.insert((database, key), entry);
    }
    Ok(())
}

/// The command that reads a value of a type.
fn reading(kind: &str, key: &[u8]) -> Vec<Vec<u8>> {
    match kind {
        "list" => words(&[b"LRANGE", key, b"0", b"-1"]),
        "set" => words(&[b"SMEMBERS", key]),
        "hash" => words(&[b"HGETALL", key]),
        "zset" => words(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
        "stream" => words(&[b"XRANGE", key, b"-", b"+"]),
        _ => words(&[b"GET", key]),
    }
}

/// Sorts an array whose order is arbitrary, in groups of `group` elements.
fn sorted(reply: Reply, group: usize) -> Reply {
    let items: Vec<Reply> = reply.items().into_iter().cloned().collect();
    let mut groups: Vec<&[Reply]> = items.chunks(group).collect();
    groups.sort();
    Reply::Array(groups.concat())
}

/// A description of the first difference. Digests are compared if both servers have them.
pub fn difference(ours: &Dataset, theirs: &Dataset, reference: Kind, with_digests: bool) -> Option<String> {
    let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for place in keys {
        let (database, key) = place;
        let at = format!("key {} of database {database}", quote(key));
        let (ours, theirs) = match (ours.get(place), theirs.get(place)) {
            (Some(ours), Some(theirs)) => (ours, theirs),
            (Some(ours), None) => return Some(format!("{at} exists only in Ochre: {}", ours.value)),
            (None, Some(theirs)) => return Some(format!("{at} exists only in the reference: {}", theirs.value)),
            (None, None) => continue,
        };
        let expires_near = match (&ours.expires, &theirs.expires) {
            (Reply::Integer(ours), Reply::Integer(theirs)) => rules::near(*ours, *theirs, 2000),
            (ours, theirs) => ours == theirs,
        };
        for (what, same, ours, theirs) in [
            ("type", ours.kind == theirs.kind, &ours.kind, &theirs.kind),
            ("value", ours.value == theirs.value, &ours.value, &theirs.value),
            (
                "encoding",
                differences::same_encoding(reference, &ours.encoding, &theirs.encoding),
                &ours.encoding,
                &theirs.encoding,
            ),
            ("expiry", expires_near, &ours.expires, &theirs.expires),
            ("DEBUG DIGEST-VALUE", !with_digests || ours.digest == theirs.digest, &ours.digest, &theirs.digest),
        ] {
            if !same {
                return Some(format!("{at} has another {what}:\n  Ochre:     {ours}\n  reference: {theirs}"));
            }
        }
    }
    None
}
