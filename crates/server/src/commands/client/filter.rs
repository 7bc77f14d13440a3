//! The filters of CLIENT LIST and CLIENT KILL: those of Redis and of Valkey, each with its opposite (NOT-…).

use std::{collections::HashSet, mem::discriminant};

use ochre_datatypes::number;
use ochre_resp::Args;

use crate::{
    commands::CommandError,
    session::{Client, ClientFlags, description},
    users::Users,
};

/// The conditions of a request. A client matches if it meets all of them.
#[derive(Default)]
pub struct ClientFilter<'a> {
    conditions: Vec<Condition<'a>>,
    /// SKIPME, if it is given.
    pub skip_me: Option<bool>,
}

/// A condition, and whether it must hold or must not hold.
struct Condition<'a> {
    test: Test<'a>,
    holds: bool,
}

enum Test<'a> {
    Ids(HashSet<i64>),
    Kind(ClientKind),
    Address(&'a [u8]),
    LocalAddress(&'a [u8]),
    Ip(&'a [u8]),
    User(&'a [u8]),
    Name(&'a [u8]),
    LibraryName(&'a [u8]),
    LibraryVersion(&'a [u8]),
    Database(usize),
    /// The client must have all of these flags, each once.
    Flags(Vec<u8>),
    /// As for flags.
    Capabilities(Vec<u8>),
    /// The least seconds since the client connected.
    AgeSeconds(i64),
    /// The least seconds since the client's last command.
    IdleSeconds(i64),
}

/// The types of clients that CLIENT LIST and CLIENT KILL distinguish.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientKind {
    Normal,
    Pubsub,
    /// No client has this type yet.
    Replica,
    Master,
}

/// The command that a filter is parsed for; a few errors differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FilterOf {
    List,
    Kill,
}

/// Flags of Redis and Valkey that no client of Ochre has. A filter may name them.
const FURTHER_FLAG_LETTERS: &[u8] = b"NOSMtRBuArKCGTIiEe";

impl<'a> ClientFilter<'a> {
    /// Parses the arguments from `index` on. It is given the number of databases and the users.
    pub fn parse(
        args: Args<'a>,
        index: usize,
        of: FilterOf,
        (databases, users): (usize, &Users),
    ) -> Result<ClientFilter<'a>, CommandError> {
        let mut filter = ClientFilter::default();
        let mut index = index;
        let mut after_ids = false;
        while let Some(option) = args.try_get(index) {
            let option = option.to_ascii_uppercase();
            let value = args.try_get(index + 1);
            if option == b"SKIPME" {
                filter.skip_me = Some(match value {
                    Some(value) if value.eq_ignore_ascii_case(b"yes") => true,
                    Some(value) if value.eq_ignore_ascii_case(b"no") => false,
                    _ => return Err(CommandError::SYNTAX),
                });
                index += 2;
                continue;
            }
            let (name, holds) = match option.strip_prefix(b"NOT-") {
                Some(name) => (name, false),
                None => (&option[..], true),
            };
            let Some(value) = value.filter(|_| is_known(name, holds)) else {
                let no_id = after_ids && of == FilterOf::List && !is_known(name, holds);
                return Err(if no_id { INVALID_ID } else { CommandError::SYNTAX });
            };
            index += 2;
            after_ids = name == b"ID";
            let test = if after_ids {
                let (ids, behind) = parse_ids(args, index - 1, if holds { of } else { FilterOf::Kill })?;
                index = behind;
                Test::Ids(ids)
            } else {
                Test::parse(name, holds, value, databases, users)?
            };
            filter.add(Condition { test, holds });
        }
        Ok(filter)
    }

    /// Adds a condition, in place of an earlier one of the same kind. IDs accumulate.
    fn add(&mut self, condition: Condition<'a>) {
        let same = |other: &&mut Condition<'a>| {
            other.holds == condition.holds && discriminant(&other.test) == discriminant(&condition.test)
        };
        match (self.conditions.iter_mut().find(same), condition) {
            (Some(Condition { test: Test::Ids(ids), .. }), Condition { test: Test::Ids(more), .. }) => ids.extend(more),
            (Some(earlier), condition) => *earlier = condition,
            (None, condition) => self.conditions.push(condition),
        }
    }

    pub fn matches(&self, client: &Client, now_ms: i64) -> bool {
        self.conditions.iter().all(|condition| condition.test.matches(client, now_ms) == condition.holds)
    }
}

const INVALID_ID: CommandError = CommandError::text("ERR Invalid client ID");

fn is_known(name: &[u8], holds: bool) -> bool {
    const NAMES: [&[u8]; 12] =
        [b"ID", b"TYPE", b"ADDR", b"LADDR", b"IP", b"USER", b"NAME", b"LIB-NAME", b"LIB-VER", b"DB", b"FLAGS", b"CAPA"];
    NAMES.contains(&name) || (holds && (name == b"MAXAGE" || name == b"IDLE"))
}

/// Parses IDs from `index` on. Returns them, and the index of the first argument that is no number.
fn parse_ids(args: Args<'_>, mut index: usize, of: FilterOf) -> Result<(HashSet<i64>, usize), CommandError> {
    let mut ids = HashSet::new();
    while let Some(id) = args.try_get(index).and_then(number::parse_i64) {
        if id < 1 && of == FilterOf::Kill {
            return Err(CommandError::text("ERR client-id should be greater than 0"));
        }
        ids.insert(id);
        index += 1;
    }
    match (ids.is_empty(), of) {
        (true, FilterOf::Kill) => Err(CommandError::text("ERR client-id should be greater than 0")),
        (true, FilterOf::List) => Err(INVALID_ID),
        (false, _) => Ok((ids, index)),
    }
}

impl<'a> Test<'a> {
    fn parse(
        name: &[u8],
        holds: bool,
        value: &'a [u8],
        databases: usize,
        users: &Users,
    ) -> Result<Test<'a>, CommandError> {
        let seconds = |what: &str| match number::parse_i64(value) {
            None => Err(CommandError::composed(format!("ERR {what} is not an integer or out of range"))),
            Some(..=0) => Err(CommandError::composed(format!("ERR {what} should be greater than 0"))),
            Some(seconds) => Ok(seconds),
        };
        let prefix = if holds { "" } else { "NOT-" };
        let letters_of = |what: &str, known: &dyn Fn(u8) -> bool| {
            if !value.iter().all(|&letter| known(letter)) {
                let place = if holds { "provided".to_owned() } else { format!("NOT-{}", what.to_uppercase()) };
                return Err(CommandError::repeating(
                    &format!("ERR Unknown {what} found in the {place} filter: "),
                    value,
                    "",
                ));
            }
            let mut letters = value.to_vec();
            letters.sort_unstable();
            letters.dedup();
            Ok(letters)
        };
        Ok(match name {
            b"TYPE" => Test::Kind(
                ClientKind::parse(value)
                    .ok_or_else(|| CommandError::repeating("ERR Unknown client type '", value, "'"))?,
            ),
            b"ADDR" => Test::Address(value),
            b"LADDR" => Test::LocalAddress(value),
            b"IP" => Test::Ip(value),
            b"USER" if users.get(value).is_some() => Test::User(value),
            b"USER" => return Err(CommandError::repeating("ERR No such user '", value, "'")),
            b"NAME" => Test::Name(value),
            b"LIB-NAME" => Test::LibraryName(value),
            b"LIB-VER" => Test::LibraryVersion(value),
            b"DB" => {
                let error = |what: &str| Err(CommandError::composed(format!("ERR {prefix}DB {what}")));
                match number::parse_i64(value).and_then(|index| i32::try_from(index).ok()).map(usize::try_from) {
                    None => return error("is not an integer or out of range"),
                    Some(Ok(index)) if index < databases => Test::Database(index),
                    Some(_) => return error(&format!("number should be between 0 and {}", databases - 1)),
                }
            }
            b"FLAGS" => Test::Flags(letters_of("flags", &|letter| {
                FURTHER_FLAG_LETTERS.contains(&letter)
                    || description::FLAG_LETTERS.iter().any(|(known, _)| *known == char::from(letter))
            })?),
            b"CAPA" => Test::Capabilities(letters_of("capa", &|letter| letter == b'r')?),
            b"MAXAGE" => Test::AgeSeconds(seconds("maxage")?),
            b"IDLE" => Test::IdleSeconds(seconds("idle")?),
            _ => return Err(CommandError::SYNTAX),
        })
    }

    fn matches(&self, client: &Client, now_ms: i64) -> bool {
        let details = || client.details.lock();
        match self {
            Test::Ids(ids) => ids.contains(&(client.id as i64)),
            Test::Kind(kind) => ClientKind::of(client) == *kind,
            Test::Address(address) => client.address.as_bytes() == *address,
            Test::LocalAddress(address) => client.local_address.as_bytes() == *address,
            Test::Ip(ip) => client.ip().as_bytes() == *ip,
            Test::User(user) => *client.user() == **user,
            Test::Name(name) => *details().name == **name,
            Test::LibraryName(name) => *details().library_name == **name,
            Test::LibraryVersion(version) => *details().library_version == **version,
            Test::Database(index) => client.database() == *index,
            Test::Flags(wanted) => {
                let letters = description::letters(client.flags());
                wanted.iter().all(|letter| letters.as_bytes().contains(letter))
            }
            Test::Capabilities(wanted) => {
                let details = details();
                wanted.iter().all(|letter| details.capabilities.as_bytes().contains(letter))
            }
            Test::AgeSeconds(seconds) => (now_ms - client.created_ms) / 1000 >= *seconds,
            Test::IdleSeconds(seconds) => (now_ms - client.last_active_ms()) / 1000 >= *seconds,
        }
    }
}

impl ClientKind {
    fn parse(name: &[u8]) -> Option<ClientKind> {
        Some(match &*name.to_ascii_lowercase() {
            b"normal" => ClientKind::Normal,
            b"pubsub" => ClientKind::Pubsub,
            b"slave" | b"replica" => ClientKind::Replica,
            b"master" | b"primary" => ClientKind::Master,
            _ => return None,
        })
    }

    fn of(client: &Client) -> ClientKind {
        if client.flags().contains(ClientFlags::PUBSUB) { ClientKind::Pubsub } else { ClientKind::Normal }
    }
}
