//! What an operator sees of a running server.
//!
//! - `info.rs`: the sections of INFO.
//! - `process_figures.rs`: what the system tells of the process: its memory, its processor time.

pub mod info;
pub mod process_figures;
