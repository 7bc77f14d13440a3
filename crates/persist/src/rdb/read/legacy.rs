//! The encodings that Redis wrote before version 7: ziplists, zipmaps and scores as texts.
//!
//! ```text
//! ziplist   bytes, 4 │ offset of the last entry, 4 │ entries, 2 │ entry … │ 255
//! entry     length of the entry before, 1 or 254 and 4 │ head │ bytes
//! head      00llllll   01llllll llllllll   10______ 4 bytes, the highest first     a string of l bytes
//!           11000000 2 bytes   11010000 4   11100000 8   11110000 3   11111110 1   an integer, the lowest byte first
//!           1111vvvv                                                               the integer v - 1, for v from 1 to 13
//!
//! zipmap    fields │ field and value … │ 255
//! field     length, 1 or 254 and 4 │ bytes
//! value     length, 1 or 254 and 4 │ unused │ bytes │ as many bytes as are unused
//! ```

use ochre_datatypes::listpack;

use super::{Slice, Source, array, with_string, within};
use crate::fault::Fault;

const END: u8 = 255;
/// The mark before a length of 4 bytes.
const LONG: u8 = 254;

/// Reads a ziplist as the elements of a listpack.
pub(super) fn ziplist(source: &mut impl Source) -> Result<Vec<u8>, Fault> {
    let at = source.offset();
    let run = with_string(source, |bytes| ziplist_elements(&mut Slice::new(bytes), bytes.len()))?;
    within(at, run)
}

fn ziplist_elements(source: &mut Slice<'_>, total: usize) -> Result<Vec<u8>, Fault> {
    const INVALID: &str = "a ziplist is not well formed";
    let invalid = || Fault::corrupt(0, INVALID);
    let declared = u32::from_le_bytes(array(source)?);
    let last = u32::from_le_bytes(array(source)?);
    let count = u16::from_le_bytes(array(source)?);
    if declared as usize != total {
        return Err(invalid());
    }
    let mut run = Vec::new();
    let (mut found, mut entry_len, mut begin) = (0u64, 0, source.offset());
    let mut last_begin = begin;
    loop {
        begin = source.offset().max(begin);
        let first = source.take(1)?[0];
        if first == END {
            break;
        }
        let before_len = if first == LONG { u32::from_le_bytes(array(source)?).into() } else { u64::from(first) };
        if before_len != entry_len {
            return Err(invalid());
        }
        let head = source.take(1)?[0];
        match head {
            0..0x40 => listpack::push_back(&mut run, source.take(head.into())?),
            0x40..0x80 => {
                let len = usize::from(head & 0x3f) << 8 | usize::from(source.take(1)?[0]);
                listpack::push_back(&mut run, source.take(len)?);
            }
            0x80..0xc0 => {
                let len = u32::from_be_bytes(array(source)?);
                listpack::push_back(&mut run, source.take(len as usize)?);
            }
            0xc0 => listpack::push_back_int(&mut run, i16::from_le_bytes(array(source)?).into()),
            0xd0 => listpack::push_back_int(&mut run, i32::from_le_bytes(array(source)?).into()),
            0xe0 => listpack::push_back_int(&mut run, i64::from_le_bytes(array(source)?)),
            0xf0 => {
                let [low, middle, high] = array(source)?;
                listpack::push_back_int(&mut run, (i32::from_le_bytes([0, low, middle, high]) >> 8).into());
            }
            0xfe => listpack::push_back_int(&mut run, i8::from_le_bytes(array(source)?).into()),
            0xf1..=0xfd => listpack::push_back_int(&mut run, i64::from(head & 0xf) - 1),
            _ => return Err(invalid()),
        }
        entry_len = source.offset() - begin;
        last_begin = begin;
        found += 1;
    }
    // The count is kept up to 65,534 entries.
    let is_counted = count == u16::MAX || u64::from(count) == found;
    if is_counted && u64::from(last) == last_begin && source.rest().is_empty() { Ok(run) } else { Err(invalid()) }
}

/// Reads a zipmap as the elements of a listpack.
pub(super) fn zipmap(source: &mut impl Source) -> Result<Vec<u8>, Fault> {
    let at = source.offset();
    let run = with_string(source, |bytes| zipmap_elements(&mut Slice::new(bytes)))?;
    within(at, run)
}

fn zipmap_elements(source: &mut Slice<'_>) -> Result<Vec<u8>, Fault> {
    // The number of fields, which is not kept above 253.
    source.take(1)?;
    let mut run = Vec::new();
    while let Some(len) = zipmap_len(source)? {
        listpack::push_back(&mut run, source.take(len)?);
        let len = zipmap_len(source)?.ok_or(Fault::corrupt(0, "a zipmap has a field without a value"))?;
        let unused = source.take(1)?[0];
        listpack::push_back(&mut run, source.take(len)?);
        source.take(unused.into())?;
    }
    if source.rest().is_empty() { Ok(run) } else { Err(Fault::corrupt(0, "a zipmap has bytes behind its end")) }
}

fn zipmap_len(source: &mut Slice<'_>) -> Result<Option<usize>, Fault> {
    Ok(match source.take(1)?[0] {
        END => None,
        LONG => Some(u32::from_le_bytes(array(source)?) as usize),
        len => Some(len.into()),
    })
}

/// Reads a score that is a text: a length, then digits; or a mark for an infinity. (Redis: `rdbLoadDoubleValue`)
pub(super) fn score(source: &mut impl Source) -> Result<f64, Fault> {
    const INVALID: &str = "a score is not a number";
    let at = source.offset();
    match source.take(1)?[0] {
        253 => Err(Fault::corrupt(at, INVALID)),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        len => {
            let text = str::from_utf8(source.take(len.into())?).ok();
            let score = text.and_then(|text| text.parse::<f64>().ok()).filter(|score| !score.is_nan());
            score.ok_or(Fault::corrupt(at, INVALID))
        }
    }
}
