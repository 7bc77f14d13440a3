//! Properties of streams, as functions of arbitrary bytes: they do what a model of maps does.

use std::collections::{BTreeMap, BTreeSet};

use ochre_datatypes::{
    Collection,
    stream::{
        AppendError, Block, BlockLimits, Deletion, Delivery, Entry, NewId, References, Stream, StreamId, Trim, TrimTo,
    },
};

type Fields = Vec<Vec<u8>>;
/// The pending entries of a group, each with the name of its consumer.
type Pending = BTreeMap<StreamId, Vec<u8>>;

/// A model of a stream.
#[derive(Default)]
struct Model {
    entries: BTreeMap<StreamId, Fields>,
    last_id: StreamId,
    added: i64,
    /// The last ID and the pending entries of each group.
    groups: BTreeMap<Vec<u8>, (StreamId, Pending)>,
}

impl Model {
    fn refers_to(&self, id: StreamId) -> bool {
        self.groups.values().any(|(last, pending)| *last < id || pending.contains_key(&id))
    }

    fn delete(&mut self, id: StreamId, references: References) -> Deletion {
        match references {
            References::Keep => {}
            References::Delete => self.groups.values_mut().for_each(|(_, pending)| {
                pending.remove(&id);
            }),
            References::Acknowledged if self.refers_to(id) => return Deletion::Referred,
            References::Acknowledged => {}
        }
        if self.entries.remove(&id).is_some() { Deletion::Deleted } else { Deletion::NotThere }
    }

    /// `blocks` are the IDs with which the blocks of the stream begin. As on Redis, the block in which the length would be reached is the
    /// last one, even if references keep some of its entries.
    fn trim(&mut self, to: TrimTo, references: References, blocks: &[StreamId]) -> u64 {
        let mut removed = 0;
        for (index, first) in blocks.iter().enumerate() {
            let next = blocks.get(index + 1);
            let ids =
                self.entries.range(*first..).map(|(id, _)| *id).take_while(|id| next.is_none_or(|next| id < next));
            let ids: Vec<StreamId> = ids.collect();
            let left = (self.entries.len() - ids.len()) as u64;
            for id in ids {
                let is_beyond = match to {
                    TrimTo::Length(length) => self.entries.len() as u64 <= length,
                    TrimTo::From(from) => id >= from,
                };
                if is_beyond {
                    return removed;
                }
                removed += u64::from(self.delete(id, references) == Deletion::Deleted);
            }
            if matches!(to, TrimTo::Length(length) if left < length) {
                break;
            }
        }
        removed
    }
}

/// Applies the edits that the bytes choose to a stream and to the model, and compares the two after each.
pub fn streams(data: &[u8]) {
    let mut source = Source { data };
    let mut stream = Stream::default();
    let mut model = Model::default();
    let mut limits = BlockLimits { bytes_max: 4096, entries_max: 5 };
    let mut steps = 0;
    while let Some(step) = source.byte().filter(|_| steps < 200) {
        steps += 1;
        let references = [References::Keep, References::Delete, References::Acknowledged][usize::from(step / 16) % 3];
        match step % 16 {
            0..6 => add(&mut source, &mut stream, &mut model, &limits),
            6 | 7 => {
                let id = source.id(&model);
                assert_eq!(stream.delete(id, references), model.delete(id, references));
            }
            8 => {
                let to = source.trim_to(&model);
                let trim = Trim { to, approximate: false, limit: 0, references };
                let blocks: Vec<StreamId> = stream.log().blocks().map(Block::first).collect();
                assert_eq!(stream.trim(&trim), model.trim(to, references, &blocks));
            }
            9 => {
                let to = source.trim_to(&model);
                let limit = u64::from(source.byte().unwrap_or(0)) % 20;
                approximate_trim(&mut stream, &mut model, &Trim { to, approximate: true, limit, references });
            }
            10 => {
                let (group, id) = (source.name(), source.id(&model));
                let created = stream.create_group(&group, id, None);
                assert_eq!(created, !model.groups.contains_key(&group));
                model.groups.entry(group).or_insert((id, BTreeMap::new()));
            }
            11 | 12 => read_new(&mut source, &mut stream, &mut model),
            13 => {
                let (name, id) = (source.name(), source.id(&model));
                let done = stream.group_mut(&name).is_some_and(|(_, group)| group.acknowledge(id));
                let expected = model.groups.get_mut(&name).is_some_and(|(_, pending)| pending.remove(&id).is_some());
                assert_eq!(done, expected);
            }
            14 => {
                let (name, consumer) = (source.name(), source.name());
                let removed = stream.group_mut(&name).and_then(|(_, group)| group.remove_consumer(&consumer));
                let mut expected = 0;
                if let Some((_, pending)) = model.groups.get_mut(&name) {
                    let before = pending.len();
                    pending.retain(|_, owner| *owner != consumer);
                    expected = before - pending.len();
                }
                assert_eq!(removed.unwrap_or(0), expected);
            }
            _ => {
                let byte = source.byte().unwrap_or(0);
                limits.entries_max = [0, 1, 2, 5, 100][usize::from(byte) % 5];
                limits.bytes_max = [0, 1, 100, 300, 4096][usize::from(byte / 5) % 5];
            }
        }
        same(&mut source, &stream, &model);
    }
    same(&mut source, &Stream::duplicate(&stream), &model);
}

fn add(source: &mut Source<'_>, stream: &mut Stream, model: &mut Model, limits: &BlockLimits) {
    let byte = source.byte().unwrap_or(0);
    let last = model.last_id;
    let (new, expected) = match byte % 5 {
        0 => (NewId::Auto, StreamId::new(7, 0).max(last.next().unwrap_or_default())),
        1 => (NewId::AutoSequence(last.ms), last.next().filter(|next| next.ms == last.ms).unwrap_or_default()),
        2 => {
            let id = StreamId::new(last.ms.saturating_add(u64::from(byte)), u64::MAX - u64::from(byte));
            (NewId::Given(id), id)
        }
        3 => {
            let id = StreamId::new(last.ms.saturating_add(1 << (byte / 8)), 3);
            (NewId::Given(id), id)
        }
        _ => {
            let id = source.id(model);
            (NewId::Given(id), id)
        }
    };
    let fields = source.fields();
    let pairs: Vec<&[u8]> = fields.iter().map(|text| &text[..]).collect();
    match stream.append(new, &pairs, 7, limits) {
        Ok(id) => {
            assert_eq!(id, expected);
            assert!(id > last);
            model.entries.insert(id, fields);
            model.last_id = id;
            model.added += 1;
        }
        Err(error) => {
            let expected_error = if last == StreamId::MAX { AppendError::Exhausted } else { AppendError::NotGreater };
            assert_eq!(error, expected_error);
            assert!(expected <= last);
        }
    }
}

/// An approximate trim removes entries from the beginning only, never more than an exact trim, and none if references matter.
fn approximate_trim(stream: &mut Stream, model: &mut Model, trim: &Trim) {
    let before = stream.log().len();
    let removed = stream.trim(trim);
    assert_eq!(stream.log().len(), before - removed);
    assert!(trim.limit == 0 || removed <= trim.limit);
    assert!(trim.references == References::Keep || removed == 0);
    match trim.to {
        TrimTo::Length(length) => assert!(removed == 0 || stream.log().len() >= length),
        TrimTo::From(id) => assert!(model.entries.keys().take(removed as usize).all(|removed| *removed < id)),
    }
    (0..removed).for_each(|_| {
        model.entries.pop_first();
    });
}

fn read_new(source: &mut Source<'_>, stream: &mut Stream, model: &mut Model) {
    let (name, consumer_name) = (source.name(), source.name());
    let count = usize::from(source.byte().unwrap_or(0)) % 4;
    let Some((log, group)) = stream.group_mut(&name) else { return };
    let (last, pending) = model.groups.get_mut(&name).expect("the stream and the model have the same groups");
    let (consumer, _) = group.consumer_or_new(&consumer_name, 1);
    let Some(start) = group.last_id.next() else { return };
    for entry in log.range(start, StreamId::MAX).take(count) {
        log.delivered(group, entry.id);
        group.set_delivery(entry.id, Delivery { at_ms: 1, count: 1, consumer });
    }
    let read: Vec<StreamId> = model.entries.range(start..).take(count).map(|(id, _)| *id).collect();
    for id in read {
        *last = id;
        pending.insert(id, consumer_name.clone());
    }
}

fn same(source: &mut Source<'_>, stream: &Stream, model: &Model) {
    let log = stream.log();
    assert_eq!(log.len(), model.entries.len() as u64);
    assert_eq!(log.is_empty(), model.entries.is_empty());
    assert_eq!(log.last_id(), model.last_id);
    assert_eq!(log.entries_added(), model.added);
    assert_eq!(log.first_id(), model.entries.keys().next().copied().unwrap_or_default());
    assert_eq!(log.last_entry_id(), model.entries.keys().next_back().copied().unwrap_or_default());
    assert_eq!(stream.is_empty(), model.added == 0 && model.groups.is_empty());
    let (one, other) = (source.id(model), source.id(model));
    for (start, end) in [(StreamId::MIN, StreamId::MAX), (one, other), (other, one)] {
        let expected: Vec<(StreamId, &Fields)> = match start <= end {
            true => model.entries.range(start..=end).map(|(id, fields)| (*id, fields)).collect(),
            false => Vec::new(),
        };
        same_entries(log.range(start, end), expected.iter().copied());
        same_entries(log.range_back(start, end), expected.iter().rev().copied());
    }
    assert_eq!(log.get(one).is_some(), model.entries.contains_key(&one));
    assert_eq!(stream.groups().len(), model.groups.len());
    for (name, (last, pending)) in &model.groups {
        let group = &stream.groups()[&name[..]];
        assert_eq!(group.last_id, *last);
        assert_eq!(group.pending_len(), pending.len());
        let owner = |delivery: Delivery| group.consumer(delivery.consumer).name().to_vec();
        assert!(
            group
                .pending(StreamId::MIN, StreamId::MAX)
                .map(|(id, delivery)| (id, owner(delivery)))
                .eq(pending.iter().map(|(id, owner)| (*id, owner.clone())))
        );
        for consumer in group.consumers() {
            let number = group.number_of(consumer.name()).unwrap();
            let ids = group.pending_of(number, StreamId::MIN, StreamId::MAX).map(|(id, _)| id);
            let expected = pending.iter().filter(|(_, owner)| *owner == consumer.name()).map(|(id, _)| *id);
            assert_eq!(ids.collect::<BTreeSet<_>>(), expected.collect());
        }
    }
}

fn same_entries<'a>(entries: impl Iterator<Item = Entry<'a>>, expected: impl Iterator<Item = (StreamId, &'a Fields)>) {
    let read = entries.map(|entry| {
        let mut digits = itoa::Buffer::new();
        let mut texts = Vec::new();
        for (field, value) in entry.pairs() {
            texts.push(field.text(&mut digits).to_vec());
            texts.push(value.text(&mut digits).to_vec());
        }
        assert_eq!(texts.len(), entry.field_count() * 2);
        (entry.id, texts)
    });
    let read: Vec<(StreamId, Fields)> = read.collect();
    let expected: Vec<(StreamId, Fields)> = expected.map(|(id, fields)| (id, fields.clone())).collect();
    assert_eq!(read, expected);
}

/// Arbitrary bytes, from which the edits are drawn.
struct Source<'a> {
    data: &'a [u8],
}

impl Source<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.data.split_first()?;
        self.data = rest;
        Some(*byte)
    }

    /// Draws the ID of an entry, or one next to it.
    fn id(&mut self, model: &Model) -> StreamId {
        let byte = self.byte().unwrap_or(0);
        let among = model.entries.keys().nth(usize::from(byte / 4) % model.entries.len().max(1)).copied();
        let id = among.unwrap_or(StreamId::new(u64::from(byte), 1));
        match byte % 4 {
            0 => id.next().unwrap_or_default(),
            1 => id.previous().unwrap_or_default(),
            _ => id,
        }
    }

    fn trim_to(&mut self, model: &Model) -> TrimTo {
        match self.byte().unwrap_or(0) {
            byte if byte % 2 == 0 => TrimTo::Length(u64::from(byte / 2) % 30),
            _ => TrimTo::From(self.id(model)),
        }
    }

    fn name(&mut self) -> Vec<u8> {
        vec![b'a' + self.byte().unwrap_or(0) % 3]
    }

    fn fields(&mut self) -> Fields {
        let shape = self.byte().unwrap_or(0);
        let names: [&[&str]; 4] = [&["temp", "hum"], &["temp"], &["", "7"], &["hum", "temp"]];
        let names = names[usize::from(shape) % 4];
        names.iter().flat_map(|name| [name.as_bytes().to_vec(), self.value()]).collect()
    }

    fn value(&mut self) -> Vec<u8> {
        let byte = self.byte().unwrap_or(0);
        match byte % 6 {
            0..2 => byte.to_string().into_bytes(),
            2 => (i64::from(byte) << (byte / 4)).to_string().into_bytes(),
            3 => (-(i64::from(byte) << (byte / 5))).to_string().into_bytes(),
            4 => vec![byte; usize::from(byte)],
            _ => vec![b'x'; usize::from(byte) * 20],
        }
    }
}
