//! Hashes: maps from fields to values. Each field may have an expiry of its own.
//!
//! ```text
//!  listpack    │ field │ value │ field │ value │ …                            in the order of arrival
//!  listpackex  │ field │ value │ expiry │ field │ value │ expiry │ …          the earliest expiry first; 0, which is never, last
//!  table       field ─▶ payload:  0 │ value    or    1 │ expiry (8 bytes) │ value
//!              and, while any field expires, the deadlines in order, 8 bytes each (see `deadlines.rs`)
//! ```
//!
//! A hash is a listpack until it has too many fields, or one that is too long. The first command that may set a field's expiry makes the
//! listpack a listpackex. A hash never changes back.
//!
//! A field exists up to and including the millisecond of its expiry. After that it counts as absent, whether or not it was removed already.
//! So a reader and a writer both pass the time: [`HashView::at`], [`Hash::set`]. All times are in milliseconds since 1970.

mod large;
mod packed;
mod view;

pub use self::view::HashView;
use self::{
    large::LargeHash,
    packed::{Located, NEVER, Packed, push},
    view::Fields,
};
use crate::{
    Collection, Encoding, ValueType,
    allocation::{HEAVY_BYTES_MIN, size_class},
    collection::any_collection,
    element_prefetch::ElementPrefetch,
    listpack::{self, Element, Listpack},
};

/// The settings that decide about a hash's form.
#[derive(Clone, Copy, Debug)]
pub struct HashLimits {
    /// `hash-max-listpack-entries`: a hash with more fields becomes a table.
    pub entries_max: usize,
    /// `hash-max-listpack-value`: a hash with a longer field or value, in bytes, becomes a table.
    pub value_bytes_max: usize,
}

/// A field with its value and its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field's name.
    pub name: Element<'a>,
    /// The field's value.
    pub value: Element<'a>,
    /// The expiry in milliseconds since 1970, if there is one.
    pub expiry_ms: Option<i64>,
}

/// A hash, for editing.
pub enum Hash {
    /// A listpack.
    Packed {
        /// Whether it is a listpackex, in which each field has an expiry.
        expires: bool,
        /// The elements of the listpack.
        run: Vec<u8>,
    },
    /// A hash table.
    Large(Box<LargeHash>),
}

/// The greatest expiry of a field that is loaded, in milliseconds since 1970. Commands set only lesser ones. (Redis: `EB_EXPIRE_TIME_MAX`)
pub const LOADED_EXPIRY_MS_MAX: i64 = (1 << 48) - 2;

/// The packed form of a listpack.
const LISTPACK: u8 = 0;
/// The packed form of a listpackex; see [`Collection::view_packed`].
pub const LISTPACK_EX: u8 = 1;

impl Hash {
    /// Returns the view of the hash at a time.
    pub fn at(&self, now_ms: i64) -> HashView<'_> {
        self.view().at(now_ms)
    }

    /// Makes a hash of the elements of a listpack, or of a listpackex if `expires` is true. Returns `None` if they are not what a hash may
    /// consist of. As on Redis, only the number of fields decides whether the hash becomes a table.
    pub fn from_listpack(run: Vec<u8>, expires: bool, limits: &HashLimits) -> Option<Hash> {
        let packed = Packed { expires, run: Listpack(&run) };
        if !packed.run.has_distinct_groups(packed.stride()) || expires && !packed.is_ordered() {
            return None;
        }
        let is_large = packed.run.len() / packed.stride() > limits.entries_max;
        let mut hash = Hash::Packed { expires, run };
        if is_large {
            hash.large();
        }
        Some(hash)
    }

    /// Adds a field of a hash that is being loaded. Returns false if the field is there already.
    pub fn load(&mut self, field: &[u8], value: &[u8], expiry_ms: Option<i64>, limits: &HashLimits) -> bool {
        /// The time before which nothing has expired.
        const BEFORE_ALL: i64 = i64::MIN;
        let is_new = self.set(field, value, false, limits, BEFORE_ALL);
        if is_new && expiry_ms.is_some() {
            self.let_expire();
            self.set_expiry(field, expiry_ms, BEFORE_ALL);
        }
        is_new
    }

    /// Converts the hash to a table at once if `fields` fields, which are about to be set, are too many for a listpack. As on Redis, a field
    /// counts even if it is there already. (Redis: `hashTypeTryConversion`)
    pub fn prepare(&mut self, fields: usize, limits: &HashLimits) {
        if fields > limits.entries_max {
            self.large();
        }
    }

    /// Sets the value of a field, and removes its expiry unless `keeps_expiry` is true. Returns whether the field is new; one that has expired
    /// at the time `now_ms` counts as new.
    pub fn set(&mut self, field: &[u8], value: &[u8], keeps_expiry: bool, limits: &HashLimits, now_ms: i64) -> bool {
        let Hash::Packed { expires, run } = self else {
            return self.large().set(field, value, keeps_expiry, now_ms);
        };
        if field.len().max(value.len()) > limits.value_bytes_max {
            return self.large().set(field, value, keeps_expiry, now_ms);
        }
        let fields = match (Packed { expires: *expires, run: Listpack(run) }).search(field) {
            Ok(at) => {
                let Located { value_at, expiry_at, expiry_ms, .. } = at;
                let is_new = is_over(expiry_ms, now_ms);
                if expiry_ms.is_none() || keeps_expiry && !is_new {
                    listpack::replace(run, value_at, value);
                } else {
                    // The field no longer expires, so that it belongs behind all fields that do.
                    let end = Listpack(run).end_of(expiry_at);
                    listpack::remove_bytes(run, at.name_at, end);
                    push(run, field, value);
                }
                return is_new;
            }
            Err(fields) => fields,
        };
        if *expires {
            push(run, field, value);
        } else {
            listpack::push_back(run, field);
            listpack::push_back(run, value);
        }
        if fields + 1 > limits.entries_max {
            self.large();
        }
        true
    }

    /// Removes a field. Returns whether it was there and had not expired.
    pub fn remove(&mut self, field: &[u8], now_ms: i64) -> bool {
        match self {
            Hash::Packed { expires, run } => {
                let Ok(at) = (Packed { expires: *expires, run: Listpack(run) }).search(field) else { return false };
                let end = Listpack(run).end_of(if *expires { at.expiry_at } else { at.value_at });
                listpack::remove_bytes(run, at.name_at, end);
                !is_over(at.expiry_ms, now_ms)
            }
            Hash::Large(large) => large.remove(field).is_some_and(|expiry_ms| !is_over(expiry_ms, now_ms)),
        }
    }

    /// Converts a listpack to a listpackex. Commands that set expiries begin with this call, even if they set none in the end, since that
    /// is when OBJECT ENCODING changes on Redis.
    pub fn let_expire(&mut self) {
        let Hash::Packed { expires: expires @ false, run } = self else { return };
        let mut with_expiries = Vec::with_capacity(run.len() + run.len() / 4);
        let mut offset = 0;
        while offset < run.len() {
            let end = Listpack(run).end_of(Listpack(run).end_of(offset));
            with_expiries.extend_from_slice(&run[offset..end]);
            listpack::push_back_int(&mut with_expiries, NEVER);
            offset = end;
        }
        (*expires, *run) = (true, with_expiries);
    }

    /// Sets or removes the expiry of a field. Returns whether the field is there.
    ///
    /// # Panics
    /// If the hash is a listpack for which [`Hash::let_expire`] was not called.
    pub fn set_expiry(&mut self, field: &[u8], expiry_ms: Option<i64>, now_ms: i64) -> bool {
        let run = match self {
            Hash::Large(large) => return large.set_expiry(field, expiry_ms, now_ms),
            Hash::Packed { expires, run } => {
                assert!(*expires, "an expiry is set without a call of let_expire");
                run
            }
        };
        let packed = Packed { expires: true, run: Listpack(run) };
        let Ok(at) = packed.search(field) else { return false };
        if is_over(at.expiry_ms, now_ms) {
            return false;
        }
        // The field goes before the first other field that does not expire earlier. (Redis: `listpackExAddInternal`)
        let place = packed.iter().find_map(|(other, _)| {
            let is_before = other.expiry_ms.is_none_or(|other_ms| expiry_ms.is_some_and(|new_ms| other_ms >= new_ms));
            (other.name_at != at.name_at && is_before && expiry_ms.is_some()).then_some(other.name_at)
        });
        let end = Listpack(run).end_of(at.expiry_at);
        let place = place.unwrap_or(run.len());
        let mut moved = run[at.name_at..at.expiry_at].to_vec();
        listpack::push_back_int(&mut moved, expiry_ms.unwrap_or(NEVER));
        if place <= at.name_at {
            listpack::remove_bytes(run, at.name_at, end);
            run.splice(place..place, moved);
        } else {
            run.splice(place..place, moved);
            listpack::remove_bytes(run, at.name_at, end);
        }
        true
    }

    /// Removes at most `max` expired fields, the earliest first. `removed` is called for each of them. Returns how many were removed.
    pub fn expire(&mut self, now_ms: i64, max: usize, mut removed: impl FnMut(&[u8])) -> usize {
        match self {
            Hash::Packed { expires: false, .. } => 0,
            Hash::Packed { expires: true, run } => {
                let (mut count, mut end) = (0, 0);
                let packed = Packed { expires: true, run: Listpack(run) };
                for (at, name) in packed.iter().take(max) {
                    if !is_over(at.expiry_ms, now_ms) {
                        break;
                    }
                    removed(name.as_bytes(&mut itoa::Buffer::new()));
                    end = packed.run.end_of(at.expiry_at);
                    count += 1;
                }
                listpack::remove_bytes(run, 0, end);
                count
            }
            Hash::Large(large) => large.expire(now_ms, max, removed),
        }
    }

    /// Converts the hash to a table, if it is not one.
    fn large(&mut self) -> &mut LargeHash {
        if let Hash::Packed { .. } = self {
            let mut large = LargeHash::default();
            self.view().for_each(|field| {
                let (mut name, mut value) = (itoa::Buffer::new(), itoa::Buffer::new());
                large.put(field.name.as_bytes(&mut name), field.value.as_bytes(&mut value), field.expiry_ms);
            });
            *self = Hash::Large(Box::new(large));
        }
        match self {
            Hash::Large(large) => large,
            Hash::Packed { .. } => unreachable!("the hash was converted above"),
        }
    }
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::Packed { expires: false, run: Vec::new() }
    }
}

impl Collection for Hash {
    const TYPE: ValueType = ValueType::Hash;
    type View<'a> = HashView<'a>;

    any_collection!(Hash);

    #[inline]
    fn view(&self) -> HashView<'_> {
        let fields = match self {
            Hash::Packed { expires, run } => Fields::Packed(Packed { expires: *expires, run: Listpack(run) }),
            Hash::Large(large) => Fields::Large(large),
        };
        HashView { fields, now_ms: i64::MIN }
    }

    #[inline]
    fn view_packed(form: u8, bytes: &[u8]) -> HashView<'_> {
        let packed = Packed { expires: form == LISTPACK_EX, run: Listpack(bytes) };
        HashView { fields: Fields::Packed(packed), now_ms: i64::MIN }
    }

    fn packed(&self) -> Option<(u8, &[u8])> {
        match self {
            Hash::Packed { expires, run } => Some((form(*expires), run)),
            Hash::Large(_) => None,
        }
    }

    #[inline]
    fn from_packed(form: u8, bytes: Vec<u8>) -> Hash {
        Hash::Packed { expires: form == LISTPACK_EX, run: bytes }
    }

    #[inline]
    fn into_packed(self) -> Result<(u8, Vec<u8>), Hash> {
        match self {
            Hash::Packed { expires, run } => Ok((form(expires), run)),
            Hash::Large(_) => Err(self),
        }
    }

    /// Returns whether there are no fields, not even expired ones that were not removed yet.
    fn is_empty(&self) -> bool {
        match self {
            Hash::Packed { run, .. } => run.is_empty(),
            Hash::Large(large) => large.table.is_empty(),
        }
    }

    fn encoding(view: HashView<'_>) -> Encoding {
        match view.fields {
            Fields::Packed(Packed { expires: false, .. }) => Encoding::Listpack,
            Fields::Packed(Packed { expires: true, .. }) => Encoding::ListpackEx,
            Fields::Large(_) => Encoding::Hashtable,
        }
    }

    fn memory_usage(&self) -> usize {
        match self {
            Hash::Packed { run, .. } => size_class(run.capacity()),
            Hash::Large(large) => large.memory_usage(),
        }
    }

    fn is_heavy(&self) -> bool {
        match self {
            Hash::Packed { run, .. } => run.capacity() > HEAVY_BYTES_MIN,
            Hash::Large(large) => large.table.is_heavy(),
        }
    }

    #[inline]
    fn prefetch_element(&self, element: &[u8]) -> Option<ElementPrefetch<'_>> {
        match self {
            Hash::Large(large) => Some(ElementPrefetch::Table(large.table.prefetch_lookup(element))),
            _ => None,
        }
    }

    fn duplicate(view: HashView<'_>) -> Hash {
        match view.fields {
            Fields::Packed(packed) => Hash::Packed { expires: packed.expires, run: packed.run.0.to_vec() },
            Fields::Large(large) => Hash::Large(Box::new(large.clone())),
        }
    }
}

fn form(expires: bool) -> u8 {
    if expires { LISTPACK_EX } else { LISTPACK }
}

/// Returns whether a field with this expiry has expired.
#[inline]
fn is_over(expiry_ms: Option<i64>, now_ms: i64) -> bool {
    expiry_ms.is_some_and(|expiry_ms| now_ms > expiry_ms)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use proptest::prelude::*;

    use super::*;
    use crate::spine;

    /// Values and expiries by field. An expired field stays until `expire` removes it.
    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

    #[derive(Clone, Debug)]
    enum Step {
        Set { field: u8, value: u16, keeps_expiry: bool },
        Remove(u8),
        LetExpire,
        SetExpiry { field: u8, in_ms: Option<i64> },
        Expire { max: usize },
        Wait(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..40u8, 0..600u16, any::<bool>())
                .prop_map(|(field, value, keeps_expiry)| Step::Set { field, value, keeps_expiry }),
            3 => (0..40u8).prop_map(Step::Remove),
            1 => Just(Step::LetExpire),
            6 => (0..40u8, prop::option::weighted(0.8, 0..60i64))
                .prop_map(|(field, in_ms)| Step::SetExpiry { field, in_ms }),
            1 => (1..6usize).prop_map(|max| Step::Expire { max }),
            2 => (1..30i64).prop_map(Step::Wait),
        ]
    }

    fn name(number: u8) -> Vec<u8> {
        // A third of the names are integers.
        if number.is_multiple_of(3) { number.to_string().into_bytes() } else { format!("field {number}").into_bytes() }
    }

    /// Returns a value that is mostly short, sometimes an integer, and rarely too long for a listpack.
    fn value(number: u16) -> Vec<u8> {
        match number {
            590.. => vec![b'x'; 300],
            number if number % 4 == 0 => number.to_string().into_bytes(),
            number => vec![b'v'; usize::from(number % 20)],
        }
    }

    fn random_numbers(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state = state.wrapping_add(1);
            spine::hash(&state.to_le_bytes())
        }
    }

    fn fields_of(view: HashView<'_>) -> Model {
        let mut fields = Model::new();
        view.for_each(|field| {
            let before = fields.insert(field.name.to_vec(), (field.value.to_vec(), field.expiry_ms));
            assert_eq!(before, None, "a field is visited once");
        });
        fields
    }

    /// Asserts that the fields of a listpackex are in the order of their expiries, as on Redis.
    fn assert_sorted(hash: &Hash) {
        if let Hash::Packed { expires: true, .. } = hash {
            let mut expiries = Vec::new();
            hash.view().for_each(|field| expiries.push(field.expiry_ms.unwrap_or(i64::MAX)));
            assert!(expiries.is_sorted(), "{expiries:?}");
        }
    }

    fn assert_same(hash: &Hash, model: &Model, now_ms: i64) {
        let view = hash.at(now_ms);
        let is_alive = |expiry_ms: Option<i64>| expiry_ms.is_none_or(|at_ms| now_ms <= at_ms);
        let mut alive = model.clone();
        alive.retain(|_, (_, expiry_ms)| is_alive(*expiry_ms));
        assert_eq!(fields_of(hash.view()), *model);
        assert_eq!(fields_of(view), alive);
        assert_eq!((view.len(), view.is_empty(), hash.is_empty()), (alive.len(), alive.is_empty(), model.is_empty()));
        assert_eq!(view.first_expiry_ms(), model.values().filter_map(|(_, expiry_ms)| *expiry_ms).min());
        for number in 0..40 {
            let field = name(number);
            let found = view.get(&field).map(|value| value.to_vec());
            assert_eq!(found.zip(view.expiry_ms(&field)), alive.get(&field).cloned());
        }
        let mut scanned = Model::new();
        let (mut cursor, mut calls) = (0, 0);
        loop {
            cursor = view.scan(cursor, 3, |field| {
                scanned.insert(field.name.to_vec(), (field.value.to_vec(), field.expiry_ms));
            });
            calls += 1;
            if cursor == 0 || calls > 1000 {
                break;
            }
        }
        assert_eq!(scanned, alive);
        let mut random = random_numbers(now_ms as u64);
        let drawn = view.random(&mut random).map(|field| field.name.to_vec());
        assert_eq!(drawn.is_some(), !alive.is_empty());
        assert!(drawn.is_none_or(|name| alive.contains_key(&name)));
        let mut sampled = Vec::new();
        view.sample(alive.len() / 2, &mut random, |field| sampled.push(field.name.to_vec()));
        assert_eq!(sampled.len(), alive.len() / 2);
        sampled.sort();
        sampled.dedup();
        assert_eq!(sampled.len(), alive.len() / 2);
        assert!(sampled.iter().all(|name| alive.contains_key(name)));
        assert_sorted(hash);
    }

    proptest! {
        #[test]
        fn does_what_a_map_does(steps in prop::collection::vec(step(), 1..150), entries_max in 0..40usize) {
            let (mut hash, mut model, mut now_ms) = (Hash::default(), Model::new(), 1000);
            for step in steps {
                // The keyspace does the same with packed values.
                hash = match hash.into_packed() {
                    Ok((form, bytes)) => Hash::from_packed(form, bytes),
                    Err(hash) => hash,
                };
                let limits = HashLimits { entries_max, value_bytes_max: 64 };
                let is_alive = |model: &Model, field: &[u8]| {
                    model.get(field).is_some_and(|(_, expiry_ms)| !is_over(*expiry_ms, now_ms))
                };
                match step {
                    Step::Set { field, value: number, keeps_expiry } => {
                        let (field, value) = (name(field), value(number));
                        let is_new = hash.set(&field, &value, keeps_expiry, &limits, now_ms);
                        prop_assert_eq!(is_new, !is_alive(&model, &field));
                        let kept = model.get(&field).and_then(|(_, expiry_ms)| *expiry_ms);
                        let expiry_ms = kept.filter(|_| keeps_expiry && !is_new);
                        model.insert(field, (value, expiry_ms));
                    }
                    Step::Remove(field) => {
                        let field = name(field);
                        prop_assert_eq!(hash.remove(&field, now_ms), is_alive(&model, &field));
                        model.remove(&field);
                    }
                    Step::LetExpire => hash.let_expire(),
                    Step::SetExpiry { field, in_ms } => {
                        let (field, expiry_ms) = (name(field), in_ms.map(|in_ms| now_ms + in_ms));
                        hash.let_expire();
                        let alive = is_alive(&model, &field);
                        prop_assert_eq!(hash.set_expiry(&field, expiry_ms, now_ms), alive);
                        if alive {
                            model.get_mut(&field).expect("the field is there").1 = expiry_ms;
                        }
                    }
                    Step::Expire { max } => {
                        let mut removed = Vec::new();
                        let count = hash.expire(now_ms, max, |field| removed.push(field.to_vec()));
                        let due = model.values().filter(|(_, expiry_ms)| is_over(*expiry_ms, now_ms)).count();
                        prop_assert_eq!((count, removed.len()), (due.min(max), due.min(max)));
                        for field in removed {
                            let (_, expiry_ms) = model.remove(&field).expect("the field was there");
                            prop_assert!(is_over(expiry_ms, now_ms));
                        }
                    }
                    Step::Wait(ms) => now_ms += ms,
                }
                assert_same(&hash, &model, now_ms);
            }
            assert_same(&Hash::duplicate(hash.view()), &model, now_ms);
        }
    }

    const LIMITS: HashLimits = HashLimits { entries_max: 512, value_bytes_max: 64 };

    fn filled(fields: usize) -> Hash {
        let mut hash = Hash::default();
        for number in 0..fields {
            assert!(hash.set(
                format!("field:{number:08}").as_bytes(),
                format!("{number:06}x").as_bytes(),
                false,
                &LIMITS,
                0
            ));
        }
        hash
    }

    #[test]
    fn encodings_change_where_redis_changes_them() {
        let encoding = |hash: &Hash| Hash::encoding(hash.view());
        let mut hash = filled(512);
        assert_eq!(encoding(&hash), Encoding::Listpack);
        hash.let_expire();
        assert_eq!(encoding(&hash), Encoding::ListpackEx);
        hash.set(b"field:00000000", b"another", false, &LIMITS, 0);
        assert_eq!(encoding(&hash), Encoding::ListpackEx);
        hash.set(b"one more", b"", false, &LIMITS, 0);
        assert_eq!(encoding(&hash), Encoding::Hashtable);
        assert_eq!(encoding(&filled(513)), Encoding::Hashtable);
        for (field, value, expected) in
            [(64, 64, Encoding::Listpack), (65, 1, Encoding::Hashtable), (1, 65, Encoding::Hashtable)]
        {
            let mut hash = Hash::default();
            hash.set(&vec![b'f'; field], &vec![b'v'; value], false, &LIMITS, 0);
            assert_eq!(encoding(&hash), expected, "{field} and {value} bytes");
        }
    }

    #[test]
    fn fields_of_a_listpack_are_in_the_order_of_their_expiries() {
        let mut hash = Hash::default();
        for field in ["a", "b", "c", "d"] {
            hash.set(field.as_bytes(), b"", false, &LIMITS, 0);
        }
        hash.let_expire();
        let check = |hash: &Hash, expected: &str| {
            let mut names = Vec::new();
            hash.view().for_each(|field| field.name.write_to(&mut names));
            assert_eq!(names, expected.as_bytes());
        };
        for (field, expiry_ms, expected) in [
            ("a", Some(100), "abcd"),
            ("b", Some(100), "bacd"),
            ("c", Some(50), "cbad"),
            ("c", Some(200), "bacd"),
            ("a", Some(100), "abcd"),
            ("b", None, "acdb"),
        ] {
            assert!(hash.set_expiry(field.as_bytes(), expiry_ms, 0));
            check(&hash, expected);
        }
        hash.set(b"c", b"", false, &LIMITS, 0);
        check(&hash, "adbc");
    }

    #[test]
    fn a_large_hash_expires_in_steps() {
        let mut hash = filled(20_000);
        for number in 0..20_000i64 {
            hash.set_expiry(format!("field:{number:08}").as_bytes(), (number % 4 > 0).then_some(number / 100), 0);
        }
        assert_eq!(hash.at(100).len(), 20_000 - 7500);
        assert_eq!(hash.at(1000).len(), 5000);
        let mut removed = HashSet::new();
        let mut steps = 0;
        while hash.expire(1000, 16, |field| assert!(removed.insert(field.to_vec()), "a field is removed once")) > 0 {
            steps += 1;
        }
        assert_eq!((removed.len(), hash.at(1000).len()), (15_000, 5000));
        assert!(steps >= 15_000 / 16, "{steps} steps");
        assert_eq!(hash.view().first_expiry_ms(), None);
    }

    #[test]
    fn a_field_takes_few_bytes() {
        for (fields, most) in [(5, 26.0), (100_000, 45.0)] {
            let hash = filled(fields);
            let each = hash.memory_usage() as f64 / fields as f64;
            assert!(each < most, "{each} bytes each of {fields} fields of 21 bytes");
        }
    }
}
