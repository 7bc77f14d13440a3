//! Lua scripts: the interpreter, the environment that scripts see, and conversions between replies and Lua values.
//!
//! ```text
//!  server ── Engine::run ──▶ script ── redis.call ──▶ Host::call ──▶ server
//! ```
//!
//! The crate knows no key and no client. The server is behind the trait [`Host`], which a script reaches while it runs. An engine belongs to
//! one thread, and runs one script at a time.
//!
//! | file | what it is |
//! |---|---|
//! | `prelude.lua` | the sandbox: protected tables, and functions that cannot pass it by |
//! | `redis.rs`, `call.rs`, `words.rs` | the functions of `redis` |
//! | `reply.rs` | replies to values of Lua, and back |
//! | `start.rs` | how a script gets its keys and arguments, and runs |
//! | `functions.rs` | loading libraries of functions |
//! | `shebang.rs`, `flags.rs` | the first line of a script or library, and what it declares |
//! | `json.rs`, `msgpack.rs`, `structs.rs`, `bits.rs` | the libraries `cjson`, `cmsgpack`, `struct` and `bit` |
//! | `library.rs` | what the libraries share |
//! | `raise.rs` | C functions that raise the errors of functions of Rust |
//! | `random.rs` | the random numbers of scripts |

mod bits;
mod call;
pub mod flags;
mod functions;
mod json;
mod library;
mod msgpack;
mod raise;
mod random;
mod redis;
mod reply;
pub mod shebang;
mod start;
mod structs;
mod words;

use std::{
    cell::{Cell, RefCell},
    ptr::NonNull,
    rc::Rc,
};

pub use functions::Registered;
use mlua::{Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState, chunk::ChunkMode};
use ochre_resp::{Args, Protocol, ReplyBuffer, ReplyWriter};

use crate::flags::ScriptFlags;

/// What a script asks of the server.
pub trait Host {
    /// Runs a command, and writes its reply in this protocol. An error reply says that it failed.
    fn call(&mut self, args: Args<'_>, protocol: Protocol, reply: &mut ReplyBuffer);
    /// Whether the client of the script may run a command; `None` if there is no such command.
    fn may_run(&mut self, args: Args<'_>) -> Option<bool>;
    /// Writes to the server's log. The levels are those of `redis.LOG_DEBUG` to `redis.LOG_WARNING`, 0 to 3.
    fn log(&mut self, level: u8, text: &[u8]);
    /// Sets whether what further commands write is kept in the append-only file, for the rest of the script (`redis.set_repl`).
    fn set_recorded(&mut self, is_recorded: bool);
    /// Is called now and then while the script runs. Returns whether the script has to end.
    fn must_end(&mut self) -> bool;
}

/// A compiled script. It belongs to the engine that compiled it.
pub struct Script(Function);

/// Why a script did not run to its end.
#[derive(Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The error, with its code.
    pub text: Vec<u8>,
    /// Where it was raised, as `@user_script:1`.
    pub place: Option<Vec<u8>>,
}

/// The settings of a run.
pub struct Limits {
    /// The most memory that the script may use beside its arguments, in bytes.
    pub memory_bytes: usize,
}

/// What an engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Scripts, which find their keys and arguments in global variables.
    Scripts,
    /// Functions of libraries, which are given theirs as parameters.
    Functions,
}

impl Kind {
    /// The name of the chunks, which error texts show.
    fn chunk_name(self) -> &'static str {
        match self {
            Kind::Scripts => "@user_script",
            Kind::Functions => "@user_function",
        }
    }
}

/// An interpreter with the environment of scripts or of functions.
pub struct Engine {
    lua: Lua,
    kind: Kind,
    /// The real table of globals, of which scripts see a protected form.
    globals: Table,
    /// The handler of errors that a script does not catch. It adds their place.
    on_error: Function,
    /// The tables that scripts see in place of protected ones. They are empty, except for what a script has put there by force.
    protected: Table,
    /// Brings the environment to its first state, after a script was ended from outside.
    clean: Function,
    /// Runs the body of a library; not in an engine for scripts.
    load_library: Option<Function>,
    /// The function of Lua that compiles.
    loadstring: Function,
    shared: Rc<Shared>,
}

/// What the functions of the environment share with the engine.
pub(crate) struct Shared {
    /// The server, while a script runs.
    host: Cell<Option<NonNull<dyn Host>>>,
    /// The protocol of replies to `redis.call`.
    protocol: Cell<Protocol>,
    random: Cell<random::Random>,
    /// Whether the host has said that the script must end.
    must_end: Cell<bool>,
    /// The words of a command, and its reply.
    words: RefCell<words::Words>,
    reply: RefCell<ReplyBuffer>,
}

impl Shared {
    /// Calls the host of the script that runs.
    pub(crate) fn with_host<R>(&self, f: impl FnOnce(&mut dyn Host) -> R) -> R {
        let mut host = self.host.take().expect("a script runs");
        // SAFETY: `Engine::guarded` stores the pointer for as long as it has the host borrowed, and it is taken here, so that no other reference
        // is made from it meanwhile.
        let result = f(unsafe { host.as_mut() });
        self.host.set(Some(host));
        result
    }
}

/// How many instructions a script runs between two calls of [`Host::must_end`].
const INSTRUCTIONS: u32 = 10_000;

impl Engine {
    /// Starts an interpreter. `version` is what `redis.REDIS_VERSION` says.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(kind: Kind, version: [u8; 3]) -> mlua::Result<Engine> {
        let libraries = StdLib::TABLE | StdLib::OS | StdLib::STRING | StdLib::MATH | StdLib::DEBUG;
        // SAFETY: of the library `debug`, the prelude keeps one function that only reads, and gives it to no script.
        let lua = unsafe { Lua::unsafe_new_with(libraries, LuaOptions::new().catch_rust_panics(false)) };
        let shared = Rc::new(Shared {
            host: Cell::new(None),
            protocol: Cell::new(Protocol::Resp2),
            random: Cell::default(),
            must_end: Cell::new(false),
            words: RefCell::default(),
            reply: RefCell::default(),
        });
        let raw = lua.create_table()?;
        raw.raw_set("is_for_functions", kind == Kind::Functions)?;
        raw.raw_set("flags", lua.create_table_from(ScriptFlags::NAMES.map(|(_, name)| (name, true)))?)?;
        raw.raw_set("redis", redis::library(&lua, &shared, version)?)?;
        raw.raw_set("call", call::function(&lua, &shared, true)?)?;
        raw.raw_set("pcall", call::function(&lua, &shared, false)?)?;
        raw.raw_set("cjson", json::library(&lua)?)?;
        raw.raw_set("new_cjson", lua.create_function(|lua, ()| json::library(lua))?)?;
        raw.raw_set("cmsgpack", msgpack::library(&lua)?)?;
        raw.raw_set("struct", structs::library(&lua)?)?;
        raw.raw_set("bit", bits::library(&lua)?)?;
        raw.raw_set("wrap", raise::wrap(&lua, raise::Kind::Text)?)?;
        raw.raw_set("wrap_table", raise::wrap(&lua, raise::Kind::AnyValue)?)?;
        raw.raw_set("random", random::random(&lua, &shared)?)?;
        raw.raw_set("randomseed", random::randomseed(&lua, &shared)?)?;
        raw.raw_set(
            "stop_collector",
            lua.create_function(|lua, ()| {
                lua.gc_stop();
                Ok(())
            })?,
        )?;
        raw.raw_set(
            "restart_collector",
            lua.create_function(|lua, ()| {
                lua.gc_restart();
                Ok(())
            })?,
        )?;
        let loadstring = lua.globals().raw_get("loadstring")?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name("=ochre");
        let (shown, globals, on_error, protected, clean, load_library): (Table, Table, _, _, _, _) =
            prelude.call(raw)?;
        lua.set_globals(shown)?;
        let engine = Engine { lua, kind, globals, on_error, protected, clean, load_library, loadstring, shared };
        engine.watch(INSTRUCTIONS)?;
        Ok(engine)
    }

    /// Asks the host every so many instructions whether the script must end. Once it must, every further instruction fails, so that no
    /// `pcall` keeps it alive.
    fn watch(&self, instructions: u32) -> mlua::Result<()> {
        let shared = self.shared.clone();
        let triggers = HookTriggers::new().every_nth_instruction(instructions);
        self.lua.set_global_hook(triggers, move |lua, _| {
            if shared.must_end.get() {
                return Err(mlua::Error::runtime("killed"));
            }
            if shared.host.get().is_some() && shared.with_host(|host| host.must_end()) {
                shared.must_end.set(true);
                let triggers = HookTriggers::new().every_nth_instruction(1);
                lua.set_global_hook(triggers, |_, _| Err(mlua::Error::runtime("killed")))?;
                return Err(mlua::Error::runtime("killed"));
            }
            Ok(VmState::Continue)
        })
    }

    /// Compiles a script. Bytecode is refused.
    ///
    /// # Errors
    /// The error of the compiler.
    pub fn compile(&self, body: &[u8]) -> Result<Script, Vec<u8>> {
        // The parser of Lua 5.1 does not keep the chunk's name alive.
        self.lua.gc_stop();
        let compiled = self.load(body);
        self.lua.gc_restart();
        match compiled {
            Ok((Some(function), _)) => Ok(Script(function)),
            Ok((None, error)) => Err(error.map_or_else(Vec::new, |error| error.as_bytes().to_vec())),
            Err(error) => Err(error.to_string().into_bytes()),
        }
    }

    /// Compiles a script by the function of Lua, whose error may have any bytes. Returns the script or the error.
    fn load(&self, body: &[u8]) -> mlua::Result<(Option<Function>, Option<mlua::LuaString>)> {
        const BYTECODE: u8 = 0x1b;
        if body.first() == Some(&BYTECODE) {
            let function =
                self.lua.load(body).set_name(self.kind.chunk_name()).set_mode(ChunkMode::Text).into_function();
            return function.map(|function| (Some(function), None));
        }
        self.loadstring.call((self.lua.create_string(body)?, self.kind.chunk_name()))
    }

    /// Runs a script, and writes its result as a reply.
    ///
    /// # Errors
    /// The error that the script has raised and not caught. Nothing of the reply is left then.
    pub fn run(
        &self,
        script: &Script,
        keys: Args<'_>,
        arguments: Args<'_>,
        limits: &Limits,
        host: &mut dyn Host,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), ScriptError> {
        let bytes: usize = keys.iter().chain(arguments.iter()).map(|word| word.len() + 64).sum();
        let mark = reply.position();
        let result = self.guarded(bytes, limits, host, || self.run_limited(script, keys, arguments, reply));
        let Err(failure) = result else { return Ok(()) };
        reply.rewind(mark);
        let killed = match self.kind {
            Kind::Scripts => "ERR Script killed by user with SCRIPT KILL.",
            Kind::Functions => "ERR Script killed by user with FUNCTION KILL.",
        };
        Err(failure.or_if_killed(killed))
    }

    /// Calls `f` while the host is reachable and the memory is limited. `bytes` is what the arguments take.
    fn guarded<R>(
        &self,
        bytes: usize,
        limits: &Limits,
        host: &mut dyn Host,
        f: impl FnOnce() -> mlua::Result<Result<R, ScriptError>>,
    ) -> Result<R, Failure> {
        let used_before = self.lua.used_memory();
        let limit = used_before.saturating_add(bytes).saturating_add(limits.memory_bytes);
        let limited = self.lua.set_memory_limit(limit);
        let host: NonNull<dyn Host + '_> = NonNull::from(host);
        // SAFETY: only the lifetime changes. The pointer is removed below, before the borrow ends, and a panic ends the process.
        let host: NonNull<dyn Host> = unsafe { std::mem::transmute(host) };
        self.shared.host.set(Some(host));
        self.shared.protocol.set(Protocol::Resp2);
        let result = limited.and_then(|_| f());
        self.shared.host.set(None);
        self.lua.gc_restart();
        // Nothing but a script is limited. What it has left is garbage now; a large amount is given back at once.
        self.lua.set_memory_limit(0).expect("the interpreter counts its memory");
        if self.lua.used_memory() > used_before.saturating_add(limits.memory_bytes / 4) {
            let _ = self.lua.gc_collect();
        }
        let was_killed = self.shared.must_end.replace(false);
        if was_killed {
            self.lua.remove_global_hook();
            self.watch(INSTRUCTIONS).expect("a hook is set without memory of Lua");
        }
        // If the script was ended from outside, the environment is still as the script left it.
        if was_killed || result.is_err() {
            let _ = self.clean.call::<()>(());
        }
        let mut error = match result {
            Ok(Ok(result)) if !was_killed => return Ok(result),
            Ok(Ok(_)) => ScriptError { text: Vec::new(), place: None },
            Ok(Err(error)) => error,
            Err(error) => ScriptError { text: format!("ERR {error}").into_bytes(), place: None },
        };
        if was_killed {
            return Err(Failure::Killed(error));
        }
        if error.text.ends_with(b"not enough memory") {
            error.text = b"ERR script uses more memory than script-memory-limit allows".to_vec();
        }
        Err(Failure::Raised(error))
    }

    fn run_limited(
        &self,
        script: &Script,
        keys: Args<'_>,
        arguments: Args<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> mlua::Result<Result<(), ScriptError>> {
        // SAFETY: the closure finds what it is given on the stack, and leaves two results there. It has no destructor.
        let (has_ended, result): (bool, Value) = unsafe {
            self.lua.exec_raw((&self.on_error, &self.protected, &self.clean, &self.globals, &script.0), |state| {
                start::start(state, self.kind, keys, arguments);
            })
        }?;
        if !has_ended {
            return Ok(Err(error_of(&result)));
        }
        Ok(reply::write(&result, self.shared.protocol.get(), reply))
    }

    /// The memory that the interpreter uses, in bytes.
    pub fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }
}

/// Why a script or a library did not run to its end.
enum Failure {
    /// It has raised an error, or there was no memory for it.
    Raised(ScriptError),
    /// The host has ended it. The place is where it was.
    Killed(ScriptError),
}

impl Failure {
    /// The error, which has this text if the host has ended the script.
    fn or_if_killed(self, killed: &str) -> ScriptError {
        match self {
            Failure::Raised(error) => error,
            Failure::Killed(error) => ScriptError { text: killed.as_bytes().to_vec(), ..error },
        }
    }
}

/// The error that a script has raised: a table, or a text if there was no memory for a table.
fn error_of(value: &Value) -> ScriptError {
    let Value::Table(table) = value else {
        let text = value.to_string().unwrap_or_default();
        return ScriptError { text: format!("ERR {text}").into_bytes(), place: None };
    };
    let field = |name: &str| match table.raw_get(name) {
        Ok(Value::String(text)) => Some(text.as_bytes().to_vec()),
        _ => None,
    };
    let line = match table.raw_get("line") {
        Ok(Value::Integer(line)) => Some(line),
        _ => None,
    };
    let place = field("source").zip(line).map(|(mut source, line)| {
        source.extend_from_slice(format!(":{line}").as_bytes());
        source
    });
    ScriptError { text: field("err").unwrap_or_else(|| b"ERR unknown error".to_vec()), place }
}

/// One value as the results of a function.
pub(crate) fn values<const N: usize>(values: [Value; N]) -> MultiValue {
    MultiValue::from_iter(values)
}
