//! The commands.
//!
//! | file | what it is |
//! |---|---|
//! | `table.rs` | the row of a command |
//! | `context.rs`, `effects.rs`, `error.rs` | what a handler is given, and what it returns |
//! | `permissions.rs` | whether a user may run a command |
//! | `key_positions.rs` | finding the keys among a request's arguments |
//! | `registry.rs`, `names.rs` | the table of all commands, by name and by number |
//! | `syntax.rs` | the notation of arguments in a row |
//! | `elements.rs`, `help.rs`, `later.rs`, `multi_pop.rs`, `numbers.rs`, `timeout.rs` | arguments and replies that several families share |
//! | all others | one family of commands each: its rows on top, its handlers below |
//!
//! This file joins the families' rows.

pub mod acl;
pub mod bitmaps;
pub mod client;
pub mod cluster;
pub mod command;
pub mod commandlog;
pub mod config;
pub mod connection;
pub mod context;
pub mod debug;
pub mod dump;
pub mod effects;
pub mod elements;
pub mod error;
pub mod expire;
pub mod functions;
pub mod geo;
pub mod hashes;
pub mod help;
pub mod hyperloglog;
pub mod info;
pub mod key_positions;
pub mod keys;
pub mod latency;
pub mod later;
pub mod lists;
pub mod memory;
pub mod module;
pub mod monitor;
pub mod multi_pop;
pub mod numbers;
pub mod object;
pub mod permissions;
pub mod pubsub;
pub mod registry;
pub mod replication;
pub mod running;
pub mod saves;
pub mod scan;
pub mod scripting;
pub mod server;
pub mod sets;
pub mod sort;
pub mod sorted_sets;
pub mod streams;
pub mod strings;
pub mod syntax;
pub mod table;
pub mod timeout;
pub mod transactions;

mod names;

pub use error::CommandError;
pub use registry::{Command, table};
pub use table::{CommandSpec, Flags, Handler};

/// The rows of every family.
const FAMILIES: &[&[CommandSpec]] = &[
    acl::ROWS,
    bitmaps::ROWS,
    client::ROWS,
    cluster::ROWS,
    command::ROWS,
    commandlog::ROWS,
    connection::ROWS,
    debug::ROWS,
    dump::ROWS,
    expire::ROWS,
    functions::ROWS,
    geo::ROWS,
    hashes::ROWS,
    hashes::expiry::ROWS,
    hashes::random::ROWS,
    hyperloglog::ROWS,
    keys::ROWS,
    lists::ROWS,
    lists::ends::ROWS,
    lists::search::ROWS,
    config::ROWS,
    info::ROWS,
    latency::ROWS,
    memory::ROWS,
    module::ROWS,
    monitor::ROWS,
    object::ROWS,
    pubsub::ROWS,
    replication::ROWS,
    scan::ROWS,
    scripting::ROWS,
    saves::ROWS,
    server::ROWS,
    sets::ROWS,
    sets::combine::ROWS,
    sets::random::ROWS,
    sort::ROWS,
    sorted_sets::ROWS,
    sorted_sets::combine::ROWS,
    sorted_sets::pop::ROWS,
    sorted_sets::range::ROWS,
    streams::ROWS,
    streams::groups::ROWS,
    streams::info::ROWS,
    streams::pending::ROWS,
    streams::read::ROWS,
    strings::ROWS,
    strings::compare::ROWS,
    strings::increment::ROWS,
    strings::set::ROWS,
    transactions::ROWS,
];

/// Builds the table of all commands. `renamed` has the names and new names of the `rename-command` directives; an empty new name removes
/// the command. The error is a text for the operator.
pub fn load(renamed: &[(Vec<u8>, Vec<u8>)]) -> Result<(), String> {
    registry::load(FAMILIES, renamed)
}

#[cfg(test)]
mod tests {
    use super::{FAMILIES, registry::Table, syntax};

    #[test]
    fn every_row_parses() {
        for command in Table::new(FAMILIES).all() {
            if let Err(expected) = syntax::parse(command.spec.syntax, command.spec.keys.len()) {
                panic!("{}: expected {expected}", command.full_name);
            }
        }
    }
}
