//! Geo indexes: places on the earth as scores of a sorted set, which are geohashes of 52 bits, and searches around a place.
//!
//! ```text
//! longitude, latitude ──▶ two numbers of 26 bits ──▶ their bits interleaved: … x1 y1 x0 y0
//! ```
//!
//! All places whose geohashes have the same prefix lie in one cell of a grid, and a cell is a range of scores. A search chooses a grid
//! whose cells are about as large as the searched shape. It looks at each place in the cell of the shape's middle and in the eight
//! neighbours. All steps, and their order, are those of Redis (`geohash.c` and `geohash_helper.c`), since the digits of the replies depend
//! on them.

use std::f64::consts::PI;

/// The greatest longitude of a place, in degrees. The least is its negative.
pub const LONGITUDE_MAX: f64 = 180.0;
/// The greatest latitude of a place, in degrees: the limit of the Mercator projection. The least is its negative.
pub const LATITUDE_MAX: f64 = 85.05112878;

const EARTH_RADIUS_METERS: f64 = 6372797.560856;
/// Half the width of the Mercator projection, in meters.
const MERCATOR_MAX: f64 = 20037726.37;
/// The bits of each coordinate in a score. (Redis: `GEO_STEP_MAX`)
const STEPS_MAX: u32 = 26;
/// The digits of a geohash's text.
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
/// A degree in radians.
const DEGREE: f64 = PI / 180.0;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The longitude, in degrees to the east.
    pub longitude: f64,
    /// The latitude, in degrees to the north.
    pub latitude: f64,
}

/// The shape of a search. Lengths are in meters. (Redis: the GEOSEARCH page)
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// BYRADIUS.
    Circle {
        /// The circle's middle.
        middle: Place,
        /// The circle's radius.
        radius: f64,
    },
    /// BYBOX.
    Box {
        /// The box's middle.
        middle: Place,
        /// The length from west to east.
        width: f64,
        /// The length from south to north.
        height: f64,
    },
    /// A polygon on a flat map of longitudes and latitudes.
    Polygon {
        /// The corners, in order; at least three.
        corners: Vec<Place>,
    },
}

/// A cell of the grid with `steps` bits for each coordinate. `bits` has those of both, interleaved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    bits: u64,
    steps: u32,
}

/// A range of longitudes or of latitudes, in degrees.
#[derive(Clone, Copy, Debug)]
struct Range {
    min: f64,
    max: f64,
}

/// The area that a cell covers, or that encloses a shape.
#[derive(Clone, Copy, Debug)]
struct Area {
    longitude: Range,
    latitude: Range,
}

const LONGITUDES: Range = Range { min: -LONGITUDE_MAX, max: LONGITUDE_MAX };
const LATITUDES: Range = Range { min: -LATITUDE_MAX, max: LATITUDE_MAX };

impl Place {
    /// Returns whether the place can be kept as a score.
    pub fn is_valid(self) -> bool {
        (-LONGITUDE_MAX..=LONGITUDE_MAX).contains(&self.longitude)
            && (-LATITUDE_MAX..=LATITUDE_MAX).contains(&self.latitude)
    }

    /// Returns the place's geohash, as a score.
    pub fn to_score(self) -> f64 {
        Cell::around(self, LONGITUDES, LATITUDES, STEPS_MAX).bits as f64
    }

    /// Returns the middle of the cell of a score. The score may be any number.
    pub fn from_score(score: f64) -> Place {
        let Area { longitude, latitude } = Cell { bits: unsigned(score), steps: STEPS_MAX }.area();
        Place {
            longitude: ((longitude.min + longitude.max) / 2.0).clamp(-LONGITUDE_MAX, LONGITUDE_MAX),
            latitude: ((latitude.min + latitude.max) / 2.0).clamp(-LATITUDE_MAX, LATITUDE_MAX),
        }
    }

    /// Returns the standard text of the geohash: eleven digits, of which the last is always `0`. Its latitudes range from pole to pole,
    /// unlike those of a score.
    pub fn to_geohash(self) -> [u8; 11] {
        let bits = Cell::around(self, LONGITUDES, Range { min: -90.0, max: 90.0 }, STEPS_MAX).bits;
        std::array::from_fn(|index| {
            let letter = if index == 10 { 0 } else { bits >> (52 - (index + 1) * 5) & 0x1f };
            ALPHABET[letter as usize]
        })
    }

    /// Returns the distance between two places in meters, on a sphere, by the haversine formula.
    pub fn distance(self, other: Place) -> f64 {
        self.distance_with(other, || (self.latitude * DEGREE).cos())
    }

    /// As [`Place::distance`], for a caller that may know the cosine of the place's own latitude already.
    #[inline]
    fn distance_with(self, other: Place, own_cosine: impl FnOnce() -> f64) -> f64 {
        match self.haversine(other, own_cosine) {
            Some(haversine) => 2.0 * EARTH_RADIUS_METERS * haversine.sqrt().asin(),
            None => latitude_distance(self.latitude, other.latitude),
        }
    }

    /// The haversine of the angle between two places, which grows with their distance; `None` if they are on one meridian.
    #[inline]
    fn haversine(self, other: Place, own_cosine: impl FnOnce() -> f64) -> Option<f64> {
        let (from, to) = (self.longitude * DEGREE, other.longitude * DEGREE);
        let v = ((to - from) / 2.0).sin();
        if v == 0.0 {
            return None;
        }
        let (from, to) = (self.latitude * DEGREE, other.latitude * DEGREE);
        let u = ((to - from) / 2.0).sin();
        Some(u * u + own_cosine() * to.cos() * v * v)
    }
}

/// A shape, with the values that are computed once for all places that are compared with it.
pub struct Inside<'s> {
    shape: &'s Shape,
    middle: Place,
    /// The cosine of the middle's latitude.
    cosine: f64,
    /// For a circle, how many degrees a place inside may be away from the middle; else infinity.
    reach: Place,
    /// For a circle of less than half the globe, the haversine of its radius; else not a number.
    haversine: f64,
}

impl<'s> Inside<'s> {
    /// Prepares a shape.
    pub fn of(shape: &'s Shape) -> Inside<'s> {
        let (middle, cosine) = (shape.middle(), (shape.middle().latitude * DEGREE).cos());
        let mut reach = Place { longitude: f64::INFINITY, latitude: f64::INFINITY };
        let mut haversine = f64::NAN;
        if let Shape::Circle { radius, .. } = *shape {
            // The radius is taken slightly too large, so that places near the edge are compared exactly.
            let radius = radius * (1.0 + 1e-9) + 1e-3;
            reach.latitude = radius / EARTH_RADIUS_METERS / DEGREE;
            // The haversine of a distance is at least that of the difference in longitude on the parallel of the circle that is nearest to a
            // pole.
            let latitude_max = middle.latitude.abs() + reach.latitude;
            let half = (radius / EARTH_RADIUS_METERS / 2.0).sin();
            let of_radius = half * half;
            let of_longitudes = of_radius / (cosine * (latitude_max * DEGREE).cos());
            if latitude_max < 89.0 && of_longitudes < 1.0 {
                reach.longitude = 2.0 * of_longitudes.sqrt().asin() / DEGREE;
                haversine = of_radius;
            }
        }
        Inside { shape, middle, cosine, reach, haversine }
    }

    /// Returns whether a place may be inside: `false` for most places that are not, without a trigonometric function.
    #[inline]
    fn is_near(&self, place: Place) -> bool {
        let apart = (place.longitude - self.middle.longitude).abs();
        (place.latitude - self.middle.latitude).abs() <= self.reach.latitude
            && apart.min(360.0 - apart) <= self.reach.longitude
    }

    /// Returns whether a place is inside the shape: whether it has a [distance](Inside::distance), which this function rarely computes.
    #[inline]
    pub fn contains(&self, place: Place) -> bool {
        if !self.is_near(place) {
            return false;
        }
        if matches!(self.shape, Shape::Circle { .. })
            && let Some(haversine) = self.middle.haversine(place, || self.cosine)
        {
            // `self.haversine` is of a radius that is slightly too large. The haversine of the exact radius is less by at most this: the
            // difference of the radii times the slope, which is below the square root of the haversine.
            let doubt = self.haversine * 1e-8 + 2e-3 / EARTH_RADIUS_METERS * self.haversine.sqrt();
            if haversine > self.haversine {
                return false;
            }
            if haversine < self.haversine - doubt {
                return true;
            }
        }
        self.distance(place).is_some()
    }

    /// Returns the distance of a place from the middle in meters, if the place is inside the shape.
    #[inline]
    pub fn distance(&self, place: Place) -> Option<f64> {
        if !self.is_near(place) {
            return None;
        }
        match *self.shape {
            Shape::Circle { middle, radius } => {
                let distance = middle.distance_with(place, || self.cosine);
                (distance <= radius).then_some(distance)
            }
            Shape::Box { middle, width, height } => {
                if latitude_distance(place.latitude, middle.latitude) > height / 2.0 {
                    return None;
                }
                let beside = Place { longitude: middle.longitude, latitude: place.latitude };
                if place.distance(beside) > width / 2.0 {
                    return None;
                }
                Some(middle.distance(place))
            }
            Shape::Polygon { ref corners } => is_inside(corners, place).then(|| self.middle.distance(place)),
        }
    }
}

/// Returns the distance of two places on one meridian in meters.
fn latitude_distance(from: f64, to: f64) -> f64 {
    EARTH_RADIUS_METERS * (to * DEGREE - from * DEGREE).abs()
}

/// Converts a double to an unsigned integer as C does on x86, for any double.
fn unsigned(score: f64) -> u64 {
    const TOP: f64 = 9223372036854775808.0;
    let truncated = |value: f64| {
        if (-TOP..TOP).contains(&value) { value as i64 } else { i64::MIN }
    };
    if score < TOP { truncated(score) as u64 } else { truncated(score - TOP) as u64 ^ 1 << 63 }
}

impl Shape {
    fn middle(&self) -> Place {
        match *self {
            Shape::Circle { middle, .. } | Shape::Box { middle, .. } => middle,
            Shape::Polygon { ref corners } => mean(corners),
        }
    }

    /// Returns an area that encloses the shape.
    fn bounds(&self) -> Area {
        let Place { longitude, latitude } = self.middle();
        let (width, height) = match *self {
            Shape::Circle { radius, .. } => (radius, radius),
            Shape::Box { width, height, .. } => (width / 2.0, height / 2.0),
            Shape::Polygon { ref corners } => {
                let range = |of: fn(&Place) -> f64| Range {
                    min: corners.iter().map(of).fold(f64::INFINITY, f64::min),
                    max: corners.iter().map(of).fold(f64::NEG_INFINITY, f64::max),
                };
                return Area { longitude: range(|place| place.longitude), latitude: range(|place| place.latitude) };
            }
        };
        let degrees = |radians: f64| radians / DEGREE;
        let latitude_delta = degrees(height / EARTH_RADIUS_METERS);
        let at_top = degrees(width / EARTH_RADIUS_METERS / ((latitude + latitude_delta) * DEGREE).cos());
        let at_bottom = degrees(width / EARTH_RADIUS_METERS / ((latitude - latitude_delta) * DEGREE).cos());
        let longitude_delta = if latitude < 0.0 { at_bottom } else { at_top };
        Area {
            longitude: Range { min: longitude - longitude_delta, max: longitude + longitude_delta },
            latitude: Range { min: latitude - latitude_delta, max: latitude + latitude_delta },
        }
    }

    /// Returns the radius of a circle that encloses the shape, in meters.
    fn radius(&self) -> f64 {
        match *self {
            Shape::Circle { radius, .. } => radius,
            Shape::Box { width, height, .. } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
            Shape::Polygon { .. } => {
                let (middle, Area { longitude, latitude }) = (self.middle(), self.bounds());
                let corners = [longitude.min, longitude.max]
                    .map(|longitude| [latitude.min, latitude.max].map(|latitude| Place { longitude, latitude }));
                corners.into_iter().flatten().map(|corner| middle.distance(corner)).fold(0.0, f64::max)
            }
        }
    }

    /// Returns ranges of scores that have all places inside the shape. The lower bound of a range belongs to it, the upper one does not.
    pub fn score_ranges(&self) -> Vec<(f64, f64)> {
        let mut found: Vec<(f64, f64)> = Vec::with_capacity(9);
        let mut last: Option<Cell> = None;
        for (index, cell) in self.cells().into_iter().enumerate() {
            if cell == Cell::default() {
                continue;
            }
            // Neighbours of a very large cell may be the same cell. As on Redis, a neighbour that is the cell of the middle itself is
            // searched again.
            if last == Some(cell) {
                continue;
            }
            let shift = 52 - cell.steps * 2;
            found.push(((cell.bits << shift) as f64, ((cell.bits + 1) << shift) as f64));
            last = (index > 0).then_some(cell);
        }
        found
    }

    /// Returns the cell of the middle and its neighbours. A neighbour that does not touch the shape is the default cell.
    fn cells(&self) -> [Cell; 9] {
        let (middle, bounds) = (self.middle(), self.bounds());
        let mut steps = steps_for(self.radius(), middle.latitude);
        let at = |steps: u32| Cell::around(middle, LONGITUDES, LATITUDES, steps);
        let mut cell = at(steps);
        let is_too_small = cell.moved(0, 1).area().latitude.max < bounds.latitude.max
            || cell.moved(0, -1).area().latitude.min > bounds.latitude.min
            || cell.moved(1, 0).area().longitude.max < bounds.longitude.max
            || cell.moved(-1, 0).area().longitude.min > bounds.longitude.min;
        if steps > 1 && is_too_small {
            steps -= 1;
            cell = at(steps);
        }
        let area = cell.area();
        // In Redis's order: the middle, north, south, east, west, then the corners.
        let offsets = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        offsets.map(|(x, y)| {
            let is_useless = steps >= 2
                && (y == -1 && area.latitude.min < bounds.latitude.min
                    || y == 1 && area.latitude.max > bounds.latitude.max
                    || x == -1 && area.longitude.min < bounds.longitude.min
                    || x == 1 && area.longitude.max > bounds.longitude.max);
            if is_useless { Cell::default() } else { cell.moved(x, y) }
        })
    }
}

/// Returns the centroid of places on a sphere: the direction of the mean of their directions.
fn mean(places: &[Place]) -> Place {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for place in places {
        let (longitude, latitude) = (place.longitude * DEGREE, place.latitude * DEGREE);
        x += latitude.cos() * longitude.cos();
        y += latitude.cos() * longitude.sin();
        z += latitude.sin();
    }
    let count = places.len() as f64;
    let (x, y, z): (f64, f64, f64) = (x / count, y / count, z / count);
    Place { longitude: y.atan2(x) / DEGREE, latitude: z.atan2((x * x + y * y).sqrt()) / DEGREE }
}

/// Returns whether a place is inside a polygon: a ray to the east crosses its sides an odd number of times.
fn is_inside(corners: &[Place], place: Place) -> bool {
    let before = corners.last().into_iter().chain(corners);
    let crossings = corners.iter().zip(before).filter(|(corner, before)| {
        (corner.latitude > place.latitude) != (before.latitude > place.latitude)
            && place.longitude
                < (before.longitude - corner.longitude) * (place.latitude - corner.latitude)
                    / (before.latitude - corner.latitude)
                    + corner.longitude
    });
    crossings.count() % 2 == 1
}

/// Returns the number of bits for each coordinate with which cells are about as large as the radius. (Redis: `geohashEstimateStepsByRadius`)
fn steps_for(mut radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return STEPS_MAX;
    }
    let mut steps = 1;
    while radius < MERCATOR_MAX {
        radius *= 2.0;
        steps += 1;
    }
    steps -= 2;
    // Cells are narrower near the poles, where the meridians converge.
    if !(-66.0..=66.0).contains(&latitude) {
        steps -= 1;
        if !(-80.0..=80.0).contains(&latitude) {
            steps -= 1;
        }
    }
    steps.clamp(1, STEPS_MAX as i32) as u32
}

impl Cell {
    /// Returns the cell of a place.
    fn around(place: Place, longitudes: Range, latitudes: Range, steps: u32) -> Cell {
        let offset = |value: f64, range: Range| {
            let scaled = (value - range.min) / (range.max - range.min) * (1u64 << steps) as f64;
            scaled as u32
        };
        let bits = interleave(offset(place.latitude, latitudes), offset(place.longitude, longitudes));
        Cell { bits, steps }
    }

    /// Returns the area that the cell covers.
    fn area(self) -> Area {
        let (latitude, longitude) = (gather(self.bits), gather(self.bits >> 1));
        let part =
            |range: Range, offset: f64| range.min + offset / (1u64 << self.steps) as f64 * (range.max - range.min);
        let range = |range: Range, offset: u32| Range {
            min: part(range, f64::from(offset)),
            max: part(range, f64::from(offset.wrapping_add(1))),
        };
        Area { longitude: range(LONGITUDES, longitude), latitude: range(LATITUDES, latitude) }
    }

    /// Returns a neighbour; `x` and `y` are −1, 0 or 1. The grid wraps around at its edges.
    fn moved(self, x: i8, y: i8) -> Cell {
        const LONGITUDE_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        const LATITUDE_BITS: u64 = 0x5555_5555_5555_5555;
        let unused = 64 - self.steps * 2;
        let step = |own: u64, other: u64, by: i8| match by {
            0 => self.bits & own,
            // The other coordinate's bits are all set, so that a carry passes through them.
            1 => (self.bits & own).wrapping_add((other >> unused) + 1) & (own >> unused),
            _ => (self.bits & own | other >> unused).wrapping_sub((other >> unused) + 1) & (own >> unused),
        };
        let bits = step(LONGITUDE_BITS, LATITUDE_BITS, x) | step(LATITUDE_BITS, LONGITUDE_BITS, y);
        Cell { bits, ..self }
    }
}

/// Interleaves the bits of two numbers; the lowest bit is one of `even`.
fn interleave(even: u32, odd: u32) -> u64 {
    spread(even) | spread(odd) << 1
}

/// Puts a zero above each bit of a number.
fn spread(value: u32) -> u64 {
    let mut value = u64::from(value);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        value = (value | value << shift) & mask;
    }
    value
}

/// Returns every second bit of a number, beginning with the lowest.
fn gather(value: u64) -> u32 {
    let mut value = value & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        value = (value | value >> shift) & mask;
    }
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places that are excluded without a distance must be those whose distance is too great.
    #[test]
    fn a_circle_has_the_places_within_its_radius() {
        let mut state = 1u64;
        let mut random = |max: f64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0) * max
        };
        let (mut inside, mut outside) = (0, 0);
        for _ in 0..2000 {
            let middle = Place { longitude: random(180.0), latitude: random(LATITUDE_MAX) };
            let radius = 10f64.powf(4.0 + random(3.4));
            let shape = Shape::Circle { middle, radius };
            let search = Inside::of(&shape);
            let degrees = (radius / 111_000.0).min(180.0) * 1.5;
            for _ in 0..50 {
                let stretched = degrees / (middle.latitude * DEGREE).cos();
                let mut longitude = middle.longitude + random(stretched.min(180.0));
                longitude -= (longitude / 360.0).round() * 360.0;
                let place = Place {
                    longitude,
                    latitude: (middle.latitude + random(degrees)).clamp(-LATITUDE_MAX, LATITUDE_MAX),
                };
                let distance = middle.distance(place);
                let expected = (distance <= radius).then_some(distance);
                assert_eq!(search.distance(place), expected, "{place:?} of {shape:?}");
                assert_eq!(search.contains(place), expected.is_some(), "{place:?} in {shape:?}");
                if expected.is_some() {
                    inside += 1
                } else {
                    outside += 1
                }
                // A circle through the place, and one that just fails to reach it.
                for radius in [distance, distance.next_down()] {
                    let shape = Shape::Circle { middle, radius };
                    assert_eq!(Inside::of(&shape).contains(place), distance <= radius, "{place:?} in {shape:?}");
                }
            }
        }
        assert!(inside > 10_000 && outside > 10_000, "{inside} inside, {outside} outside");
    }
}
