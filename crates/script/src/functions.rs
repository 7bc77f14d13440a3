//! Loading libraries: running a body that registers functions.

use mlua::{Function, Table, Value};

use crate::{Engine, Host, Limits, Script, ScriptError, error_of, flags::ScriptFlags};

/// A function that a library has registered.
pub struct Registered {
    /// Its name: letters, digits and underscores.
    pub name: String,
    /// What it does.
    pub description: Option<Vec<u8>>,
    /// What it declares.
    pub flags: ScriptFlags,
    /// What it runs.
    pub script: Script,
}

impl Engine {
    /// Compiles the body of a library and runs it, so that it registers its functions.
    ///
    /// # Errors
    /// What FUNCTION LOAD answers, without its code. Nothing of the library is left then.
    ///
    /// # Panics
    /// If the engine is one for scripts.
    pub fn load_library(&self, body: &[u8], limits: &Limits, host: &mut dyn Host) -> Result<Vec<Registered>, Vec<u8>> {
        let body = self.compile(body).map_err(|error| [b"Error compiling function: ", &*error].concat())?;
        let registered = self.guarded(0, limits, host, || self.register(&body));
        registered.map_err(|failure| {
            let error = failure.or_if_killed("ERR FUNCTION LOAD timeout");
            [b"Error registering functions: ", &*error.text].concat()
        })
    }

    fn register(&self, body: &Script) -> mlua::Result<Result<Vec<Registered>, ScriptError>> {
        let load = self.load_library.as_ref().expect("the engine is one for functions");
        let (has_ended, result): (bool, Value) = load.call(&body.0)?;
        match result {
            Value::Table(found) if has_ended => {
                let functions = found.sequence_values::<Table>().map(|function| registered(&function?));
                functions.collect::<mlua::Result<Vec<_>>>().map(Ok)
            }
            error => Ok(Err(error_of(&error))),
        }
    }
}

/// Reads a function as the prelude keeps it.
fn registered(function: &Table) -> mlua::Result<Registered> {
    let flags: Table = function.raw_get("flags")?;
    let flags = flags.sequence_values::<String>().map(|flag| Ok(ScriptFlags::named(&flag?).unwrap_or_default()));
    let description: Option<mlua::LuaString> = function.raw_get("description")?;
    let callback: Function = function.raw_get("callback")?;
    Ok(Registered {
        name: function.raw_get("function_name")?,
        description: description.map(|text| text.as_bytes().to_vec()),
        flags: flags.collect::<mlua::Result<Vec<_>>>()?.into_iter().collect(),
        script: Script(callback),
    })
}
