//! Geo indexes: sorted sets of places, whose scores are geohashes.

use std::{borrow::Cow, ops::ControlFlow};

use ochre_datatypes::{
    geo::{Inside, Place, Shape},
    listpack::Element,
    number::parse_f64,
    sorted_set::{ScoreRange, SortedSet, SortedSetView},
};
use ochre_resp::{Args, ReplyWriter};
use smallvec::SmallVec;

use super::{
    CommandError, CommandSpec, Flags, Handler,
    context::{Context, KeyedRead, KeyedWrite, Outcome, Run},
    elements::reply_element,
    sorted_sets::{AddOptions, add, limits, member_bytes, score_at, source, store_result},
    table::{BeginSearch, Category, FindKeys, Group, KeyFlags, KeySpec},
};

/// The rows of commands on places.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "geoadd",
        arity: -5,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        since: "3.2.0",
        complexity: "O(log(N)) for each place, with N the number of elements",
        summary: "Adds places to a sorted set.",
        syntax: "key [NX|XX] [CH] (longitude:double latitude:double member)...",
        handler: Handler::Write(geoadd),
        ..GEO
    },
    CommandSpec {
        name: "geodist",
        arity: -4,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "3.2.0",
        summary: "Returns the distance between two places.",
        syntax: "key member1 member2 [M|KM|FT|MI]",
        handler: Handler::Read(geodist),
        ..GEO
    },
    CommandSpec {
        name: "geohash",
        arity: -2,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "3.2.0",
        complexity: "O(N) with N members",
        summary: "Returns the geohashes of places.",
        syntax: "key [member...]",
        handler: Handler::Read(geohash),
        ..GEO
    },
    CommandSpec {
        name: "geopos",
        arity: -2,
        flags: Flags::READONLY.union(Flags::BATCH),
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "3.2.0",
        complexity: "O(N) with N members",
        summary: "Returns the coordinates of places.",
        syntax: "key [member...]",
        handler: Handler::Read(geopos),
        ..GEO
    },
    CommandSpec {
        name: "georadius",
        arity: -6,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
        keys: &[
            KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
            stored_at("STORE", 6),
            stored_at("STOREDIST", 6),
        ],
        unspecified_keys: Some(|args, visit| visit_last_stored(args, 6, visit)),
        since: "3.2.0",
        complexity: "O(N+log(M)) with N elements in the cells that overlap the area, and M inside it",
        summary: "Returns, or stores, the places within a distance of coordinates.",
        syntax: "key longitude:double latitude:double radius:double (M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] \
                 [COUNT count:integer [ANY]] [ASC|DESC] [STORE storekey:key|STOREDIST storedistkey:key]",
        deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")),
        handler: Handler::Write(|cx| radius(cx, Around::Coordinates)),
        ..GEO
    },
    CommandSpec {
        name: "georadius_ro",
        arity: -6,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "3.2.10",
        complexity: "O(N+log(M)) with N elements in the cells that overlap the area, and M inside it",
        summary: "Returns the places within a distance of coordinates.",
        syntax: "key longitude:double latitude:double radius:double (M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] \
                 [COUNT count:integer [ANY]] [ASC|DESC]",
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
        handler: Handler::Read(|cx| radius_read(cx, Around::Coordinates)),
        ..GEO
    },
    CommandSpec {
        name: "georadiusbymember",
        arity: -5,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
        keys: &[
            KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
            stored_at("STORE", 5),
            stored_at("STOREDIST", 5),
        ],
        unspecified_keys: Some(|args, visit| visit_last_stored(args, 5, visit)),
        since: "3.2.0",
        complexity: "O(N+log(M)) with N elements in the cells that overlap the area, and M inside it",
        summary: "Returns, or stores, the places within a distance of a place.",
        syntax: "key member radius:double (M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] \
                 [ASC|DESC] [STORE storekey:key|STOREDIST storedistkey:key]",
        deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments")),
        handler: Handler::Write(|cx| radius(cx, Around::Member)),
        ..GEO
    },
    CommandSpec {
        name: "georadiusbymember_ro",
        arity: -5,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "3.2.10",
        complexity: "O(N+log(M)) with N elements in the cells that overlap the area, and M inside it",
        summary: "Returns the places within a distance of a place.",
        syntax: "key member radius:double (M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] \
                 [ASC|DESC]",
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
        handler: Handler::Read(|cx| radius_read(cx, Around::Member)),
        ..GEO
    },
    CommandSpec {
        name: "geosearch",
        arity: -7,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "6.2.0",
        complexity: "O(N+log(M)) with N elements in the cells that overlap the area, and M inside it",
        summary: "Returns the places inside a circle or a box.",
        syntax: "key [FROMMEMBER member|FROMLONLAT (longitude:double latitude:double)] (BYRADIUS radius:double \
                 (M|KM|FT|MI)|BYBOX width:double height:double (M|KM|FT|MI)|BYPOLYGON num-vertices:integer \
                 (longitude:double latitude:double)...) [ASC|DESC] [COUNT count:integer [ANY]] [WITHCOORD] [WITHDIST] \
                 [WITHHASH]",
        handler: Handler::Read(geosearch),
        ..GEO
    },
    CommandSpec {
        name: "geosearchstore",
        arity: -8,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
            KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ],
        since: "6.2.0",
        complexity: "O(N+log(M)) with N elements in the cells that overlap the area, and M inside it",
        summary: "Stores the places inside a circle or a box.",
        syntax: "destination:key source:key [FROMMEMBER member|FROMLONLAT (longitude:double latitude:double)] \
                 (BYRADIUS radius:double (M|KM|FT|MI)|BYBOX width:double height:double (M|KM|FT|MI)|BYPOLYGON \
                 num-vertices:integer (longitude:double latitude:double)...) [ASC|DESC] [COUNT count:integer [ANY]] \
                 [STOREDIST]",
        handler: Handler::Write(geosearchstore),
        ..GEO
    },
];

/// The fields that these rows share.
const GEO: CommandSpec = CommandSpec { categories: Category::GEO, group: Group::Geo, ..CommandSpec::DEFAULT };

/// The spec of the key at which the result is stored, after a keyword.
const fn stored_at(keyword: &'static str, from: i16) -> KeySpec {
    KeySpec {
        flags: KeyFlags::OW.union(KeyFlags::UPDATE),
        begin: BeginSearch::Keyword { keyword, from },
        find: FindKeys::Range { last: 0, step: 1, limit: 0 },
        notes: None,
    }
}

/// Visits the key after the last STORE or STOREDIST, which is the one that counts. The specs find the first of each.
fn visit_last_stored(args: Args<'_>, from: usize, visit: &mut dyn FnMut(usize, KeyFlags)) {
    let (mut index, mut last) = (from, None);
    while index + 1 < args.len() {
        let word = args.get(index);
        if word.eq_ignore_ascii_case(b"STORE") || word.eq_ignore_ascii_case(b"STOREDIST") {
            index += 1;
            last = Some(index);
        }
        index += 1;
    }
    last.into_iter().for_each(|index| visit(index, KeyFlags::OW.union(KeyFlags::UPDATE)));
}

const NO_PLACE: CommandError = CommandError::text("ERR could not decode requested zset member");

/// Parses two arguments as a place: longitude and latitude.
fn place_at<K>(cx: &Context<'_, K>, index: usize) -> Result<Place, CommandError> {
    let place = Place { longitude: score_at(cx, index)?, latitude: score_at(cx, index + 1)? };
    if place.is_valid() {
        return Ok(place);
    }
    let Place { longitude, latitude } = place;
    Err(CommandError::composed(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")))
}

/// Parses an argument as a unit of length. Returns the unit in meters.
fn unit_at<K>(cx: &Context<'_, K>, index: usize) -> Result<f64, CommandError> {
    match () {
        () if cx.is_word(index, "M") => Ok(1.0),
        () if cx.is_word(index, "KM") => Ok(1000.0),
        () if cx.is_word(index, "FT") => Ok(0.3048),
        () if cx.is_word(index, "MI") => Ok(1609.34),
        () => Err(CommandError::text("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// Replies with a distance, with four digits after the point. (Redis: `fixedpoint_d2string`)
fn reply_distance(reply: &mut ReplyWriter<'_>, distance: f64) {
    let scaled = (distance * 10_000.0).round_ties_even() as i64;
    reply.bulk(format!("{}.{:04}", scaled / 10_000, scaled % 10_000).as_bytes());
}

fn reply_place(reply: &mut ReplyWriter<'_>, place: Place) {
    reply.array(2);
    reply.double(place.longitude);
    reply.double(place.latitude);
}

fn geoadd(cx: &mut KeyedWrite<'_>) -> Run {
    let mut options = AddOptions::default();
    let mut first = 2;
    while first < cx.args.len() {
        match () {
            () if cx.is_word(first, "NX") => options.only_new = true,
            () if cx.is_word(first, "XX") => options.only_present = true,
            () if cx.is_word(first, "CH") => options.counts_changes = true,
            () => break,
        }
        first += 1;
    }
    let words = cx.args.len() - first;
    if words == 0 || !words.is_multiple_of(3) || options.only_new && options.only_present {
        return Err(CommandError::SYNTAX);
    }
    let mut elements: SmallVec<[(f64, &[u8]); 8]> = SmallVec::new();
    for index in (first..cx.args.len()).step_by(3) {
        elements.push((place_at(cx, index)?.to_score(), cx.args.get(index + 2)));
    }
    add(cx, options, &elements)
}

fn place_of(set: SortedSetView<'_>, member: &[u8]) -> Option<Place> {
    set.score(member).map(Place::from_score)
}

fn geodist(cx: &mut KeyedRead<'_>) -> Run {
    let meters = match cx.args.len() {
        4 => 1.0,
        5 => unit_at(cx, 4)?,
        _ => return Err(CommandError::SYNTAX),
    };
    let key = cx.key(1);
    let set = cx.read::<SortedSet>(key)?;
    let place = |index| place_of(set?, cx.args.get(index));
    match (place(2), place(3)) {
        (Some(from), Some(to)) => reply_distance(&mut cx.reply, from.distance(to) / meters),
        _ => cx.reply.null(),
    }
    Ok(Outcome::Done)
}

fn geohash(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let set = cx.read::<SortedSet>(key)?;
    cx.reply.array(cx.args.len() - 2);
    for member in cx.args.slice(2..).iter() {
        match set.and_then(|set| place_of(set, member)) {
            Some(place) => cx.reply.bulk(&place.to_geohash()),
            None => cx.reply.null(),
        }
    }
    Ok(Outcome::Done)
}

fn geopos(cx: &mut KeyedRead<'_>) -> Run {
    let key = cx.key(1);
    let set = cx.read::<SortedSet>(key)?;
    cx.reply.array(cx.args.len() - 2);
    for member in cx.args.slice(2..).iter() {
        match set.and_then(|set| place_of(set, member)) {
            Some(place) => reply_place(&mut cx.reply, place),
            None => cx.reply.null_array(),
        }
    }
    Ok(Outcome::Done)
}

/// The center of a search by GEORADIUS and its variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    Coordinates,
    Member,
}

/// The form of the command, which decides its arguments and its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// GEORADIUS and GEORADIUSBYMEMBER. The flag is whether the result may be stored.
    Radius(Around, bool),
    Search,
    SearchAndStore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// A search, and how its result is shown.
struct Search {
    /// The area; `None` if its center is a member and the key does not exist.
    shape: Option<Shape>,
    /// The unit, in meters.
    unit: f64,
    order: Option<Order>,
    /// The most places to return; 0 for all.
    count: usize,
    /// ANY: return the first places that are found, rather than the nearest.
    any: bool,
    with_distance: bool,
    with_hash: bool,
    with_coordinates: bool,
    /// The index of the key at which the result is stored.
    destination: Option<usize>,
    /// STOREDIST: store distances as scores, rather than geohashes.
    stores_distances: bool,
}

/// A place in the result.
struct Found<'a> {
    member: Cow<'a, [u8]>,
    score: f64,
    place: Place,
    /// The distance from the center, in meters; not a number if the search [needs no distances](Search::needs_distances).
    distance: f64,
}

/// Parses a radius or a side of a box.
fn length_at<K>(cx: &Context<'_, K>, index: usize, error: &'static str) -> Result<f64, CommandError> {
    parse_f64(cx.args.get(index)).ok_or(CommandError::text(error))
}

/// Parses a radius and its unit.
fn radius_at<K>(cx: &Context<'_, K>, index: usize) -> Result<(f64, f64), CommandError> {
    let radius = length_at(cx, index, "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(CommandError::text("ERR radius cannot be negative"));
    }
    Ok((radius, unit_at(cx, index + 1)?))
}

/// Parses a box: width, height and their unit.
fn box_at<K>(cx: &Context<'_, K>, index: usize) -> Result<(f64, f64, f64), CommandError> {
    let width = length_at(cx, index, "ERR need numeric width")?;
    let height = length_at(cx, index + 1, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::text("ERR height or width cannot be negative"));
    }
    Ok((width, height, unit_at(cx, index + 2)?))
}

/// The size of the area, as the arguments give it.
enum Size {
    Radius(f64),
    Box(f64, f64),
    /// The corners of a polygon, which is the whole area.
    Corners(Vec<Place>),
}

/// Parses a polygon: the number of corners, then the corners.
fn corners_at<K>(cx: &Context<'_, K>, index: usize) -> Result<Vec<Place>, CommandError> {
    let count = cx.integer(index).ok().and_then(|count| i32::try_from(count).ok());
    let count = count.ok_or(CommandError::text("ERR invalid number of vertices"))?;
    match usize::try_from(count) {
        Ok(count @ 3..) if 2 * count < cx.args.len() - index => {
            (0..count).map(|nth| place_at(cx, index + 1 + 2 * nth)).collect()
        }
        _ => Err(CommandError::text("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices")),
    }
}

impl Search {
    /// Parses the arguments in Redis's order, since the reply is the error of the first wrong one.
    fn parse<K>(cx: &Context<'_, K>, set: Option<SortedSetView<'_>>, form: Form) -> Result<Search, CommandError> {
        let mut search = Search {
            shape: None,
            unit: 1.0,
            order: None,
            count: 0,
            any: false,
            with_distance: false,
            with_hash: false,
            with_coordinates: false,
            destination: None,
            stores_distances: false,
        };
        let member_at = |index| match set {
            Some(set) => place_of(set, cx.args.get(index)).ok_or(NO_PLACE).map(Some),
            None => Ok(None),
        };
        let (mut middle, mut size) = (None, None);
        let (mut from_member, mut from_place) = (false, false);
        let (mut by_radius, mut by_box, mut by_polygon) = (false, false, false);
        let mut index = match form {
            Form::Radius(Around::Coordinates, _) => {
                middle = Some(place_at(cx, 2)?);
                let (radius, unit) = radius_at(cx, 4)?;
                (size, search.unit) = (Some(Size::Radius(radius)), unit);
                6
            }
            Form::Radius(Around::Member, _) => {
                // If the key does not exist, Redis does not parse the member and the radius.
                if set.is_some() {
                    middle = member_at(2)?;
                    let (radius, unit) = radius_at(cx, 3)?;
                    (size, search.unit) = (Some(Size::Radius(radius)), unit);
                }
                5
            }
            Form::Search => 2,
            Form::SearchAndStore => {
                search.destination = Some(1);
                3
            }
        };
        let searches = matches!(form, Form::Search | Form::SearchAndStore);
        let may_store = matches!(form, Form::Radius(_, true));
        while index < cx.args.len() {
            let remaining = cx.args.len() - index - 1;
            let is = |word| cx.is_word(index, word);
            match () {
                () if is("WITHDIST") => search.with_distance = true,
                () if is("WITHHASH") => search.with_hash = true,
                () if is("WITHCOORD") => search.with_coordinates = true,
                () if is("ANY") => search.any = true,
                () if is("ASC") => search.order = Some(Order::Ascending),
                () if is("DESC") => search.order = Some(Order::Descending),
                () if is("COUNT") && remaining >= 1 => {
                    search.count = match usize::try_from(cx.integer(index + 1)?) {
                        Ok(count @ 1..) => count,
                        _ => return Err(CommandError::text("ERR COUNT must be > 0")),
                    };
                    index += 1;
                }
                () if may_store && remaining >= 1 && (is("STORE") || is("STOREDIST")) => {
                    search.stores_distances = is("STOREDIST");
                    search.destination = Some(index + 1);
                    index += 1;
                }
                () if searches && !from_place && !by_polygon && remaining >= 1 && is("FROMMEMBER") => {
                    middle = member_at(index + 1)?;
                    from_member = true;
                    index += 1;
                }
                () if searches && !from_member && !by_polygon && remaining >= 2 && is("FROMLONLAT") => {
                    middle = Some(place_at(cx, index + 1)?);
                    from_place = true;
                    index += 2;
                }
                () if searches && !by_box && !by_polygon && remaining >= 2 && is("BYRADIUS") => {
                    let (radius, unit) = radius_at(cx, index + 1)?;
                    (size, search.unit, by_radius) = (Some(Size::Radius(radius)), unit, true);
                    index += 2;
                }
                () if searches && !by_radius && !by_polygon && remaining >= 3 && is("BYBOX") => {
                    let (width, height, unit) = box_at(cx, index + 1)?;
                    (size, search.unit, by_box) = (Some(Size::Box(width, height)), unit, true);
                    index += 3;
                }
                // BYPOLYGON is of Valkey 9. A polygon needs no center.
                () if searches
                    && !(by_radius || by_box || from_member || from_place)
                    && remaining >= 2
                    && is("BYPOLYGON") =>
                {
                    let corners = corners_at(cx, index + 1)?;
                    index += 1 + 2 * corners.len();
                    (middle, size, by_polygon) = (corners.first().copied(), Some(Size::Corners(corners)), true);
                }
                () if form == Form::SearchAndStore && is("STOREDIST") => search.stores_distances = true,
                () => return Err(CommandError::SYNTAX),
            }
            index += 1;
        }
        let (has_middle, has_size) = (from_member || from_place || by_polygon, by_radius || by_box || by_polygon);
        search.check(cx, searches && !has_middle, searches && !has_size, form)?;
        let unit = search.unit;
        search.shape = middle.zip(size).map(|(middle, size)| match size {
            Size::Radius(radius) => Shape::Circle { middle, radius: radius * unit },
            Size::Box(width, height) => Shape::Box { middle, width: width * unit, height: height * unit },
            Size::Corners(corners) => Shape::Polygon { corners },
        });
        Ok(search)
    }

    fn check<K>(
        &self,
        cx: &Context<'_, K>,
        lacks_middle: bool,
        lacks_size: bool,
        form: Form,
    ) -> Result<(), CommandError> {
        if self.destination.is_some() && (self.with_distance || self.with_hash || self.with_coordinates) {
            let name = if form == Form::SearchAndStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(CommandError::composed(format!(
                "ERR {name} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let name = cx.args.get(0);
        if lacks_middle {
            let text = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ";
            return Err(CommandError::repeating(text, name, ""));
        }
        if lacks_size {
            let text = "ERR exactly one of BYRADIUS and BYBOX can be specified for ";
            return Err(CommandError::repeating(text, name, ""));
        }
        if self.any && self.count == 0 {
            return Err(CommandError::text("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The order of the result: without one that is requested, COUNT means the nearest places.
    fn effective_order(&self) -> Option<Order> {
        self.order.or((self.count > 0 && !self.any).then_some(Order::Ascending))
    }

    /// Returns whether the result shows distances or is ordered by them. Otherwise it suffices to know which places are inside.
    fn needs_distances(&self) -> bool {
        self.with_distance || self.stores_distances || self.effective_order().is_some()
    }

    /// The places inside the area, in the requested order and number.
    fn find<'s>(&self, set: SortedSetView<'s>) -> Vec<Found<'s>> {
        let Some(shape) = &self.shape else { return Vec::new() };
        let enough = if self.any { self.count } else { usize::MAX };
        let (inside, needs_distances) = (Inside::of(shape), self.needs_distances());
        let mut found = Vec::new();
        for (min, max) in shape.score_ranges() {
            if found.len() >= enough {
                break;
            }
            let range = ScoreRange { min, max, excludes_min: false, excludes_max: true };
            let _ = set.walk_scores(&range, |score, member| {
                let place = Place::from_score(score);
                let distance = match needs_distances {
                    true => inside.distance(place),
                    false => inside.contains(place).then_some(f64::NAN),
                };
                if let Some(distance) = distance {
                    found.push(Found { member: member_bytes(member), score, place, distance });
                }
                if found.len() >= enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        let compare = |left: &Found<'_>, right: &Found<'_>| left.distance.total_cmp(&right.distance);
        match self.effective_order() {
            Some(Order::Ascending) => found.sort_by(compare),
            Some(Order::Descending) => found.sort_by(|left, right| compare(right, left)),
            None => {}
        }
        if self.count > 0 {
            found.truncate(self.count);
        }
        found
    }

    fn reply(&self, reply: &mut ReplyWriter<'_>, found: &[Found<'_>]) {
        let extras =
            [self.with_distance, self.with_hash, self.with_coordinates].into_iter().filter(|with| *with).count();
        reply.array(found.len());
        for one in found {
            if extras > 0 {
                reply.array(1 + extras);
            }
            reply_element(reply, Element::Bytes(&one.member));
            if self.with_distance {
                reply_distance(reply, one.distance / self.unit);
            }
            if self.with_hash {
                reply.integer(one.score as i64);
            }
            if self.with_coordinates {
                reply_place(reply, one.place);
            }
        }
    }
}

fn search_and_reply(cx: &mut KeyedRead<'_>, form: Form) -> Run {
    let key = cx.key(1);
    let set = cx.read::<SortedSet>(key)?;
    let search = Search::parse(cx, set, form)?;
    let found = set.map_or_else(Vec::new, |set| search.find(set));
    search.reply(&mut cx.reply, &found);
    Ok(Outcome::Done)
}

/// Searches, and replies with the result or stores it.
fn search_or_store(cx: &mut KeyedWrite<'_>, key: usize, form: Form, event: &'static str) -> Run {
    let (key, limits, database) = (cx.key(key), limits(cx.core), cx.db());
    source(cx, key)?;
    let set = match cx.keys.peek(database, key) {
        Some(entry) => Some(entry.collection::<SortedSet>()?),
        None => None,
    };
    let search = Search::parse(cx, set, form)?;
    let found = set.map_or_else(Vec::new, |set| search.find(set));
    let Some(destination) = search.destination else {
        search.reply(&mut cx.reply, &found);
        return Ok(Outcome::Done);
    };
    let score = |one: &Found<'_>| if search.stores_distances { one.distance / search.unit } else { one.score };
    let mut elements: Vec<_> = found.iter().map(|one| (score(one), &one.member)).collect();
    elements.sort_by(|left, right| left.1.cmp(right.1));
    // An area may be so large that it overlaps itself around the globe, and a place is found twice.
    elements.dedup_by(|left, right| left.1 == right.1);
    let count = found.len();
    let result = SortedSet::from_elements(elements, &limits);
    let destination = cx.key(destination);
    store_result(cx, destination, result, event);
    if count > 0 {
        cx.effects.count_as(count);
    }
    cx.reply.integer(count as i64);
    Ok(Outcome::Done)
}

fn radius(cx: &mut KeyedWrite<'_>, around: Around) -> Run {
    search_or_store(cx, 1, Form::Radius(around, true), "georadiusstore")
}

fn radius_read(cx: &mut KeyedRead<'_>, around: Around) -> Run {
    search_and_reply(cx, Form::Radius(around, false))
}

fn geosearch(cx: &mut KeyedRead<'_>) -> Run {
    search_and_reply(cx, Form::Search)
}

fn geosearchstore(cx: &mut KeyedWrite<'_>) -> Run {
    search_or_store(cx, 2, Form::SearchAndStore, "geosearchstore")
}
