//! What the commands on the elements of lists, hashes, sets and sorted sets share: elements in replies, and random elements by count.

use ochre_datatypes::listpack::Element;
use ochre_resp::ReplyWriter;

use super::{CommandError, context::KeyedRead, numbers::negatable};

/// Replies with an element: a list's element, a field's name or value, a member. The reply is a bulk string, even if the element is stored as an integer.
#[inline]
pub fn reply_element(reply: &mut ReplyWriter<'_>, element: Element<'_>) {
    match element {
        Element::Int(integer) => reply.bulk_integer(integer),
        Element::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// Replies with an element, or with null if there is none.
#[inline]
pub fn reply_element_or_null(reply: &mut ReplyWriter<'_>, element: Option<Element<'_>>) {
    match element {
        Some(element) => reply_element(reply, element),
        None => reply.null(),
    }
}

/// The count of SRANDMEMBER, HRANDFIELD and ZRANDMEMBER.
#[derive(Clone, Copy)]
pub enum RandomCount {
    /// At most this many elements, all different.
    Different(u64),
    /// Exactly this many elements, any of which may repeat.
    Repeated(u64),
}

impl RandomCount {
    /// Parses the count at argument 2: a negative count asks for elements that may repeat.
    pub fn parse(cx: &KeyedRead<'_>) -> Result<RandomCount, CommandError> {
        let count = negatable(cx, 2)?;
        let len = count.unsigned_abs();
        Ok(if count < 0 { RandomCount::Repeated(len) } else { RandomCount::Different(len) })
    }

    /// Parses the count at argument 2 and the option that may follow it (WITHVALUES, WITHSCORES). Returns whether the option is given.
    pub fn parse_with(cx: &KeyedRead<'_>, option: &str) -> Result<(RandomCount, bool), CommandError> {
        let count = RandomCount::parse(cx)?;
        let with_option = match cx.args.len() {
            3 => false,
            4 if cx.is_word(3, option) => true,
            _ => return Err(CommandError::SYNTAX),
        };
        let (RandomCount::Different(len) | RandomCount::Repeated(len)) = count;
        // The reply has two entries an element then.
        if with_option && len > i64::MAX as u64 / 2 {
            return Err(CommandError::OUT_OF_RANGE);
        }
        Ok((count, with_option))
    }

    /// The number of elements to reply with, from a collection of `len` elements. Repeated elements make a reply as long as the client asks
    /// for, however small the collection is, so no memory is reserved for them, and the caller stops when the reply [is given
    /// up](super::context::Context::is_given_up).
    pub fn len(self, len: usize) -> usize {
        match self {
            RandomCount::Repeated(count) => count as usize,
            RandomCount::Different(count) => usize::try_from(count).map_or(len, |count| count.min(len)),
        }
    }
}
