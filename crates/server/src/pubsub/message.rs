//! A published message: written once for each protocol that a receiver speaks, and shared by all receivers.

use std::sync::Arc;

use ochre_resp::{Protocol, ReplyWriter};

/// See the module.
pub struct Message<'a> {
    words: &'a [&'a [u8]],
    rendered: [Option<Arc<[u8]>>; 3],
}

impl<'a> Message<'a> {
    pub fn new(words: &'a [&'a [u8]]) -> Message<'a> {
        Message { words, rendered: [None, None, None] }
    }

    /// The message as a client that speaks `protocol` gets it.
    pub fn rendered(&mut self, protocol: Protocol) -> Arc<[u8]> {
        let words = self.words;
        let slot = match protocol {
            Protocol::Plain => 0,
            Protocol::Resp2 => 1,
            Protocol::Resp3 => 2,
        };
        self.rendered[slot]
            .get_or_insert_with(|| {
                let mut out = Vec::new();
                let mut writer = ReplyWriter::new(&mut out, protocol);
                writer.push(words.len());
                words.iter().for_each(|word| writer.bulk(word));
                out.into()
            })
            .clone()
    }
}
