//! The way of a request, one file a step:
//!
//! | step | file | what it does |
//! |---|---|---|
//! | 1 | `connection.rs` | reads, waits, and writes; the only async file |
//! | 2 | `cut.rs` | cuts the read buffer into requests |
//! | 3 | `lookup.rs` | name → command |
//! | 4 | `check.rs` | every refusal, in one ordered list |
//! | 5 | `keys.rs` | key specs → hashes |
//! | 6 | `locks.rs`, `widening.rs` | gate and locks, also for the blocked clients that a write may serve |
//! | 7 | `execute.rs` | calls the handler under the locks |
//! | 8 | `effects.rs` | makes a write known |
//! | 9 | `serving.rs` | serves the blocked clients that wait for what was written |
//! | 10 | `connection.rs` | the reply leaves |
//!
//! `batch.rs` is the loop over steps 2 to 9 for requests that share their locks, `single.rs` takes the others through them, and
//! `turn.rs` is what both work with. `parking.rs` blocks a client, `chores.rs` does later what found its shards locked, `replay.rs`
//! does again what the journal recorded, and `worker.rs` is a core with the memory that its connections share.

pub mod batch;
pub mod check;
pub mod chores;
pub mod connection;
pub mod cut;
pub mod effects;
pub mod execute;
pub mod keys;
pub mod locks;
pub mod lookup;
pub mod parking;
pub mod replay;
pub mod serving;
pub mod single;
pub mod turn;
pub mod widening;
pub mod worker;
