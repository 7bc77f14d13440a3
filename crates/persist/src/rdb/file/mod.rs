//! RDB files, record by record; see the picture in `rdb/mod.rs`.

mod read;
mod write;

pub use self::{
    read::{FileReader, Key, Record},
    write::{Access, FileWriter, KeyToWrite},
};

/// The marks of records. (Redis: `RDB_OPCODE_*`)
pub(super) mod marks {
    pub(super) const SLOT_IMPORT: u8 = 243;
    pub(super) const SLOT_INFO: u8 = 244;
    pub(in crate::rdb) const FUNCTION_2: u8 = 245;
    pub(super) const FUNCTION_PRE_GA: u8 = 246;
    pub(super) const MODULE_AUX: u8 = 247;
    pub(super) const IDLE: u8 = 248;
    pub(super) const FREQUENCY: u8 = 249;
    pub(super) const AUX: u8 = 250;
    pub(super) const RESIZE: u8 = 251;
    pub(super) const EXPIRY_MS: u8 = 252;
    pub(super) const EXPIRY_S: u8 = 253;
    pub(super) const SELECT: u8 = 254;
    pub(super) const END: u8 = 255;
}

/// The first version with a checksum at the end.
const CHECKSUM_VERSION: u16 = 5;
