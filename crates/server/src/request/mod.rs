//! The way of a request, one file a step:
//!
//! | step | file | what it does |
//! |---|---|---|
//! | 1 | `connection.rs` | reads, and writes; the only async file |
//! | 2 | `batch.rs` | cuts the read buffer into all its complete requests |
//! | 3 | `lookup.rs` | name → command |
//! | 4 | `check.rs` | every refusal, in one ordered list |
//! | 5 | `keys.rs` | key specs → lock set |
//! | 6 | `execute.rs` | calls the handler under the locks |
//! | 7 | `effects.rs` | makes a write known |
//! |   | `worker.rs` | a core, and the memory that its connections share for steps 1 to 8 |
//! |   | `wake.rs` | parks those who wait for keys, and serves them |
//! | 8 | `connection.rs` | the reply leaves |

pub mod batch;
pub mod check;
pub mod connection;
pub mod effects;
pub mod execute;
pub mod keys;
pub mod lookup;
pub mod wake;
pub mod worker;
