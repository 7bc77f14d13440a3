//! Properties of sets and hash tables, as functions of arbitrary bytes: they do what those of the standard library do.

use std::collections::{BTreeMap, BTreeSet};

use ochre_datatypes::{
    Collection, Encoding,
    hashtable::Hashtable,
    set::{Set, SetLimits},
};

const LIMITS: SetLimits = SetLimits { intset_entries_max: 12, listpack_entries_max: 8, listpack_value_bytes_max: 10 };

/// Applies the edits that the bytes choose to a set and to one of the standard library, and compares the two.
pub fn sets(data: &[u8]) {
    let (mut set, mut model) = (Set::default(), BTreeSet::<Vec<u8>>::new());
    for step in data.chunks_exact(3).take(200) {
        let member = member(step[1], step[2]);
        match step[0] % 8 {
            0..4 => assert_eq!(set.add(&member, &LIMITS), model.insert(member)),
            4 | 5 => assert_eq!(set.remove(&member), model.remove(&member)),
            6 => {
                let mut state = u64::from(step[1]) << 8 | u64::from(step[2]);
                // A draw may be repeated until it hits a member, so that the generator must not return the same numbers again and again.
                let mut random = || {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    state
                };
                match set.pop_random(&mut random, |member| member.to_vec()) {
                    Some(member) => assert!(model.remove(&member)),
                    None => assert!(model.is_empty()),
                }
            }
            _ => {
                set = match set.into_packed() {
                    Ok((form, bytes)) => Set::from_packed(form, bytes),
                    Err(set) => set,
                }
            }
        }
        assert_eq!(set.view().len(), model.len());
    }
    assert!(set.view().iter().map(|member| member.to_vec()).collect::<BTreeSet<_>>() == model);
    assert!(model.iter().all(|member| set.view().contains(member)));
    let encoding = Set::encoding(set.view());
    assert!(encoding != Encoding::Intset || model.len() <= LIMITS.intset_entries_max);
    assert!(encoding != Encoding::Listpack || model.len() <= LIMITS.listpack_entries_max);
}

/// Applies the edits that the bytes choose to a hash table and to a map, and compares the two. An edit may be one of many keys, so that
/// chunks are added and removed.
pub fn tables(data: &[u8]) {
    let (mut table, mut model) = (Hashtable::default(), BTreeMap::<Vec<u8>, Vec<u8>>::new());
    let mut frozen = (table.clone(), model.clone());
    for step in data.chunks_exact(4).take(60) {
        let numbers = u16::from(step[1])..=u16::from(step[1]) + u16::from(step[2]) / 2;
        for number in numbers {
            let key = number.to_string().into_bytes().repeat(if number % 40 == 0 {
                200
            } else {
                1 + usize::from(number % 5)
            });
            match step[0] % 8 {
                0..5 => {
                    let payload = vec![step[3]; usize::from(step[3]) * if step[3] > 250 { 10 } else { 1 }];
                    assert_eq!(table.insert(&key, &payload), model.insert(key, payload).is_none());
                }
                5 | 6 => assert_eq!(table.remove(&key), model.remove(&key).is_some()),
                _ => frozen = (table.clone(), model.clone()),
            }
        }
    }
    for (table, model) in [(&table, &model), (&frozen.0, &frozen.1)] {
        assert_eq!(table.len(), model.len());
        assert!(model.iter().all(|(key, payload)| table.get(key) == Some(payload)));
        let (mut cursor, mut seen) = (0, 0);
        loop {
            cursor = table.scan(cursor, 5, |record| {
                seen += 1;
                assert_eq!(model.get(record.key).map(Vec::as_slice), Some(record.payload));
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen, model.len());
    }
}

/// Returns an integer of any width, a text that only looks like an integer, or another member.
fn member(kind: u8, value: u8) -> Vec<u8> {
    match kind % 8 {
        0..3 => (value % 24).to_string().into_bytes(),
        3 => (i64::from(value) << (kind / 4)).to_string().into_bytes(),
        4 => (i64::MIN + i64::from(value)).to_string().into_bytes(),
        5 => format!("0{value}").into_bytes(),
        6 => vec![b'm'; usize::from(value % 16)],
        _ => vec![value],
    }
}
