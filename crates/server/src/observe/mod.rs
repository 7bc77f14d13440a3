//! What an operator sees of a running server: the sections of INFO and the figures in them.

pub mod info;
pub mod process_figures;
pub mod rates;
