//! The way of a request, one file a step:
//!
//! | step | file | what it does |
//! |---|---|---|
//! | 1 | `connection.rs` | reads, waits, and writes; the only async file |
//! | 2 | `cut.rs` | cuts the read buffer into requests |
//! | 3 | `lookup.rs` | name → command |
//! | 4 | `check.rs` | every refusal, in one ordered list |
//! | 5 | `keys.rs` | key specs → hashes |
//! | 6 | `locks.rs` | gate, shards, pause and clock |
//! | 7 | `widening.rs` | the further shards that a write needs to serve blocked clients |
//! | 8 | `execute.rs` | calls the handler under the locks |
//! | 9 | `effects.rs` | makes a write known |
//! | 10 | `serving.rs` | serves the blocked clients that wait for what was written |
//! | 11 | `connection.rs` | sends the replies |
//!
//! `batch.rs` is the loop over steps 2 to 10 for requests that share their locks, `single.rs` takes the others through them, and
//! `turn.rs` has what both work with. `parking.rs` blocks a client. `eviction.rs` makes room for a command that needs memory, and
//! `client_eviction.rs` bounds the memory of clients. `defragmenting.rs` moves entries so that memory can be given back. `chores.rs` does later the work whose shards were locked. `replay.rs`
//! runs again the commands that the journal recorded. `worker.rs` is a core with the memory that its connections share.

pub mod account;
mod batch;
pub mod check;
pub mod chores;
pub mod client_eviction;
pub mod connection;
pub mod cut;
pub mod defragmenting;
pub mod effects;
pub mod eviction;
pub mod execute;
pub mod inserting;
pub mod keys;
pub mod locks;
pub mod lookup;
pub mod parking;
pub mod replay;
mod scripted;
pub mod serving;
pub mod single;
pub mod turn;
pub mod walker;
pub mod widening;
pub mod worker;
