//! MONITOR: the clients that are sent a line for every command that runs.
//!
//! A line is put into their mailboxes while the command's locks are held and under the lock of their list. So all monitors get the same lines in
//! the same order, and commands on the same key are in the order in which they ran.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ochre_resp::Protocol;
use parking_lot::Mutex;

use crate::{
    clock,
    session::{
        Client, ClientFlags,
        delivery::{self, Sending},
    },
};

/// The monitors.
#[derive(Default)]
pub struct Monitors {
    /// A mutex of the rank of a channel's lock: the mailboxes are filled under it.
    clients: Mutex<Vec<Arc<Client>>>,
    /// Whether there are any. Each command reads this, and it changes seldom.
    are_there: AtomicBool,
}

impl Monitors {
    /// Whether any client monitors.
    #[inline]
    pub fn are_there(&self) -> bool {
        self.are_there.load(Ordering::Relaxed)
    }

    /// Adds a client. Returns false if it is a monitor already.
    pub fn add(&self, client: &Arc<Client>) -> bool {
        let mut clients = self.clients.lock();
        if client.flags().contains(ClientFlags::MONITOR) {
            return false;
        }
        client.set_flag(ClientFlags::MONITOR, true);
        clients.push(client.clone());
        self.are_there.store(true, Ordering::Relaxed);
        true
    }

    /// Removes a client, if it is a monitor.
    pub fn remove(&self, client: &Client) {
        if client.flags().contains(ClientFlags::MONITOR) {
            let mut clients = self.clients.lock();
            clients.retain(|other| other.id != client.id);
            client.set_flag(ClientFlags::MONITOR, false);
            self.are_there.store(!clients.is_empty(), Ordering::Relaxed);
        }
    }

    /// The number of monitors.
    pub fn count(&self) -> usize {
        self.clients.lock().len()
    }

    /// Sends a line to all monitors. `source` is the address of the client that ran the command, or `lua` for a script.
    pub fn feed<'a>(
        &self,
        sending: Sending<'_>,
        database: usize,
        source: &str,
        arguments: impl Iterator<Item = &'a [u8]>,
    ) {
        let shown = shown(database, source, arguments);
        let clients = self.clients.lock();
        let time_us = clock::now_us();
        let line: Arc<[u8]> =
            format!("+{}.{:06}{shown}\r\n", time_us / 1_000_000, time_us % 1_000_000).into_bytes().into();
        let mut to_wake = Vec::new();
        for client in &*clients {
            // In the plain protocol a line has no type.
            let message = || if client.protocol() == Protocol::Plain { line[1..].into() } else { line.clone() };
            if delivery::put(sending, client, message) {
                to_wake.push(client.clone());
            }
        }
        drop(clients);
        to_wake.iter().for_each(|client| client.wake());
    }
}

/// What follows the time in a line. (Redis: `sdscatrepr`)
fn shown<'a>(database: usize, source: &str, arguments: impl Iterator<Item = &'a [u8]>) -> String {
    let mut line = format!(" [{database} {source}]");
    for argument in arguments {
        line.push_str(" \"");
        for &byte in argument {
            match byte {
                b'\\' | b'"' => line.extend(['\\', byte as char]),
                b'\n' => line.push_str("\\n"),
                b'\r' => line.push_str("\\r"),
                b'\t' => line.push_str("\\t"),
                0x07 => line.push_str("\\a"),
                0x08 => line.push_str("\\b"),
                b' '..=b'~' => line.push(byte as char),
                _ => write!(line, "\\x{byte:02x}").expect("a string takes any text"),
            }
        }
        line.push('"');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_quoted_as_redis_quotes_it() {
        let arguments: [&[u8]; 3] = [b"set", b"", b"x\x00\n\r\t\x07\x08\"\\'\x7f\xff ~"];
        let line = shown(3, "127.0.0.1:60866", arguments.into_iter());
        assert_eq!(line, r#" [3 127.0.0.1:60866] "set" "" "x\x00\n\r\t\a\b\"\\'\x7f\xff ~""#);
    }
}
