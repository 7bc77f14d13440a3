//! A published message. It is encoded once for each protocol, and the receivers share the bytes.

use std::sync::Arc;

use ochre_resp::{Protocol, ReplyBuffer, ReplyWriter};

/// A message to the subscribers of a channel or pattern.
pub struct Message<'a> {
    words: &'a [&'a [u8]],
    /// By protocol: plain, RESP2, RESP3.
    rendered: [Option<Arc<[u8]>>; 3],
}

impl<'a> Message<'a> {
    /// A message that consists of these strings, such as `message`, the channel and the payload.
    pub fn new(words: &'a [&'a [u8]]) -> Message<'a> {
        Message { words, rendered: [None, None, None] }
    }

    /// The message in the encoding of `protocol`.
    pub fn rendered(&mut self, protocol: Protocol) -> Arc<[u8]> {
        let words = self.words;
        let slot = match protocol {
            Protocol::Plain => 0,
            Protocol::Resp2 => 1,
            Protocol::Resp3 => 2,
        };
        self.rendered[slot]
            .get_or_insert_with(|| {
                let mut out = ReplyBuffer::default();
                let mut writer = ReplyWriter::new(&mut out, protocol);
                writer.push(words.len());
                words.iter().for_each(|word| writer.bulk(word));
                out.take().into()
            })
            .clone()
    }
}
