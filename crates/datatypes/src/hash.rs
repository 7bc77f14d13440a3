//! Hashes: fields with values, each of which may expire by itself.
//!
//! ```text
//!  listpack    │ field │ value │ field │ value │ …                            in the order of arrival
//!  listpackex  │ field │ value │ expiry │ field │ value │ expiry │ …          the earliest expiry first; 0, never, last
//!  table       field ─▶ record:  0 │ value    or    1 │ expiry (8 bytes) │ value
//!              and, while any field expires, the order of the expiries, 8 bytes each (see `deadlines.rs`)
//! ```
//!
//! A hash is a listpack until it has too many fields, or a long one; the first command that could let a field expire makes it a
//! listpackex. It never goes back.
//!
//! A field lives up to its last millisecond, and counts as absent after it, whether or not anybody has removed it yet; so whoever looks at
//! a hash some of whose fields expire says what time it is ([`HashView::at`], [`HashRules::now_ms`]).

use std::collections::HashSet;

use crate::{
    Collection, Encoding, ValueType, any_collection,
    deadlines::{Deadlines, TAG_BITS},
    listpack::{self, Element, Listpack},
    prefetch::Approach,
    spine::{self, below},
    table::{Record, Table},
};

/// What a hash needs to know to be changed.
#[derive(Clone, Copy, Debug)]
pub struct HashRules {
    /// A hash with more fields becomes a table.
    pub entries_max: usize,
    /// A hash with a longer field or value becomes a table.
    pub value_bytes_max: usize,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

/// A field as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: Element<'a>,
    pub value: Element<'a>,
    /// Milliseconds since 1970.
    pub expiry_ms: Option<i64>,
}

/// See the module.
pub enum Hash {
    Packed { expires: bool, run: Vec<u8> },
    Large(Box<LargeHash>),
}

/// A hash to be read, at some time.
#[derive(Clone, Copy)]
pub struct HashView<'a> {
    fields: Fields<'a>,
    now_ms: i64,
}

#[derive(Clone, Copy)]
enum Fields<'a> {
    Packed(Packed<'a>),
    Large(&'a LargeHash),
}

const LISTPACK: u8 = 0;
/// The form of a listpack whose fields may expire.
pub const LISTPACK_EX: u8 = 1;

/// What stands for no expiry in a listpack.
const NEVER: i64 = 0;

/// So many draws of a random field may hit ones that have expired before all that are alive are counted.
const RANDOM_DRAWS_MAX: usize = 64;

impl Hash {
    /// It as it is at some time.
    pub fn at(&self, now_ms: i64) -> HashView<'_> {
        self.view().at(now_ms)
    }

    /// Gets ready for so many fields that are about to be set: a listpack that would not hold them is a table at once (as Redis's
    /// `hashTypeTryConversion` guesses, although some of them may be there already, or twice).
    pub fn expect(&mut self, fields: usize, rules: &HashRules) {
        if fields > rules.entries_max {
            self.large();
        }
    }

    /// Sets a field; whether it is a new one. One that is there keeps its expiry, or loses it.
    pub fn set(&mut self, field: &[u8], value: &[u8], keeps_expiry: bool, rules: &HashRules) -> bool {
        let Hash::Packed { expires, run } = self else {
            return self.large().set(field, value, keeps_expiry, rules.now_ms);
        };
        if field.len().max(value.len()) > rules.value_bytes_max {
            return self.large().set(field, value, keeps_expiry, rules.now_ms);
        }
        let fields = match (Packed { expires: *expires, run: Listpack(run) }).search(field) {
            Ok(at) => {
                let Located { value_at, expiry_at, expiry_ms, .. } = at;
                let is_new = is_over(expiry_ms, rules.now_ms);
                if expiry_ms.is_none() || keeps_expiry && !is_new {
                    listpack::replace(run, value_at, value);
                } else {
                    // The fields that do not expire are the last.
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
        if fields + 1 > rules.entries_max {
            self.large();
        }
        true
    }

    /// Removes a field; whether it was there.
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

    /// Makes a listpack one whose fields may expire. Commands that set expiries begin with it, whatever becomes of them, for that is
    /// when Redis's OBJECT ENCODING changes.
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

    /// Sets when a field expires, or that it does not; whether it is there. [`Hash::let_expire`] came before.
    pub fn set_expiry(&mut self, field: &[u8], expiry_ms: Option<i64>, now_ms: i64) -> bool {
        let run = match self {
            Hash::Large(large) => return large.set_expiry(field, expiry_ms, now_ms),
            Hash::Packed { expires, run } => {
                assert!(*expires, "let_expire came before");
                run
            }
        };
        let packed = Packed { expires: true, run: Listpack(run) };
        let Ok(at) = packed.search(field) else { return false };
        if is_over(at.expiry_ms, now_ms) {
            return false;
        }
        // Before the first that does not expire earlier (Redis: `listpackExAddInternal`); the field itself does not count.
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

    /// Removes fields whose time has come, the earliest first and at most so many, and shows each to `removed`. How many there were.
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

    /// It as a table, which it is from now on.
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
            Hash::Packed { .. } => unreachable!("it was made a table above"),
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

    /// Whether it has no fields, not even ones that have expired and are to be removed.
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
            Hash::Packed { run, .. } => run.capacity(),
            Hash::Large(large) => large.memory_usage(),
        }
    }

    fn is_heavy(&self) -> bool {
        match self {
            Hash::Packed { .. } => false,
            Hash::Large(large) => large.table.is_heavy(),
        }
    }

    #[inline]
    fn approach(&self, element: &[u8]) -> Option<Approach<'_>> {
        match self {
            Hash::Large(large) => Some(Approach::Table(large.table.approach(element))),
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

/// Whether a field's time is over.
#[inline]
fn is_over(expiry_ms: Option<i64>, now_ms: i64) -> bool {
    expiry_ms.is_some_and(|expiry_ms| now_ms > expiry_ms)
}

impl<'a> HashView<'a> {
    /// The same at some time: fields that have expired by then are absent. Before a view is told the time, none is.
    pub fn at(self, now_ms: i64) -> HashView<'a> {
        HashView { now_ms, ..self }
    }

    /// How many fields there are.
    pub fn len(self) -> usize {
        match self.fields {
            Fields::Packed(packed) => packed.run.len() / packed.stride() - self.expired_in_front(packed),
            Fields::Large(large) => large.table.len() - large.due(self.now_ms),
        }
    }

    pub fn is_empty(self) -> bool {
        match self.fields {
            // The last of them expires last.
            Fields::Packed(packed) => packed.last_expiry_ms().is_none_or(|last_ms| is_over(last_ms, self.now_ms)),
            Fields::Large(large) => large.due(self.now_ms) == large.table.len(),
        }
    }

    /// The value of a field.
    #[inline]
    pub fn get(self, field: &[u8]) -> Option<Element<'a>> {
        if let Fields::Packed(Packed { expires: false, run }) = self.fields {
            let name_at = run.find(field, 1)?;
            return Some(run.get(run.end_of(name_at)));
        }
        Some(self.find(field)?.0)
    }

    pub fn contains(self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// When a field expires, or that it does not; `None` where it is not there.
    pub fn expiry_ms(self, field: &[u8]) -> Option<Option<i64>> {
        Some(self.find(field)?.1)
    }

    /// The value of a field, and when it expires.
    fn find(self, field: &[u8]) -> Option<(Element<'a>, Option<i64>)> {
        let (value, expiry_ms) = match self.fields {
            Fields::Packed(packed) => {
                let at = packed.search(field).ok()?;
                (packed.run.get(at.value_at), at.expiry_ms)
            }
            Fields::Large(large) => {
                let (expiry_ms, value) = split_payload(large.table.get(field)?);
                (Element::Bytes(value), expiry_ms)
            }
        };
        (!is_over(expiry_ms, self.now_ms)).then_some((value, expiry_ms))
    }

    /// Visits all fields.
    pub fn for_each(self, mut visit: impl FnMut(Field<'a>)) {
        match self.fields {
            Fields::Packed(Packed { expires: false, run }) => {
                let mut elements = run.iter();
                while let (Some((_, name)), Some((_, value))) = (elements.next(), elements.next()) {
                    visit(Field { name, value, expiry_ms: None });
                }
            }
            Fields::Packed(packed) => {
                let fields = packed.iter().map(|(at, _)| packed.field(at));
                fields.filter(|field| !is_over(field.expiry_ms, self.now_ms)).for_each(visit);
            }
            Fields::Large(large) => {
                let fields = large.table.iter().map(field_of);
                fields.filter(|field| !is_over(field.expiry_ms, self.now_ms)).for_each(visit);
            }
        }
    }

    /// Visits fields from a cursor on, as [`Table::scan`] does; all of a small hash at once.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(Field<'a>)) -> u64 {
        match self.fields {
            Fields::Packed(_) => {
                self.for_each(visit);
                0
            }
            Fields::Large(large) => large.table.scan(cursor, count, |record| {
                let field = field_of(record);
                if !is_over(field.expiry_ms, self.now_ms) {
                    visit(field);
                }
            }),
        }
    }

    /// A field, each with the same chance.
    pub fn random(self, random: &mut impl FnMut() -> u64) -> Option<Field<'a>> {
        match self.fields {
            Fields::Packed(packed) => {
                let (fields, expired) = (packed.run.len() / packed.stride(), self.expired_in_front(packed));
                if fields == expired {
                    return None;
                }
                let index = expired + below(fields - expired, random());
                let name_at = packed.run.nth_of(index * packed.stride(), fields * packed.stride())?;
                Some(packed.field(packed.located(name_at)))
            }
            Fields::Large(large) => {
                let is_alive = |field: &Field<'_>| !is_over(field.expiry_ms, self.now_ms);
                let mut draws = (0..RANDOM_DRAWS_MAX).map_while(|_| large.table.random(random).map(field_of));
                if let Some(field) = draws.find(is_alive) {
                    return Some(field);
                }
                let alive = self.len();
                let index = if alive == 0 { return None } else { below(alive, random()) };
                large.table.iter().map(field_of).filter(is_alive).nth(index)
            }
        }
    }

    /// Visits so many different fields, each with the same chance; there are as many at least.
    pub fn sample(self, count: usize, random: &mut impl FnMut() -> u64, mut visit: impl FnMut(Field<'a>)) {
        /// Fewer than one in so many fields are drawn one by one; of more, each is asked whether it is among them.
        const FEW: usize = 8;
        let len = self.len();
        debug_assert!(count <= len);
        if matches!(self.fields, Fields::Large(_)) && count < len / FEW {
            let mut drawn = HashSet::with_capacity(count);
            while drawn.len() < count {
                let Some(field) = self.random(random) else { return };
                if drawn.insert(field.name.to_vec()) {
                    visit(field);
                }
            }
            return;
        }
        let (mut wanted, mut left) = (count, len);
        self.for_each(|field| {
            if wanted > 0 && below(left, random()) < wanted {
                wanted -= 1;
                visit(field);
            }
            left -= 1;
        });
    }

    /// When the first of its fields expires that are to be removed still, those that have expired among them.
    #[inline]
    pub fn first_expiry_ms(self) -> Option<i64> {
        match self.fields {
            Fields::Packed(Packed { expires: false, .. }) => None,
            Fields::Packed(packed) => packed.iter().next()?.0.expiry_ms,
            Fields::Large(large) => large.expiries.as_ref()?.first_ms(),
        }
    }

    fn expired_in_front(self, packed: Packed<'_>) -> usize {
        if !packed.expires {
            return 0;
        }
        packed.iter().take_while(|(at, _)| is_over(at.expiry_ms, self.now_ms)).count()
    }
}

/// A hash in one run of bytes.
#[derive(Clone, Copy)]
struct Packed<'a> {
    expires: bool,
    run: Listpack<'a>,
}

/// Where the parts of a field lie. Without expiries `expiry_at` means nothing.
#[derive(Clone, Copy)]
struct Located {
    name_at: usize,
    value_at: usize,
    expiry_at: usize,
    expiry_ms: Option<i64>,
}

impl<'a> Packed<'a> {
    /// How many elements a field has.
    fn stride(self) -> usize {
        if self.expires { 3 } else { 2 }
    }

    /// Where a field is, or else how many fields there are.
    #[inline]
    fn search(self, field: &[u8]) -> Result<Located, usize> {
        let wanted = listpack::Encoded::new(field);
        let (mut offset, mut fields) = (0, 0);
        while offset < self.run.0.len() {
            if self.run.equals(offset, &wanted) {
                return Ok(self.located(offset));
            }
            offset = self.run.end_of(self.run.end_of(offset));
            if self.expires {
                offset = self.run.end_of(offset);
            }
            fields += 1;
        }
        Err(fields)
    }

    fn located(self, name_at: usize) -> Located {
        let value_at = self.run.end_of(name_at);
        if !self.expires {
            return Located { name_at, value_at, expiry_at: 0, expiry_ms: None };
        }
        let expiry_at = self.run.end_of(value_at);
        Located { name_at, value_at, expiry_at, expiry_ms: self.expiry_ms(expiry_at) }
    }

    fn expiry_ms(self, expiry_at: usize) -> Option<i64> {
        self.run.get(expiry_at).as_int().filter(|&expiry_ms| expiry_ms != NEVER)
    }

    fn field(self, at: Located) -> Field<'a> {
        Field { name: self.run.get(at.name_at), value: self.run.get(at.value_at), expiry_ms: at.expiry_ms }
    }

    /// The expiry of the last field, where there is a field.
    fn last_expiry_ms(self) -> Option<Option<i64>> {
        let last = self.run.last()?;
        Some(if self.expires { self.expiry_ms(last) } else { None })
    }

    fn iter(self) -> impl Iterator<Item = (Located, Element<'a>)> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            if offset >= self.run.0.len() {
                return None;
            }
            let at = self.located(offset);
            offset = self.run.end_of(if self.expires { at.expiry_at } else { at.value_at });
            Some((at, self.run.get(at.name_at)))
        })
    }
}

/// Appends a field that does not expire to a listpack with expiries.
fn push(run: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    listpack::push_back(run, field);
    listpack::push_back(run, value);
    listpack::push_back_int(run, NEVER);
}

/// A hash as a table; see the module's picture.
#[derive(Clone, Default)]
pub struct LargeHash {
    table: Table,
    /// An item for each field that expires, by the lowest bits of its [`spine::hash`].
    expiries: Option<Box<Deadlines>>,
}

const WITHOUT_EXPIRY: u8 = 0;
const WITH_EXPIRY: u8 = 1;

/// The expiry and the value in a record's payload.
#[inline]
fn split_payload(payload: &[u8]) -> (Option<i64>, &[u8]) {
    match payload.split_first().expect("a payload has a mark") {
        (&WITHOUT_EXPIRY, value) => (None, value),
        (_, rest) => {
            let (expiry, value) = rest.split_first_chunk().expect("an expiry of eight bytes");
            (Some(i64::from_le_bytes(*expiry)), value)
        }
    }
}

fn field_of(record: Record<'_>) -> Field<'_> {
    let (expiry_ms, value) = split_payload(record.payload);
    Field { name: Element::Bytes(record.key), value: Element::Bytes(value), expiry_ms }
}

fn tag(field: &[u8]) -> u32 {
    (spine::hash(field) & ((1 << TAG_BITS) - 1)) as u32
}

impl LargeHash {
    fn memory_usage(&self) -> usize {
        let expiries = self.expiries.as_ref().map_or(0, |it| size_of::<Deadlines>() + it.memory_usage());
        size_of::<LargeHash>() + self.table.memory_usage() + expiries
    }

    /// How many fields have expired and are there still.
    fn due(&self, now_ms: i64) -> usize {
        self.expiries.as_ref().map_or(0, |expiries| expiries.due(now_ms))
    }

    fn set(&mut self, field: &[u8], value: &[u8], keeps_expiry: bool, now_ms: i64) -> bool {
        if self.expiries.is_none() {
            return self.put(field, value, None);
        }
        let before = self.table.get(field).map(|payload| split_payload(payload).0);
        let is_new = before.is_none_or(|expiry_ms| is_over(expiry_ms, now_ms));
        let before = before.flatten();
        let after = before.filter(|_| keeps_expiry && !is_new);
        self.move_expiry(field, before, after);
        self.put_record(field, value, after);
        is_new
    }

    /// Puts a field in, and its expiry in order, where the field is not there with an expiry; whether it is new.
    fn put(&mut self, field: &[u8], value: &[u8], expiry_ms: Option<i64>) -> bool {
        self.move_expiry(field, None, expiry_ms);
        self.put_record(field, value, expiry_ms)
    }

    fn put_record(&mut self, field: &[u8], value: &[u8], expiry_ms: Option<i64>) -> bool {
        /// Payloads up to here are put together on the stack.
        const SHORT: usize = 128;
        let head_len = if expiry_ms.is_some() { 9 } else { 1 };
        let len = head_len + value.len();
        let mut short = [WITHOUT_EXPIRY; SHORT];
        let mut long = Vec::new();
        let payload = if len <= SHORT {
            &mut short[..len]
        } else {
            long.resize(len, WITHOUT_EXPIRY);
            &mut long[..]
        };
        if let Some(expiry_ms) = expiry_ms {
            payload[0] = WITH_EXPIRY;
            payload[1..9].copy_from_slice(&expiry_ms.to_le_bytes());
        }
        payload[head_len..].copy_from_slice(value);
        self.table.insert(field, payload)
    }

    fn move_expiry(&mut self, field: &[u8], before: Option<i64>, after: Option<i64>) {
        if before == after {
            return;
        }
        let expiries = self.expiries.get_or_insert_default();
        if let Some(before_ms) = before {
            expiries.remove(before_ms, tag(field));
        }
        if let Some(after_ms) = after {
            expiries.insert(after_ms, tag(field));
        }
        if expiries.is_empty() {
            self.expiries = None;
        }
    }

    fn set_expiry(&mut self, field: &[u8], expiry_ms: Option<i64>, now_ms: i64) -> bool {
        let Some(payload) = self.table.get(field) else { return false };
        let (before, value) = split_payload(payload);
        if is_over(before, now_ms) {
            return false;
        }
        if before != expiry_ms {
            let value = value.to_vec();
            self.move_expiry(field, before, expiry_ms);
            self.put_record(field, &value, expiry_ms);
        }
        true
    }

    /// Removes a field; the expiry that it had, if it was there.
    fn remove(&mut self, field: &[u8]) -> Option<Option<i64>> {
        let mut expiry_ms = None;
        if self.expiries.is_some() {
            expiry_ms = split_payload(self.table.get(field)?).0;
            self.move_expiry(field, expiry_ms, None);
        }
        self.table.remove(field).then_some(expiry_ms)
    }

    fn expire(&mut self, now_ms: i64, max: usize, mut removed: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < max {
            let Some((_, tag)) = self.expiries.as_ref().and_then(|expiries| expiries.first_due(now_ms)) else { break };
            // All that are due around there go at once.
            let near = self.table.records_near(tag.into(), TAG_BITS).map(field_of);
            let due = near.filter(|field| is_over(field.expiry_ms, now_ms)).take(max - count);
            let due: Vec<Vec<u8>> = due.map(|field| field.name.to_vec()).collect();
            assert!(!due.is_empty(), "a field for every expiry");
            for field in due {
                self.remove(&field);
                removed(&field);
                count += 1;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Fields that have expired are in it until `expire` removes them.
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
        // Some of them are integers.
        if number.is_multiple_of(3) { number.to_string().into_bytes() } else { format!("field {number}").into_bytes() }
    }

    /// Mostly short, some integers among them, and now and then one that no listpack takes.
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
            assert_eq!(before, None, "a field comes once");
        });
        fields
    }

    /// The order of expiries that Redis keeps in a listpack.
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
                // As an entry does with packed ones.
                hash = match hash.into_packed() {
                    Ok((form, bytes)) => Hash::from_packed(form, bytes),
                    Err(hash) => hash,
                };
                let rules = HashRules { entries_max, value_bytes_max: 64, now_ms };
                let is_alive = |model: &Model, field: &[u8]| {
                    model.get(field).is_some_and(|(_, expiry_ms)| !is_over(*expiry_ms, now_ms))
                };
                match step {
                    Step::Set { field, value: number, keeps_expiry } => {
                        let (field, value) = (name(field), value(number));
                        let is_new = hash.set(&field, &value, keeps_expiry, &rules);
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
                            model.get_mut(&field).expect("it is alive").1 = expiry_ms;
                        }
                    }
                    Step::Expire { max } => {
                        let mut removed = Vec::new();
                        let count = hash.expire(now_ms, max, |field| removed.push(field.to_vec()));
                        let due = model.values().filter(|(_, expiry_ms)| is_over(*expiry_ms, now_ms)).count();
                        prop_assert_eq!((count, removed.len()), (due.min(max), due.min(max)));
                        for field in removed {
                            let (_, expiry_ms) = model.remove(&field).expect("it was there");
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

    const RULES: HashRules = HashRules { entries_max: 512, value_bytes_max: 64, now_ms: 0 };

    fn filled(fields: usize) -> Hash {
        let mut hash = Hash::default();
        for number in 0..fields {
            assert!(hash.set(
                format!("field:{number:08}").as_bytes(),
                format!("{number:06}x").as_bytes(),
                false,
                &RULES
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
        hash.set(b"field:00000000", b"another", false, &RULES);
        assert_eq!(encoding(&hash), Encoding::ListpackEx);
        hash.set(b"one more", b"", false, &RULES);
        assert_eq!(encoding(&hash), Encoding::Hashtable);
        assert_eq!(encoding(&filled(513)), Encoding::Hashtable);
        for (field, value, expected) in
            [(64, 64, Encoding::Listpack), (65, 1, Encoding::Hashtable), (1, 65, Encoding::Hashtable)]
        {
            let mut hash = Hash::default();
            hash.set(&vec![b'f'; field], &vec![b'v'; value], false, &RULES);
            assert_eq!(encoding(&hash), expected, "{field} and {value} bytes");
        }
    }

    #[test]
    fn fields_of_a_listpack_are_in_the_order_of_their_expiries() {
        let mut hash = Hash::default();
        for field in ["a", "b", "c", "d"] {
            hash.set(field.as_bytes(), b"", false, &RULES);
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
        hash.set(b"c", b"", false, &RULES);
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
        while hash.expire(1000, 16, |field| assert!(removed.insert(field.to_vec()), "it goes once")) > 0 {
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
