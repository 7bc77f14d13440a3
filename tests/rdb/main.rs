//! Proves that Ochre reads what Redis and Valkey write in the RDB format, and they what Ochre writes.

mod check;
mod dataset;
mod files;
mod payloads;
