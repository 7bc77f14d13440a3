//! The random numbers of scripts: those of C's `lrand48`, which go on from script to script. (Redis: `rand.c`)

use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Value};

use crate::{
    Shared,
    library::{Failure, bad_argument, one, wrapped},
};

/// The generator of C's `lrand48`.
#[derive(Clone, Copy)]
pub struct Random(u64);

impl Default for Random {
    fn default() -> Random {
        Random(0x1234_abcd_330e)
    }
}

impl Random {
    fn seeded(seed: i32) -> Random {
        Random(u64::from(seed as u32) << 16 | 0x330e)
    }

    /// The next number, of 31 bits.
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & 0xffff_ffff_ffff;
        (self.0 >> 17) as u32
    }
}

/// `math.random`.
pub fn random(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Function> {
    let shared = shared.clone();
    wrapped(lua, move |_, args| {
        const MAX: u32 = i32::MAX as u32;
        let mut random = shared.random.get();
        let fraction = f64::from(random.next() % MAX) / f64::from(MAX);
        shared.random.set(random);
        let empty = |index| bad_argument(index, "random", "interval is empty");
        let between = |low: f64, high: f64| one(Value::Number((fraction * (high - low + 1.0)).floor() + low));
        match args.len() {
            0 => one(Value::Number(fraction)),
            1 => {
                let high = args.integer("random", 1)? as f64;
                if high < 1.0 { Err(empty(1)) } else { between(1.0, high) }
            }
            2 => {
                let (low, high) = (args.integer("random", 1)? as f64, args.integer("random", 2)? as f64);
                if low > high { Err(empty(2)) } else { between(low, high) }
            }
            _ => Err(Failure::Text("wrong number of arguments".to_owned())),
        }
    })
}

/// `math.randomseed`.
pub fn randomseed(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Function> {
    let shared = shared.clone();
    wrapped(lua, move |_, args| {
        shared.random.set(Random::seeded(args.integer("randomseed", 1)? as i32));
        Ok(MultiValue::new())
    })
}
