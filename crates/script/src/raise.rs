//! C functions that raise the errors which other functions return.
//!
//! A function of Rust cannot raise a value of Lua by itself: mlua turns its error into an object of its own. And a function of Lua in between
//! would take its caller's place on the stack in `return f()`, so that the error could not name the caller's line.

use std::ffi::c_int;

use mlua::{Function, Lua, ffi};

/// What the wrapped function returns.
#[derive(Clone, Copy)]
pub enum Kind {
    /// True and its results, or false and a text, which is raised with the caller's line.
    Text,
    /// False and its results, or true and a value, which is raised as it is.
    AnyValue,
}

/// Returns the function of Lua that wraps another one.
pub fn wrap(lua: &Lua, kind: Kind) -> mlua::Result<Function> {
    let wrapper = match kind {
        Kind::Text => raise_text,
        Kind::AnyValue => raise_value,
    };
    lua.create_function(move |lua, function: Function| {
        // SAFETY: the closure finds the function on the stack, and leaves the new one in its place.
        unsafe { lua.exec_raw::<Function>(function, |state| ffi::lua_pushcclosure(state, wrapper, 1)) }
    })
}

/// Calls the first upvalue with all arguments. Its results take their place on the stack.
///
/// # Safety
/// `state` is that of a C function with an upvalue.
unsafe fn call(state: *mut ffi::lua_State) {
    // SAFETY: the stack has room for one more value than its arguments, since Lua guarantees LUA_MINSTACK free slots to a C function.
    unsafe {
        let arguments = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, arguments, ffi::LUA_MULTRET);
    }
}

/// See [`Kind::Text`].
unsafe extern "C-unwind" fn raise_text(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls this with its own state. No value with a destructor is on this frame when an error leaves it.
    unsafe {
        call(state);
        if ffi::lua_toboolean(state, 1) == 0 {
            ffi::lua_settop(state, 2);
            ffi::luaL_where(state, 1);
            ffi::lua_insert(state, 2);
            ffi::lua_concat(state, 2);
            ffi::lua_error(state);
        }
        ffi::lua_remove(state, 1);
        ffi::lua_gettop(state)
    }
}

/// See [`Kind::AnyValue`].
unsafe extern "C-unwind" fn raise_value(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        call(state);
        if ffi::lua_toboolean(state, 1) != 0 {
            ffi::lua_settop(state, 2);
            ffi::lua_error(state);
        }
        ffi::lua_remove(state, 1);
        ffi::lua_gettop(state)
    }
}
