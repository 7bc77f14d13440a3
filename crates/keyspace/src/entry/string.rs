//! Strings on their way into an entry and out of it.

/// A string to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewValue<'a> {
    /// A string that is stored as an integer.
    Integer(i64),
    /// Any other string.
    Bytes(&'a [u8]),
}

impl<'a> NewValue<'a> {
    /// Returns the value for a client's bytes. It is an integer if printing that integer gives the same bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> NewValue<'a> {
        // No i64 takes more than 20 characters.
        match if bytes.len() <= 20 { ochre_datatypes::number::parse_i64(bytes) } else { None } {
            Some(integer) => NewValue::Integer(integer),
            None => NewValue::Bytes(bytes),
        }
    }
}

/// A stored string, to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// A string that is stored as an integer.
    Integer(i64),
    /// Any other string.
    Bytes(&'a [u8]),
}

impl<'a> ValueRef<'a> {
    /// Returns the string as a client sees it. An integer is printed into `scratch`.
    pub fn as_bytes<'s>(self, scratch: &'s mut itoa::Buffer) -> &'s [u8]
    where
        'a: 's,
    {
        match self {
            ValueRef::Integer(integer) => scratch.format(integer).as_bytes(),
            ValueRef::Bytes(bytes) => bytes,
        }
    }

    /// Returns the length of the string in bytes.
    pub fn len(self) -> usize {
        match self {
            ValueRef::Integer(integer) => itoa::Buffer::new().format(integer).len(),
            ValueRef::Bytes(bytes) => bytes.len(),
        }
    }

    /// Returns whether this is the empty string.
    pub fn is_empty(self) -> bool {
        self == ValueRef::Bytes(b"")
    }
}
