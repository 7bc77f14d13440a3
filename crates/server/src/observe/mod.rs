//! What an operator sees of a running server.
//!
//! - `info.rs`: the sections of INFO.
//! - `process_figures.rs`: the memory and processor time of the process, as the system reports them.

pub mod info;
pub mod process_figures;
