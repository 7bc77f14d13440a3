//! What an operator can see of a running server.
//!
//! - `info.rs`: INFO's sections.
//! - `process_figures.rs`: what the system tells of the process: its memory, its processor time.

pub mod info;
pub mod process_figures;
