//! The scripts that the server knows, the script or function that runs, and the interpreter of each core.

use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
};

use ochre_script::{Engine, Kind, Script, shebang};
use parking_lot::Mutex;
use sha1::{Digest, Sha1};

use crate::clock;

/// The version of Redis whose environment scripts and functions get.
const REDIS_VERSION: [u8; 3] = [8, 2, 3];

/// The most scripts of EVAL that are kept. SCRIPT LOAD keeps any number. (Redis: `LRU_LIST_LENGTH`)
const EVALUATED_MAX: usize = 500;

/// Starts an interpreter.
pub fn engine(kind: Kind) -> Engine {
    Engine::new(kind, REDIS_VERSION).expect("the prelude runs")
}

/// The SHA-1 of a script, in lowercase hexadecimal digits.
pub type Sha = [u8; 40];

/// The SHA-1 of a script's source.
pub fn sha_of(source: &[u8]) -> Sha {
    let mut sha = [0; 40];
    for (digits, byte) in sha.chunks_exact_mut(2).zip(Sha1::digest(source)) {
        digits.copy_from_slice(format!("{byte:02x}").as_bytes());
    }
    sha
}

/// The scripts that all cores share.
#[derive(Default)]
pub struct Scripts {
    /// A mutex: a core takes it for a script that it has not compiled yet.
    known: Mutex<Known>,
    /// The number of SCRIPT FLUSHs. A core whose interpreter is older starts a new one.
    flushes: AtomicU64,
    evictions: AtomicU64,
    /// The script or function that runs. It has the keyspace to itself, so there is one at a time.
    running: Running,
}

#[derive(Default)]
struct Known {
    sources: HashMap<Sha, Arc<[u8]>>,
    /// Those of EVAL, in the order in which they came.
    evaluated: VecDeque<Sha>,
}

/// The script that runs. Other cores read it, and ask it to end.
#[derive(Default)]
struct Running {
    /// When it began, in milliseconds since 1970; 0 if none runs.
    since_ms: AtomicI64,
    /// Its core.
    core: AtomicUsize,
    /// Whether it runs for longer than `busy-reply-threshold`.
    is_busy: AtomicBool,
    /// Whether it has written something, so that it may not be killed.
    has_written: AtomicBool,
    must_end: AtomicBool,
    is_function: AtomicBool,
    /// The function, once it is busy. A mutex: FUNCTION STATS takes it.
    function: Mutex<Option<BusyFunction>>,
}

/// A function that runs for too long.
#[derive(Clone, Debug)]
pub struct BusyFunction {
    /// Its name.
    pub name: String,
    /// The request that called it.
    pub command: Vec<Vec<u8>>,
}

/// The answer to SCRIPT KILL.
pub enum Kill {
    /// The script will end at its next instruction.
    Done,
    /// No script runs for too long.
    NotBusy,
    /// It has written.
    Unkillable,
    /// SCRIPT KILL was sent to end a function, or FUNCTION KILL to end a script.
    OtherKind,
}

impl Scripts {
    /// The source of a script.
    pub fn source(&self, sha: &Sha) -> Option<Arc<[u8]>> {
        self.known.lock().sources.get(sha).cloned()
    }

    /// Keeps a script that compiles. One of EVAL takes the place of the oldest of EVAL, if there are many.
    pub fn keep(&self, sha: Sha, source: &[u8], is_of_eval: bool) {
        let known = &mut *self.known.lock();
        if known.sources.contains_key(&sha) {
            if !is_of_eval {
                known.evaluated.retain(|evaluated| *evaluated != sha);
            }
            return;
        }
        known.sources.insert(sha, source.into());
        if is_of_eval {
            known.evaluated.push_back(sha);
            if known.evaluated.len() > EVALUATED_MAX
                && let Some(oldest) = known.evaluated.pop_front()
            {
                known.sources.remove(&oldest);
                self.evictions.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// Forgets all scripts.
    pub fn flush(&self) {
        *self.known.lock() = Known::default();
        self.flushes.fetch_add(1, Ordering::Release);
    }

    /// The number of scripts that are kept.
    pub fn count(&self) -> usize {
        self.known.lock().sources.len()
    }

    /// The number of scripts that others have displaced.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Acquire)
    }

    /// Notes that a script or a function begins on a core.
    pub fn begin(&self, core: usize, kind: Kind) {
        self.running.is_function.store(kind == Kind::Functions, Ordering::Relaxed);
        self.running.core.store(core, Ordering::Relaxed);
        self.running.has_written.store(false, Ordering::Relaxed);
        self.running.must_end.store(false, Ordering::Relaxed);
        self.running.since_ms.store(clock::now_ms(), Ordering::Release);
    }

    /// Whether a script runs on a core.
    pub fn runs_on(&self, core: usize) -> bool {
        self.running.since_ms.load(Ordering::Relaxed) != 0 && self.running.core.load(Ordering::Relaxed) == core
    }

    /// Notes that the script has ended.
    pub fn end(&self) {
        if self.running.is_busy.swap(false, Ordering::Release) {
            self.running.function.lock().take();
        }
        self.running.since_ms.store(0, Ordering::Release);
    }

    /// Notes that the script writes.
    pub fn writes(&self) {
        self.running.has_written.store(true, Ordering::Release);
    }

    /// Returns whether the script must end. It is busy once it has run for `threshold_ms`, if that is not 0. With a single core nobody else
    /// can kill it, so it ends then, unless it has written.
    pub fn poll(&self, threshold_ms: i64, is_single_core: bool) -> bool {
        let running = &self.running;
        if threshold_ms > 0
            && !running.is_busy.load(Ordering::Relaxed)
            && clock::now_ms() - running.since_ms.load(Ordering::Relaxed) >= threshold_ms
        {
            running.is_busy.store(true, Ordering::Release);
            if is_single_core && !running.has_written.load(Ordering::Relaxed) {
                return true;
            }
        }
        running.must_end.load(Ordering::Acquire)
    }

    /// Whether a script runs for too long.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.running.is_busy.load(Ordering::Acquire)
    }

    /// Whether a script runs that has written and runs for too long.
    pub fn is_busy_core(&self, core: usize) -> bool {
        self.is_busy() && self.running.core.load(Ordering::Relaxed) == core
    }

    /// Whether a function runs for too long.
    pub fn is_busy_with_function(&self) -> bool {
        self.is_busy() && self.running.is_function.load(Ordering::Relaxed)
    }

    /// Notes which function runs for too long, for FUNCTION STATS.
    pub fn note_function(&self, function: BusyFunction) {
        *self.running.function.lock() = Some(function);
    }

    /// The function that runs for too long, and for how many milliseconds.
    pub fn busy_function(&self) -> Option<(BusyFunction, i64)> {
        let function = self.running.function.lock().clone()?;
        Some((function, clock::now_ms() - self.running.since_ms.load(Ordering::Acquire)))
    }

    /// SCRIPT KILL and FUNCTION KILL. (Redis: `scriptKill`)
    pub fn kill(&self, kind: Kind) -> Kill {
        if !self.is_busy() {
            return Kill::NotBusy;
        }
        if self.running.has_written.load(Ordering::Acquire) {
            return Kill::Unkillable;
        }
        if self.is_busy_with_function() != (kind == Kind::Functions) {
            return Kill::OtherKind;
        }
        self.running.must_end.store(true, Ordering::Release);
        Kill::Done
    }
}

/// A script as a core runs it.
pub struct Compiled {
    /// The function.
    pub script: Script,
    /// What its first line declares.
    pub declared: shebang::Declared,
}

/// The interpreter of a core, and the scripts that it has compiled.
#[derive(Default)]
pub struct CoreScripts {
    engine: Option<Rc<Engine>>,
    compiled: HashMap<Sha, Rc<Compiled>>,
    flushes: u64,
    evictions: u64,
}

impl CoreScripts {
    /// The interpreter, which is started if need be.
    pub fn engine(&mut self) -> Rc<Engine> {
        self.engine.get_or_insert_with(|| Rc::new(engine(Kind::Scripts))).clone()
    }

    /// Drops what the other cores have flushed or displaced.
    fn refresh(&mut self, scripts: &Scripts) {
        let flushes = scripts.flushes.load(Ordering::Acquire);
        if self.flushes != flushes {
            *self = CoreScripts { flushes, ..CoreScripts::default() };
        }
        let evictions = scripts.evictions();
        if self.evictions != evictions {
            self.evictions = evictions;
            let known = scripts.known.lock();
            self.compiled.retain(|sha, _| known.sources.contains_key(sha));
        }
    }

    /// The script of a SHA-1, if it is known.
    pub fn find(&mut self, scripts: &Scripts, sha: &Sha) -> Option<Rc<Compiled>> {
        self.refresh(scripts);
        if let Some(compiled) = self.compiled.get(sha) {
            return Some(compiled.clone());
        }
        let source = scripts.source(sha)?;
        self.compile(*sha, &source).ok()
    }

    /// Compiles a script, and keeps it.
    ///
    /// # Errors
    /// What is wrong with the script, without a code.
    pub fn load(
        &mut self,
        scripts: &Scripts,
        sha: Sha,
        source: &[u8],
        is_of_eval: bool,
    ) -> Result<Rc<Compiled>, Vec<u8>> {
        self.refresh(scripts);
        let compiled = match self.compiled.get(&sha) {
            Some(compiled) if is_of_eval => return Ok(compiled.clone()),
            Some(compiled) => compiled.clone(),
            None => self.compile(sha, source)?,
        };
        scripts.keep(sha, source, is_of_eval);
        Ok(compiled)
    }

    fn compile(&mut self, sha: Sha, source: &[u8]) -> Result<Rc<Compiled>, Vec<u8>> {
        let (declared, body) = shebang::parse(source).map_err(String::into_bytes)?;
        let script = self.engine().compile(body);
        let script = script.map_err(|error| [b"Error compiling script (new function): ", &*error].concat())?;
        let compiled = Rc::new(Compiled { script, declared });
        self.compiled.insert(sha, compiled.clone());
        Ok(compiled)
    }
}
