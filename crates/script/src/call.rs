//! `redis.call` and `redis.pcall`: C functions that run a command of the server and put its reply on the stack.
//!
//! They are what most scripts spend their time in, so they use the C interface of Lua directly: mlua protects each step of its own against errors
//! of memory, which costs more than most commands.
//!
//! Every function of Lua that allocates may raise an error, which leaves these functions without running destructors. So nothing that has a
//! destructor lives on their frames while such a function is called: the buffers belong to [`Shared`].

use std::ffi::{c_int, c_void};

use mlua::{Function, Lua, ffi};

use crate::{
    Shared, reply,
    words::{Problem, Word},
};

/// The longest reply whose buffer is kept for the next call.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// Returns `redis.call`, which raises errors, or `redis.pcall`, which returns them. `shared` must live as long as the function.
pub fn function(lua: &Lua, shared: &Shared, raises: bool) -> mlua::Result<Function> {
    let shared = (&raw const *shared).cast::<c_void>().cast_mut();
    let call = if raises { call::<true> } else { call::<false> };
    // SAFETY: the closure leaves the new function on the stack, where there is room for it and its upvalue.
    unsafe {
        lua.exec_raw::<Function>((), |state| {
            ffi::lua_pushlightuserdata(state, shared);
            ffi::lua_pushcclosure(state, call, 1);
        })
    }
}

/// See the module.
unsafe extern "C-unwind" fn call<const RAISES: bool>(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the upvalue is the one of `function`, whose caller keeps the value alive.
    let shared = unsafe { &*ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Shared>() };
    // SAFETY: Lua calls this with its own state, on whose stack are the arguments.
    let has_failed = unsafe { run(state, shared) };
    if RAISES && has_failed {
        // SAFETY: the error is on the stack, and nothing with a destructor is on this frame.
        unsafe { ffi::lua_error(state) };
    }
    1
}

/// Runs the command whose words are on the stack, and puts its reply there. Returns whether it is an error.
///
/// # Safety
/// `state` is that of a C function.
unsafe fn run(state: *mut ffi::lua_State, shared: &Shared) -> bool {
    // SAFETY: `state` is valid.
    let count = unsafe { ffi::lua_gettop(state) };
    // SAFETY: each index is one of the stack. Nothing here allocates memory of Lua, so the guard of the words is dropped.
    let gathered = shared.words.borrow_mut().gather((1..=count).map(|index| unsafe { word(state, index) }));
    let is_command = gathered.is_ok();
    match gathered {
        Ok(()) => run_gathered(shared),
        Err(problem) => write_problem(shared, problem),
    }
    // SAFETY: nobody else uses the buffer until this function returns, since what is called below runs nothing of a script.
    let mut rest: &[u8] = unsafe { &*shared.reply.as_ptr() };
    let is_error = rest.first() == Some(&b'-');
    // SAFETY: nothing on this frame has a destructor, and the stack has room again once the arguments are gone.
    unsafe {
        ffi::lua_settop(state, 0);
        if is_command { reply::push(state, &mut rest) } else { reply::push_error(state, &mut rest, false) }
    }
    is_error
}

/// Runs the gathered command. Its reply is in the buffer then.
fn run_gathered(shared: &Shared) {
    let words = shared.words.borrow();
    let mut reply = shared.reply.borrow_mut();
    if reply.capacity() > REPLY_BYTES_MAX {
        *reply = Default::default();
    }
    reply.truncate(0);
    shared.with_host(|host| host.call(words.args(), shared.protocol.get(), &mut reply));
}

/// Writes an error of the call itself into the buffer of the reply.
fn write_problem(shared: &Shared, problem: Problem) {
    let mut reply = shared.reply.borrow_mut();
    reply.truncate(0);
    reply.extend_from_slice(format!("-ERR {}\r\n", problem.text("lib")).as_bytes());
}

/// An argument on the stack as a word. It allocates nothing.
///
/// # Safety
/// `index` is one of the stack, and the word is not used for longer than the argument is there.
unsafe fn word<'w>(state: *mut ffi::lua_State, index: c_int) -> Word<&'w [u8]> {
    // SAFETY: a value that is a string already is not converted, so nothing is allocated; its bytes do not move.
    unsafe {
        match ffi::lua_type(state, index) {
            ffi::LUA_TSTRING => {
                let mut len = 0;
                let text = ffi::lua_tolstring(state, index, &raw mut len);
                Word::Text(std::slice::from_raw_parts(text.cast(), len))
            }
            ffi::LUA_TNUMBER => Word::Number(ffi::lua_tonumber(state, index)),
            _ => Word::Other,
        }
    }
}
