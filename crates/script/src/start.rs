//! How a script starts: its keys and arguments, its call, and its errors, as one protected step.
//!
//! As in `call.rs`, an error of Lua leaves these functions without running destructors, so nothing on their frames has one.

use std::ffi::c_int;

use mlua::ffi;
use ochre_resp::Args;

use crate::{Kind, reply};

/// Gives a script its keys and arguments, and runs it. The stack holds the five values that [`crate::Engine::run_limited`] passes. In their place it leaves
/// whether the script ended, and its result or error.
///
/// # Safety
/// `state` is that of a protected call, in which errors leave this function without running destructors.
pub unsafe fn start(state: *mut ffi::lua_State, kind: Kind, keys: Args<'_>, arguments: Args<'_>) {
    const ON_ERROR: c_int = 1;
    const PROTECTED: c_int = 2;
    const CLEAN: c_int = 3;
    const GLOBALS: c_int = 4;
    // SAFETY: Lua has room for 20 values beside those that are on the stack.
    unsafe {
        let parameters = match kind {
            Kind::Scripts => {
                for (name, words) in [("KEYS", keys), ("ARGV", arguments)] {
                    reply::push_bytes(state, name.as_bytes());
                    push_words(state, words);
                    ffi::lua_rawset(state, GLOBALS);
                }
                0
            }
            Kind::Functions => {
                push_words(state, keys);
                push_words(state, arguments);
                2
            }
        };
        let has_ended = ffi::lua_pcall(state, parameters, 1, ON_ERROR) == ffi::LUA_OK;
        if !are_empty(state, PROTECTED) {
            ffi::lua_pushvalue(state, CLEAN);
            ffi::lua_call(state, 0, 0);
        }
        ffi::lua_pushboolean(state, c_int::from(has_ended));
        ffi::lua_replace(state, ON_ERROR);
        ffi::lua_replace(state, PROTECTED);
        ffi::lua_settop(state, PROTECTED);
    }
}

/// Whether all tables of a sequence of tables are empty.
///
/// # Safety
/// As for [`start`]. `index` is that of the sequence.
unsafe fn are_empty(state: *mut ffi::lua_State, index: c_int) -> bool {
    // SAFETY: two values are on the stack at most; nothing is allocated.
    unsafe {
        let top = ffi::lua_gettop(state);
        let count = ffi::lua_rawlen(state, index) as i64;
        let is_empty = (1..=count).all(|number| {
            ffi::lua_rawgeti(state, index, number);
            ffi::lua_pushnil(state);
            let is_empty = ffi::lua_next(state, -2) == 0;
            ffi::lua_settop(state, top);
            is_empty
        });
        ffi::lua_settop(state, top);
        is_empty
    }
}

/// Puts a table of words on the stack.
///
/// # Safety
/// As for [`start`].
unsafe fn push_words(state: *mut ffi::lua_State, words: Args<'_>) {
    // SAFETY: two values are on the stack at most.
    unsafe {
        ffi::lua_createtable(state, words.len() as c_int, 0);
        for (index, word) in (1..).zip(words.iter()) {
            reply::push_bytes(state, word);
            ffi::lua_rawseti(state, -2, index);
        }
    }
}
