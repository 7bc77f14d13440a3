//! Properties of listpacks and lists, as functions of arbitrary bytes: they do what a vector does.

use ochre_datatypes::{
    Collection, Encoding,
    list::{End, List, ListLimits, Wanted},
    listpack::{self, Element, Encoded, Listpack},
};

/// Applies the edits that the bytes choose to a listpack and to a vector, and compares the two after each.
pub fn listpacks(data: &[u8]) {
    let mut source = Source { data };
    let mut run = Vec::new();
    let mut model: Vec<Vec<u8>> = Vec::new();
    let mut steps = 0;
    while let Some(step) = source.byte().filter(|_| steps < 200) {
        steps += 1;
        let index = usize::from(source.byte().unwrap_or(0)) % (model.len() + 1);
        let offset = Listpack(&run).nth(index).unwrap_or(run.len());
        match step % 8 {
            0 | 1 => {
                let element = source.element();
                listpack::push_back(&mut run, &element);
                model.push(element);
            }
            2 => {
                let element = source.element();
                listpack::push_front(&mut run, &element);
                model.insert(0, element);
            }
            3 => {
                let element = source.element();
                assert_eq!(listpack::encoded_len(&element), Encoded::new(&element).len());
                listpack::insert(&mut run, offset, &element);
                model.insert(index, element);
            }
            4 if index < model.len() => {
                let element = source.element();
                listpack::replace(&mut run, offset, &element);
                model[index] = element;
            }
            5 if index < model.len() => {
                listpack::remove(&mut run, offset);
                model.remove(index);
            }
            6 => {
                let count = usize::from(step / 8) % 4;
                listpack::remove_range(&mut run, offset, count);
                model.drain(index..model.len().min(index + count));
            }
            _ => {
                let skip = usize::from(step / 8) % 3;
                let wanted = model.get(index).cloned().unwrap_or_else(|| source.element());
                let found = Listpack(&run).find(&wanted, skip);
                let expected = model.iter().step_by(skip + 1).position(|element| *element == wanted);
                assert_eq!(found, expected.and_then(|at| Listpack(&run).nth(at * (skip + 1))));
            }
        }
        same_elements(Listpack(&run), &model);
    }
    // Arbitrary bytes are refused, or read as a listpack.
    if let Some(elements) = listpack::from_redis(data) {
        assert_eq!(listpack::from_redis(&Listpack(&elements).to_redis()), Some(elements));
    }
}

fn same_elements(run: Listpack<'_>, model: &[Vec<u8>]) {
    assert_eq!((run.len(), run.is_empty()), (model.len(), model.is_empty()));
    assert_eq!(run.0.len(), model.iter().map(|element| listpack::encoded_len(element)).sum::<usize>());
    let forwards: Vec<(usize, Element<'_>)> = run.iter().collect();
    let mut backwards: Vec<(usize, Element<'_>)> = run.iter().rev().collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    for (index, ((offset, element), expected)) in forwards.iter().zip(model).enumerate() {
        assert_eq!(element.to_vec(), *expected);
        assert_eq!(*element, Element::of(expected));
        assert!(element.is(expected) && element.len() == expected.len() && element.is_empty() == expected.is_empty());
        assert_eq!(run.nth(index), Some(*offset));
        assert_eq!(run.nth_of(index, model.len()), Some(*offset));
        assert_eq!(run.nth_back(model.len() - 1 - index), Some(*offset));
        assert_eq!(run.next(*offset), forwards.get(index + 1).map(|(offset, _)| *offset));
        assert_eq!(run.prev(*offset), index.checked_sub(1).map(|before| forwards[before].0));
    }
    assert_eq!((run.first(), run.last()), (forwards.first().map(|it| it.0), forwards.last().map(|it| it.0)));
    assert_eq!(listpack::from_redis(&run.to_redis()).as_deref(), Some(run.0));
}

/// Applies the edits that the bytes choose to a list and to a vector, through all forms of lists, and compares the two after each.
pub fn lists(data: &[u8]) {
    let mut source = Source { data };
    let kind = source.byte().unwrap_or(0);
    let limits = ListLimits {
        listpack_size_max: [-1, -2, 4, 1, 64, 0][usize::from(kind % 6)],
        plain_len_min: [None, Some(100), Some(3)][usize::from(kind / 6 % 3)],
    };
    let mut list = List::default();
    let mut model: Vec<Vec<u8>> = Vec::new();
    let mut frozen = (List::default(), Vec::new());
    let mut steps = 0;
    while let Some(step) = source.byte().filter(|_| steps < 300) {
        steps += 1;
        let index = usize::from(source.byte().unwrap_or(0)) % model.len().max(1);
        let end = if step & 0x80 == 0 { End::Left } else { End::Right };
        let wanted = model.get(index).cloned().unwrap_or_default();
        match step % 16 {
            0..6 => {
                let values: Vec<Vec<u8>> = (0..1 + step / 8 % 4).map(|_| source.element()).collect();
                let len = list.push(end, values.iter().map(Vec::as_slice), &limits);
                match end {
                    End::Left => values.into_iter().for_each(|value| model.insert(0, value)),
                    End::Right => model.extend(values),
                }
                assert_eq!(len, model.len());
            }
            6 => {
                let count = usize::from(step / 16 % 4);
                let mut popped = Vec::new();
                assert_eq!(list.pop(end, count, &limits, |element| popped.push(element.to_vec())), popped.len());
                let expected: Vec<Vec<u8>> = match end {
                    End::Left => model.drain(..count.min(model.len())).collect(),
                    End::Right => model.drain(model.len().saturating_sub(count)..).rev().collect(),
                };
                assert_eq!(popped, expected);
            }
            7 | 8 => {
                let value = source.element();
                assert_eq!(list.set(index, &value, &limits), index < model.len());
                if let Some(element) = model.get_mut(index) {
                    *element = value;
                }
            }
            9..=11 => {
                let value = source.element();
                let is_after = end == End::Right;
                let at = model.iter().position(|element| *element == wanted);
                if let Some(at) = at {
                    model.insert(at + usize::from(is_after), value.clone());
                }
                let len = list.insert(&Wanted::new(&wanted), is_after, &value, &limits);
                assert_eq!(len, at.map(|_| model.len()));
            }
            12 => {
                let count = [usize::MAX, 1, 2, 3][usize::from(step / 16 % 4)];
                let mut left = count;
                let mut keep = |element: &Vec<u8>| {
                    let goes = *element == wanted && left > 0;
                    left -= usize::from(goes);
                    !goes
                };
                let before = model.len();
                match end {
                    End::Left => model.retain(keep),
                    End::Right => {
                        model.reverse();
                        model.retain(&mut keep);
                        model.reverse();
                    }
                }
                assert_eq!(list.remove(end, count, &Wanted::new(&wanted), &limits), before - model.len());
            }
            13 if step & 0x40 != 0 => {
                let kept = usize::from(source.byte().unwrap_or(0)).min(model.len() - index.min(model.len()));
                list.trim(index, kept, &limits);
                model = model.split_off(index);
                model.truncate(kept);
            }
            14 => frozen = (List::duplicate(list.view()), model.clone()),
            _ => {
                // The keyspace does the same with packed values.
                list = match list.into_packed() {
                    Ok((form, bytes)) => List::from_packed(form, bytes),
                    Err(list) => list,
                };
            }
        }
        same_list(&list, &model);
        if model.is_empty() {
            list = List::default();
        }
    }
    same_list(&frozen.0, &frozen.1);
}

fn same_list(list: &List, model: &[Vec<u8>]) {
    let view = list.view();
    assert_eq!((view.len(), Collection::is_empty(list)), (model.len(), model.is_empty()));
    assert!(view.iter().map(|element| element.to_vec()).eq(model.iter().cloned()));
    let last = model.len().saturating_sub(1);
    assert!(view.iter_from(last, true).map(|element| element.to_vec()).eq(model.iter().rev().cloned()));
    for index in [0, model.len() / 3, model.len() / 2, last, model.len()] {
        assert_eq!(view.get(index).map(|element| element.to_vec()), model.get(index).cloned());
        assert_eq!(view.iter_from(index, false).count(), model.len().saturating_sub(index));
        let before = if index < model.len() { index + 1 } else { 0 };
        assert_eq!(view.iter_from(index, true).count(), before);
    }
    match list.packed() {
        Some((form, bytes)) => {
            assert_eq!(List::view_packed(form, bytes).len(), model.len());
            assert_eq!(List::encoding(view), Encoding::Listpack);
        }
        None => assert_eq!(List::encoding(view), Encoding::Quicklist),
    }
}

/// Arbitrary bytes, from which the edits are drawn.
struct Source<'a> {
    data: &'a [u8],
}

impl Source<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.data.split_first()?;
        self.data = rest;
        Some(byte)
    }

    /// Draws an element: an integer of any length, or a string about as long as those at which the encoding changes.
    fn element(&mut self) -> Vec<u8> {
        let (kind, detail) = (self.byte().unwrap_or(0), self.byte().unwrap_or(0));
        let near = |base: i64| (base - 3 + i64::from(detail % 7)).to_string().into_bytes();
        let text = |len: usize| vec![b'a' + detail % 3; len];
        match kind % 16 {
            0 => near(64),
            1 => near(127),
            2 => near(-4096),
            3 => near(4096),
            4 => near(1 << 15),
            5 => near(-(1 << 23)),
            6 => near(1 << 31),
            7 => near(i64::MAX - 4),
            8 => near(i64::MIN + 3),
            9 => text(60 + usize::from(detail % 8)),
            10 => text(120 + usize::from(detail % 10)),
            11 if detail < 16 => text(4090 + usize::from(detail)),
            12 if detail < 4 => text(16_375 + usize::from(detail) * 3),
            13 => [b"0".as_slice(), &near(0)].concat(),
            14 => Vec::new(),
            _ => text(usize::from(detail % 5)),
        }
    }
}
