//! Connections and clients.

use super::super::case::{Case, case};

/// `n` further clients.
const CLIENTS: &str = "others: CLIENT SETNAME c@";

pub const CASES: &[Case] = &[
    case("AUTH", "bytes of the password", &[], &["100 times: AUTH default (x)n"]),
    case("CLIENT CAPA", "capabilities", &[], &["CLIENT CAPA [redirect]"]),
    case("CLIENT GETNAME", "bytes of the name", &["CLIENT SETNAME (x)n"], &["100 times: CLIENT GETNAME"]),
    case("CLIENT INFO", "clients", &[CLIENTS], &["1000 times: CLIENT INFO"]).from(1000),
    case("CLIENT INFO", "queued commands", &["MULTI"], &["n times: CLIENT INFO"]),
    case("CLIENT KILL", "clients, at once", &[CLIENTS], &["CLIENT KILL TYPE normal SKIPME yes", "PING"]).from(1000),
    case("CLIENT KILL", "identifiers of a filter", &[], &["CLIENT KILL ID [#0000]"]),
    case("CLIENT KILL", "identifiers of a filter, and clients", &[CLIENTS], &["CLIENT KILL ID [#0000]"]).from(1000),
    case("CLIENT LIST", "clients", &[CLIENTS], &["CLIENT LIST"]).from(1000),
    case("CLIENT LIST", "identifiers", &[], &["CLIENT LIST ID [#]"]),
    case("CLIENT LIST", "identifiers, and clients", &[CLIENTS], &["CLIENT LIST ID [#0000]"]).from(2000),
    case("CLIENT PAUSE", "pauses", &[], &["n times: CLIENT PAUSE 1 WRITE"]),
    case("CLIENT SETINFO", "bytes of the name", &[], &["100 times: CLIENT SETINFO LIB-NAME (x)n"]),
    case("CLIENT SETNAME", "bytes of the name", &[], &["100 times: CLIENT SETNAME (x)n"]),
    case("CLIENT UNBLOCK", "clients", &[CLIENTS], &["1000 times: CLIENT UNBLOCK 999999@"]).from(1000),
    case("CLIENT UNPAUSE", "requests", &[], &["n times: CLIENT UNPAUSE"]),
    case("ECHO", "bytes", &[], &["100 times: ECHO (x)n"]),
    case("HELLO", "bytes of the name", &[], &["100 times: HELLO 3 SETNAME (x)n"]),
    case("PING", "bytes", &[], &["100 times: PING (x)n"]),
    case("PING", "requests of a pipeline", &[], &["n times: PING"]),
    case("PING", "clients", &[CLIENTS], &["1000 times: PING"]).from(1000),
    case("RESET", "watched keys", &["WATCH [k#]"], &["RESET"]),
    case("RESET", "subscriptions", &["SUBSCRIBE [c#]"], &["RESET"]),
    case("SELECT", "databases", &[], &["n times: SELECT @"]).with("databases", "{n}0"),
];
