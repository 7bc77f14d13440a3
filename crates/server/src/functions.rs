//! The libraries of functions that the server knows, and each core's interpreter with those that it has loaded.
//!
//! Libraries change while the gate is closed. A core loads a library when one of its functions is called there first.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ochre_resp::{Args, Protocol, ReplyBuffer};
use ochre_script::{Engine, Host, Kind, Limits, Registered, Script, flags::ScriptFlags, shebang};
use parking_lot::Mutex;

use crate::{log, scripts};

/// How long a library may take to register its functions. (Redis: `LOAD_TIMEOUT_MS`)
const LOAD_TIME_MAX: Duration = Duration::from_millis(500);

/// A library.
#[derive(Debug)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its source, with its first line.
    pub code: Box<[u8]>,
    /// Its functions, in the order in which it registers them.
    pub functions: Vec<Function>,
    /// A number that no other library of this process has.
    number: u64,
}

/// A function, as FUNCTION LIST shows it.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<Vec<u8>>,
    /// What it declares.
    pub flags: ScriptFlags,
}

/// The library and the index of a function.
#[derive(Clone, Debug)]
pub struct Place {
    /// The library.
    pub library: Arc<Library>,
    /// The index among its functions.
    pub index: usize,
}

impl Place {
    /// The function.
    pub fn function(&self) -> &Function {
        &self.library.functions[self.index]
    }
}

/// A set of libraries. No two functions have the same name, in any case of letters.
#[derive(Clone, Default, Debug)]
pub struct Libraries {
    by_name: BTreeMap<String, Arc<Library>>,
    /// Functions by their names in lowercase.
    functions: HashMap<String, Place>,
}

impl Libraries {
    /// The libraries, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Library>> {
        self.by_name.values()
    }

    /// Whether there is a library of this name. Case matters.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The number of libraries.
    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    /// The number of functions.
    pub fn functions_count(&self) -> usize {
        self.functions.len()
    }

    /// The function of a name, whose case does not matter.
    pub fn function(&self, name: &[u8]) -> Option<&Place> {
        self.functions.get(&str::from_utf8(name).ok()?.to_ascii_lowercase())
    }

    /// Removes a library. Returns whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(library) = str::from_utf8(name).ok().and_then(|name| self.by_name.remove(name)) else { return false };
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        true
    }

    /// Adds a library, in place of the one of its name.
    ///
    /// # Errors
    /// If another library has a function of the same name: its text, without a code. Then nothing has changed.
    pub fn put(&mut self, library: Arc<Library>) -> Result<(), String> {
        let is_taken = |function: &&Function| {
            self.function(function.name.as_bytes()).is_some_and(|place| place.library.name != library.name)
        };
        if let Some(function) = library.functions.iter().find(is_taken) {
            return Err(format!("Function {} already exists", function.name));
        }
        self.remove(library.name.as_bytes());
        for (index, function) in library.functions.iter().enumerate() {
            let place = Place { library: library.clone(), index };
            self.functions.insert(function.name.to_ascii_lowercase(), place);
        }
        self.by_name.insert(library.name.clone(), library);
        Ok(())
    }
}

/// The libraries that all cores share.
#[derive(Default)]
pub struct Functions {
    /// A mutex: whoever calls or changes functions has the keyspace to itself, so only FUNCTION LIST and the like may wait for it.
    current: Mutex<Arc<Libraries>>,
}

impl Functions {
    /// The libraries as they are now.
    pub fn current(&self) -> Arc<Libraries> {
        self.current.lock().clone()
    }

    /// The function of a name, whose case does not matter.
    pub fn function(&self, name: &[u8]) -> Option<Place> {
        self.current.lock().function(name).cloned()
    }

    /// Puts other libraries in their place.
    pub fn replace(&self, libraries: Libraries) {
        *self.current.lock() = Arc::new(libraries);
    }

    /// Changes the libraries. A set that [`Functions::current`] has returned stays as it is.
    pub fn change<R>(&self, change: impl FnOnce(&mut Libraries) -> R) -> R {
        change(Arc::make_mut(&mut self.current.lock()))
    }
}

/// Compiles a library and runs it, so that it registers its functions. `engine` is one for functions. `others` are the libraries whose names are
/// taken; `None` if the library may replace one of its name.
///
/// # Errors
/// What is wrong with it, without a code.
pub fn load(
    engine: &Engine,
    code: &[u8],
    memory_bytes: usize,
    others: Option<&Libraries>,
) -> Result<(Library, Vec<Script>), Vec<u8>> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let (name, body) = shebang::parse_library(code).map_err(String::into_bytes)?;
    if others.is_some_and(|others| others.by_name.contains_key(&name)) {
        return Err(format!("Library '{name}' already exists").into_bytes());
    }
    let mut host = LoadHost { ends: Instant::now() + LOAD_TIME_MAX };
    let registered = engine.load_library(body, &Limits { memory_bytes }, &mut host)?;
    if registered.is_empty() {
        return Err(b"No functions registered".to_vec());
    }
    let split = |Registered { name, description, flags, script }| (Function { name, description, flags }, script);
    let (functions, scripts) = registered.into_iter().map(split).unzip();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Ok((Library { name, code: code.into(), functions, number }, scripts))
}

/// The server as a library sees it while it is loaded: only the log.
struct LoadHost {
    ends: Instant,
}

impl Host for LoadHost {
    fn call(&mut self, _: Args<'_>, _: Protocol, reply: &mut ReplyBuffer) {
        reply.extend_from_slice(b"-ERR a library calls no command while it is loaded\r\n");
    }

    fn may_run(&mut self, _: Args<'_>) -> Option<bool> {
        None
    }

    fn log(&mut self, level: u8, text: &[u8]) {
        log::of_script(level, text);
    }

    fn set_recorded(&mut self, _: bool) {}

    fn must_end(&mut self) -> bool {
        Instant::now() > self.ends
    }
}

/// The interpreter of a core, and the libraries that it has loaded.
#[derive(Default)]
pub struct CoreFunctions {
    engine: Option<Rc<Engine>>,
    /// What the functions of each library run, by the library's number.
    loaded: HashMap<u64, Rc<Vec<Script>>>,
}

impl CoreFunctions {
    /// The interpreter, which is started if need be.
    pub fn engine(&mut self) -> Rc<Engine> {
        self.engine.get_or_insert_with(|| Rc::new(scripts::engine(Kind::Functions))).clone()
    }

    /// Keeps the functions of a library that was loaded on this core. If more libraries are kept than exist, those that no longer exist are dropped.
    pub fn keep(&mut self, functions: &Functions, library: &Library, scripts: Vec<Script>) -> Rc<Vec<Script>> {
        let current = functions.current();
        if self.loaded.len() > current.count() {
            let in_use: HashSet<u64> = current.iter().map(|library| library.number).collect();
            self.loaded.retain(|number, _| in_use.contains(number));
        }
        let scripts = Rc::new(scripts);
        self.loaded.insert(library.number, scripts.clone());
        scripts
    }

    /// What the functions of a library run. The library is loaded if this core has not used it before.
    ///
    /// # Errors
    /// If it cannot be loaded here, for want of memory or time.
    pub fn scripts(
        &mut self,
        functions: &Functions,
        library: &Library,
        memory_bytes: usize,
    ) -> Result<Rc<Vec<Script>>, Vec<u8>> {
        if let Some(scripts) = self.loaded.get(&library.number) {
            return Ok(scripts.clone());
        }
        let (again, scripts) = load(&self.engine(), &library.code, memory_bytes, None)?;
        // A library may go by the address of a table, which differs from core to core, and register other functions now.
        let is_same = |(now, then): (&Function, &Function)| now.name == then.name;
        if again.functions.len() != library.functions.len()
            || !again.functions.iter().zip(&library.functions).all(is_same)
        {
            return Err(b"The library registers other functions than when it was loaded".to_vec());
        }
        Ok(self.keep(functions, library, scripts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, functions: &[&str]) -> Arc<Library> {
        let registration = |name: &&str| format!("redis.register_function('{name}', function() end) ");
        let body: String = functions.iter().map(registration).collect();
        let code = format!("#!lua name={name}\n{body}");
        let engine = scripts::engine(Kind::Functions);
        Arc::new(load(&engine, code.as_bytes(), 1 << 20, None).expect("it loads").0)
    }

    #[test]
    fn a_library_takes_the_place_of_the_one_of_its_name() {
        let mut libraries = Libraries::default();
        libraries.put(library("a", &["f", "g"])).expect("there is no other");
        libraries.put(library("a", &["G", "h"])).expect("the old one is gone");
        assert!(libraries.function(b"f").is_none());
        assert_eq!(libraries.function(b"g").map(|place| place.function().name.as_str()), Some("G"));
        assert_eq!((libraries.count(), libraries.functions_count()), (1, 2));
        assert_eq!(libraries.put(library("b", &["x", "H"])), Err("Function H already exists".to_owned()));
        assert!(!libraries.remove(b"A"));
    }

    #[test]
    fn a_core_loads_a_library_once_and_drops_it_when_it_is_replaced() {
        let (functions, mut core) = (Functions::default(), CoreFunctions::default());
        functions.change(|libraries| libraries.put(library("a", &["f"]))).expect("it is alone");
        let place = functions.function(b"F").expect("it is known");
        let scripts =
            |core: &mut CoreFunctions, library: &Library| core.scripts(&functions, library, 1 << 20).expect("it loads");
        let first = scripts(&mut core, &place.library);
        assert!(Rc::ptr_eq(&first, &scripts(&mut core, &place.library)));
        for _ in 0..10 {
            functions.change(|libraries| libraries.put(library("a", &["g"]))).expect("it is alone");
            let place = functions.function(b"g").expect("it is known");
            scripts(&mut core, &place.library);
            assert!(core.loaded.len() <= 2);
        }
        assert!(functions.function(b"f").is_none());
    }
}
