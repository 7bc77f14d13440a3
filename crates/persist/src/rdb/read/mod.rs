//! Reading a value, of any type and encoding.

mod legacy;
mod stream;

use ochre_datatypes::{
    Collection,
    hash::{Hash, LOADED_EXPIRY_MS_MAX},
    intset::Width,
    list::{List, ListBuilder},
    listpack,
    set::Set,
    sorted_set::SortedSet,
};

use super::{
    Dialect, Limits, Value, codes,
    source::{Slice, Source, array, double, len, string, time_ms, with_string, within},
};
use crate::fault::Fault;

/// Reads a value of a type. Returns `None` if it is a collection without elements, which Redis skips.
///
/// # Errors
/// A fault, with the offset at which the source is.
pub fn read_value(
    source: &mut impl Source,
    value_type: u8,
    dialect: Dialect,
    limits: &Limits,
) -> Result<Option<Value>, Fault> {
    let at = source.offset();
    Ok(match value_type {
        codes::STRING => Some(Value::String(string(source)?)),
        codes::LIST | codes::LIST_ZIPLIST | codes::LIST_QUICKLIST | codes::LIST_QUICKLIST_2 => {
            collection(list(source, value_type, limits)?)
        }
        codes::SET => collection(set(source, limits)?),
        codes::SET_INTSET => collection(intset(source, limits)?),
        codes::SET_LISTPACK => {
            let run = packed(source)?;
            collection(Set::from_listpack(run, &limits.set).ok_or(Fault::corrupt(at, "a set has a member twice"))?)
        }
        codes::ZSET | codes::ZSET_2 => collection(sorted_set(source, value_type, limits)?),
        codes::ZSET_ZIPLIST | codes::ZSET_LISTPACK => {
            let run = if value_type == codes::ZSET_ZIPLIST { legacy::ziplist(source)? } else { packed(source)? };
            const INVALID: &str = "a sorted set has a member twice, or a score that is not a number";
            collection(SortedSet::from_listpack(run, &limits.sorted_set).ok_or(Fault::corrupt(at, INVALID))?)
        }
        codes::HASH => collection(hash(source, Expiries::None, limits)?),
        codes::HASH_ZIPMAP => collection(packed_hash(legacy::zipmap(source)?, false, at, limits)?),
        codes::HASH_ZIPLIST => collection(packed_hash(legacy::ziplist(source)?, false, at, limits)?),
        codes::HASH_LISTPACK => collection(packed_hash(packed(source)?, false, at, limits)?),
        codes::HASH_2 if dialect == Dialect::Valkey => collection(hash(source, Expiries::AfterValue, limits)?),
        codes::HASH_METADATA_PRE_GA => collection(hash(source, Expiries::BeforeField { offset: 0 }, limits)?),
        codes::HASH_METADATA => {
            let offset = first_expiry(source)?;
            // A field's expiry is stored as its distance to the first one, plus one, as 0 means that it has none.
            collection(hash(source, Expiries::BeforeField { offset: offset - 1 }, limits)?)
        }
        codes::HASH_LISTPACK_EX | codes::HASH_LISTPACK_EX_PRE_GA => {
            if value_type == codes::HASH_LISTPACK_EX {
                first_expiry(source)?;
            }
            collection(packed_hash(packed(source)?, true, at, limits)?)
        }
        codes::STREAM_LISTPACKS | codes::STREAM_LISTPACKS_2 | codes::STREAM_LISTPACKS_3 => {
            Some(Value::Collection(stream::stream(source, value_type)?.into_any()))
        }
        codes::MODULE_PRE_GA | codes::MODULE_2 => return Err(Fault::unsupported(at, module_value(source)?)),
        _ => return Err(Fault::corrupt(at, format!("unknown type of value {value_type}"))),
    })
}

fn collection<C: Collection>(collection: C) -> Option<Value> {
    (!collection.is_empty()).then(|| Value::Collection(collection.into_any()))
}

/// Says what a module's value needs. The name of the module is nine characters of six bits, above ten bits of version.
fn module_value(source: &mut impl Source) -> Result<String, Fault> {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let id = len(source)?;
    let name: String = (0..9).rev().map(|at| char::from(CHARACTERS[(id >> (10 + 6 * at) & 0x3f) as usize])).collect();
    Ok(format!("a value of the module type {name}, which needs a module"))
}

/// Reads a listpack, and encodes its elements anew.
fn packed(source: &mut impl Source) -> Result<Vec<u8>, Fault> {
    let at = source.offset();
    with_string(source, listpack::from_redis)?.ok_or(Fault::corrupt(at, "a listpack is not well formed"))
}

fn list(source: &mut impl Source, value_type: u8, limits: &Limits) -> Result<List, Fault> {
    let mut list = ListBuilder::new(&limits.list);
    if value_type == codes::LIST_ZIPLIST {
        list.push_node(legacy::ziplist(source)?);
        return Ok(list.finish());
    }
    for _ in 0..len(source)? {
        match value_type {
            codes::LIST => with_string(source, |element| list.push(element))?,
            codes::LIST_QUICKLIST => list.push_node(legacy::ziplist(source)?),
            _ => {
                let at = source.offset();
                match len(source)? {
                    codes::NODE_PLAIN => with_string(source, |element| list.push_plain(element))?,
                    codes::NODE_PACKED => list.push_node(packed(source)?),
                    _ => return Err(Fault::corrupt(at, "unknown kind of a list's node")),
                }
            }
        }
    }
    Ok(list.finish())
}

fn set(source: &mut impl Source, limits: &Limits) -> Result<Set, Fault> {
    let members = len(source)?;
    let mut set = Set::default();
    set.prepare(usize::try_from(members).unwrap_or(usize::MAX), &limits.set);
    for _ in 0..members {
        let at = source.offset();
        if !with_string(source, |member| set.add(member, &limits.set))? {
            return Err(Fault::corrupt(at, "a set has a member twice"));
        }
    }
    Ok(set)
}

fn intset(source: &mut impl Source, limits: &Limits) -> Result<Set, Fault> {
    const INVALID: &str = "an intset is not well formed";
    let at = source.offset();
    let bytes = string(source)?;
    let invalid = || Fault::corrupt(at, INVALID);
    let (head, members) = bytes.split_first_chunk::<8>().ok_or_else(invalid)?;
    let [width, count] = [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    let width = match width {
        2 => Width::Two,
        4 => Width::Four,
        8 => Width::Eight,
        _ => return Err(invalid()),
    };
    if (count as usize).checked_mul(width.bytes()) != Some(members.len()) {
        return Err(invalid());
    }
    Set::from_intset(width, members.to_vec(), &limits.set).ok_or_else(invalid)
}

fn sorted_set(source: &mut impl Source, value_type: u8, limits: &Limits) -> Result<SortedSet, Fault> {
    let elements = len(source)?;
    let mut set = SortedSet::default();
    set.prepare(usize::try_from(elements).unwrap_or(usize::MAX), 0, &limits.sorted_set);
    let mut member = Vec::new();
    for _ in 0..elements {
        let at = source.offset();
        with_string(source, |bytes| {
            member.clear();
            member.extend_from_slice(bytes);
        })?;
        let score = if value_type == codes::ZSET_2 { double(source)? } else { legacy::score(source)? };
        let is_new = set.set(&member, &limits.sorted_set, |before| (Some(score), before.is_none()));
        if !is_new {
            return Err(Fault::corrupt(at, "a sorted set has a member twice"));
        }
    }
    Ok(set)
}

/// Where the expiries of a hash's fields are.
#[derive(Clone, Copy)]
enum Expiries {
    None,
    /// A number before each field: 0 for none, else the expiry without an offset, in milliseconds.
    BeforeField {
        offset: i64,
    },
    /// Eight bytes behind each value: -1 for none. (Valkey)
    AfterValue,
}

fn hash(source: &mut impl Source, expiries: Expiries, limits: &Limits) -> Result<Hash, Fault> {
    let fields = len(source)?;
    let mut hash = Hash::default();
    hash.prepare(usize::try_from(fields).unwrap_or(usize::MAX), &limits.hash);
    let mut field = Vec::new();
    for _ in 0..fields {
        let at = source.offset();
        let mut expiry_ms = match expiries {
            Expiries::BeforeField { offset } => match len(source)? {
                0 => None,
                distance => {
                    let expiry_ms = i64::try_from(distance).ok().and_then(|distance| distance.checked_add(offset));
                    Some(
                        expiry_ms
                            .filter(|expiry_ms| (1..=LOADED_EXPIRY_MS_MAX).contains(expiry_ms))
                            .ok_or(Fault::corrupt(at, INVALID_EXPIRY))?,
                    )
                }
            },
            Expiries::None | Expiries::AfterValue => None,
        };
        with_string(source, |bytes| {
            field.clear();
            field.extend_from_slice(bytes);
        })?;
        let is_new = match expiries {
            Expiries::AfterValue => {
                let value = string(source)?;
                expiry_ms = match time_ms(source)? {
                    -1 => None,
                    expiry_ms @ 1..=LOADED_EXPIRY_MS_MAX => Some(expiry_ms),
                    _ => return Err(Fault::corrupt(at, INVALID_EXPIRY)),
                };
                hash.load(&field, &value, expiry_ms, &limits.hash)
            }
            _ => with_string(source, |value| hash.load(&field, value, expiry_ms, &limits.hash))?,
        };
        if !is_new {
            return Err(Fault::corrupt(at, "a hash has a field twice"));
        }
    }
    Ok(hash)
}

const INVALID_EXPIRY: &str = "the expiry of a field is not a time";

/// Reads the first expiry of a hash's fields, which precedes the hash.
fn first_expiry(source: &mut impl Source) -> Result<i64, Fault> {
    let at = source.offset();
    let expiry_ms = time_ms(source)?;
    // One more means that no field has an expiry.
    if (0..=LOADED_EXPIRY_MS_MAX + 1).contains(&expiry_ms) {
        Ok(expiry_ms)
    } else {
        Err(Fault::corrupt(at, INVALID_EXPIRY))
    }
}

fn packed_hash(run: Vec<u8>, expires: bool, at: u64, limits: &Limits) -> Result<Hash, Fault> {
    const INVALID: &str = "a hash has a field twice, or one without a value, or its expiries are not in order";
    Hash::from_listpack(run, expires, &limits.hash).ok_or(Fault::corrupt(at, INVALID))
}
