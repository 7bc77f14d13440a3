//! What an operator can see of a running server: INFO's sections, and what they are made of.

pub mod info;
pub mod process_figures;
pub mod rates;
