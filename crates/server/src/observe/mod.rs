//! What an operator sees of a running server.
//!
//! - `command_times.rs`: how long commands take.
//! - `info.rs`: the sections of INFO.
//! - `process_figures.rs`: the memory and processor time of the process, as the system reports them.
//! - `sparkline.rs`: the drawings of LATENCY GRAPH.

pub mod command_times;
pub mod info;
pub mod process_figures;
pub mod sparkline;
