//! The rows of collections, bitmaps and HyperLogLogs: the commands that are measured, and the data that they work on.
//!
//! A command that redis-benchmark has is measured as there: all clients work on one key. Rows with `small` in their names have many keys with
//! a few elements each.

use super::throughput::{Data, Preparation, Row};

/// The number of elements of a large collection. Requests draw their numbers below it.
const LARGE: usize = 1_000_000;
/// The number of small collections.
const SMALL: usize = 100_000;

struct Shape {
    name: &'static str,
    /// The command, its words separated by spaces. `@` stands for a random number, `%` for a value of 64 bytes.
    command: &'static str,
    /// Random numbers are below this.
    drawn: usize,
    requests: usize,
    data: &'static [Preparation],
}

const SHAPES: &[Shape] = &[
    Shape { name: "LPUSH-p16", command: "LPUSH list %", drawn: 1, requests: LARGE, data: &[] },
    Shape { name: "RPUSH-p16", command: "RPUSH list %", drawn: 1, requests: LARGE, data: &[] },
    Shape { name: "LPOP-p16", command: "LPOP list", drawn: 1, requests: LARGE, data: &[LARGE_LIST] },
    Shape { name: "RPOP-p16", command: "RPOP list", drawn: 1, requests: LARGE, data: &[LARGE_LIST] },
    Shape { name: "LPUSH-small-p16", command: "LPUSH list:@ item", drawn: SMALL, requests: LARGE, data: &[] },
    Shape { name: "RPOP-small-p16", command: "RPOP list:@", drawn: SMALL, requests: LARGE, data: &[SMALL_LISTS] },
    Shape { name: "LRANGE-100-p16", command: "LRANGE list 0 99", drawn: 1, requests: 200_000, data: &[LONG_LIST] },
    Shape { name: "LRANGE-600-p16", command: "LRANGE list 0 599", drawn: 1, requests: 50_000, data: &[LONG_LIST] },
    Shape { name: "HSET-p16", command: "HSET hash element:@ %", drawn: LARGE, requests: LARGE, data: &[] },
    Shape { name: "HGET-p16", command: "HGET hash element:@", drawn: LARGE, requests: LARGE, data: &[LARGE_HASH] },
    Shape {
        name: "HSET-small-p16",
        command: "HSET hash:@ field:3 v",
        drawn: SMALL,
        requests: LARGE,
        data: &[SMALL_HASHES],
    },
    Shape {
        name: "HGET-small-p16",
        command: "HGET hash:@ field:3",
        drawn: SMALL,
        requests: LARGE,
        data: &[SMALL_HASHES],
    },
    Shape { name: "HGETALL-10-p16", command: "HGETALL hash:@", drawn: SMALL, requests: 500_000, data: &[SMALL_HASHES] },
    Shape { name: "SADD-p16", command: "SADD set element:@", drawn: LARGE, requests: LARGE, data: &[] },
    Shape {
        name: "SISMEMBER-p16",
        command: "SISMEMBER set element:@",
        drawn: LARGE,
        requests: LARGE,
        data: &[LARGE_SET],
    },
    Shape { name: "SADD-small-p16", command: "SADD set:@ element:@", drawn: SMALL, requests: LARGE, data: &[] },
    Shape { name: "SINTER-100k", command: "SINTER set:a set:b", drawn: 1, requests: 200, data: &[TWO_SETS] },
    Shape { name: "ZADD-p16", command: "ZADD zset @ element:@", drawn: LARGE, requests: LARGE, data: &[] },
    Shape { name: "ZADD-small-p16", command: "ZADD zset:@ @ element:@", drawn: SMALL, requests: LARGE, data: &[] },
    Shape { name: "ZRANK-p16", command: "ZRANK zset element:@", drawn: LARGE, requests: LARGE, data: &[LARGE_ZSET] },
    Shape { name: "ZSCORE-p16", command: "ZSCORE zset element:@", drawn: LARGE, requests: LARGE, data: &[LARGE_ZSET] },
    Shape {
        name: "ZRANGE-10-p16",
        command: "ZRANGE zset 500000 500009",
        drawn: 1,
        requests: 2_000_000,
        data: &[LARGE_ZSET],
    },
    Shape {
        name: "ZRANGE-100-p16",
        command: "ZRANGE zset 500000 500099",
        drawn: 1,
        requests: 600_000,
        data: &[LARGE_ZSET],
    },
    Shape { name: "ZPOPMIN-p16", command: "ZPOPMIN zset", drawn: 1, requests: LARGE, data: &[LARGE_ZSET] },
    Shape { name: "XADD-p16", command: "XADD stream MAXLEN ~ 100000 * f %", drawn: 1, requests: LARGE, data: &[] },
    Shape {
        name: "XREAD-10-p16",
        command: "XREAD COUNT 10 STREAMS stream 50000-1",
        drawn: 1,
        requests: 200_000,
        data: &[STREAM],
    },
    Shape {
        name: "GEOSEARCH-p16",
        command: "GEOSEARCH places FROMLONLAT 15 37 BYRADIUS 10 km",
        drawn: 1,
        requests: 400_000,
        data: &[PLACES],
    },
    Shape { name: "PFADD-p16", command: "PFADD hll element:@", drawn: LARGE, requests: LARGE, data: &[] },
    Shape { name: "PFADD-small-p16", command: "PFADD hll:@ element:@", drawn: SMALL, requests: LARGE, data: &[] },
    Shape { name: "SETBIT-p16", command: "SETBIT bits 500000 1", drawn: 1, requests: LARGE, data: &[] },
    Shape { name: "SETBIT-small-p16", command: "SETBIT bits:@ 100 1", drawn: SMALL, requests: LARGE, data: &[] },
    Shape { name: "BITCOUNT-1MB-p16", command: "BITCOUNT bits", drawn: 1, requests: 50_000, data: &[MEGABYTE] },
];

const LARGE_LIST: Preparation =
    Preparation { count: LARGE / 100, command: |_| repeated("RPUSH list", 100, |_| vec!["x".repeat(64)]) };
const SMALL_LISTS: Preparation = Preparation {
    count: SMALL,
    command: |key| repeated(&format!("RPUSH list:{key:012}"), 20, |number| vec![format!("item:{number}")]),
};
const LONG_LIST: Preparation =
    Preparation { count: 10, command: |_| repeated("RPUSH list", 100, |number| vec![format!("item:{number:011}")]) };
const LARGE_HASH: Preparation = Preparation {
    count: LARGE / 100,
    command: |part| repeated("HSET hash", 100, |number| vec![element(part * 100 + number), "x".repeat(64)]),
};
const SMALL_HASHES: Preparation = Preparation {
    count: SMALL,
    command: |key| {
        repeated(&format!("HSET hash:{key:012}"), 10, |number| {
            vec![format!("field:{number}"), format!("value:{number}")]
        })
    },
};
const LARGE_SET: Preparation = Preparation {
    count: LARGE / 100,
    command: |part| repeated("SADD set", 100, |number| vec![element(part * 100 + number)]),
};
/// Two sets of 100,000 members each, with 1,000 members in common.
const TWO_SETS: Preparation = Preparation {
    count: 2_000,
    command: |part| {
        let (name, offset) = if part < 1_000 { ("SADD set:a", 0) } else { ("SADD set:b", 99_000) };
        repeated(name, 100, |number| vec![element(part % 1_000 * 100 + number + offset)])
    },
};
const LARGE_ZSET: Preparation = Preparation {
    count: LARGE / 100,
    command: |part| {
        repeated("ZADD zset", 100, |number| {
            let number = part * 100 + number;
            // The order of the scores differs from that of the members.
            vec![(number * 7919 % LARGE).to_string(), element(number)]
        })
    },
};
const STREAM: Preparation = Preparation {
    count: 100_000,
    command: |number| words(&format!("XADD stream {}-1 f {}", number + 1, "x".repeat(64))),
};
/// Ten thousand places, about ten of them within ten kilometres of the one that is searched from.
const PLACES: Preparation = Preparation {
    count: 100,
    command: |part| {
        repeated("GEOADD places", 100, |number| {
            let number = part * 100 + number;
            let along = |factor: usize, width: f64| (number * factor % 10_007) as f64 / 10_007.0 * width;
            vec![
                format!("{:.6}", 12.0 + along(7919, 6.0)),
                format!("{:.6}", 34.0 + along(104_729, 6.0)),
                format!("place:{number}"),
            ]
        })
    },
};
const MEGABYTE: Preparation = Preparation {
    count: 1,
    command: |_| {
        let bytes = (0..1u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8);
        vec![b"SET".to_vec(), b"bits".to_vec(), bytes.collect()]
    },
};

pub fn rows() -> Vec<Row> {
    SHAPES.iter().map(Shape::row).collect()
}

impl Shape {
    fn row(&self) -> Row {
        // Rows with long replies have few clients and no pipeline, so that the replies do not fill the sockets' buffers.
        let (clients, pipeline) = if self.name.ends_with("-p16") { ("50", "16") } else { ("5", "1") };
        let drawn = self.drawn.to_string();
        let mut arguments = ["-r", &drawn, "-c", clients, "-P", pipeline].map(str::to_string).to_vec();
        arguments.extend(self.command.split(' ').map(|word| match word {
            "%" => "x".repeat(64),
            word => word.replace('@', "__rand_int__"),
        }));
        let (name, requests) = (self.name.to_string(), self.requests as u64);
        Row { name, arguments, requests, unix_socket: false, data: Data::Made(self.data) }
    }
}

/// An element as redis-benchmark writes it: its random numbers have twelve digits.
fn element(number: usize) -> String {
    format!("element:{number:012}")
}

fn words(text: &str) -> Vec<Vec<u8>> {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// A command, followed by the words of `count` elements.
fn repeated(command: &str, count: usize, element: impl Fn(usize) -> Vec<String>) -> Vec<Vec<u8>> {
    let elements = (0..count).flat_map(element).map(String::into_bytes);
    words(command).into_iter().chain(elements).collect()
}
