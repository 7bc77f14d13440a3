//! Starts servers for tests: each in a folder of its own, on a free port, ended when dropped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, process, thread};

use crate::client::Client;
use crate::poll::{self, PATIENCE};
use crate::process::spawn_bound;
use crate::{references, workspace};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Ochre,
    Redis,
    Valkey,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ochre => "Ochre",
            Kind::Redis => "Redis",
            Kind::Valkey => "Valkey",
        }
    }

    /// The server under test: Ochre, unless `OCHRE_SUBJECT` names a reference server, which is how the tests are tested.
    pub fn subject() -> Kind {
        match env::var("OCHRE_SUBJECT").as_deref() {
            Ok("redis") => Kind::Redis,
            Ok("valkey") => Kind::Valkey,
            Ok("ochre") | Err(_) => Kind::Ochre,
            Ok(other) => panic!("OCHRE_SUBJECT is {other}: it must be ochre, redis or valkey"),
        }
    }

    /// The program's file; builds ours where `OCHRE_BIN` does not name one.
    pub fn program(self) -> PathBuf {
        static REFERENCES: LazyLock<references::References> =
            LazyLock::new(|| references::set_up().unwrap_or_else(|error| panic!("no reference servers: {error}")));
        static OCHRE: LazyLock<PathBuf> = LazyLock::new(|| match env::var_os("OCHRE_BIN") {
            Some(path) => path.into(),
            None => build_ochre(),
        });
        match self {
            Kind::Ochre => OCHRE.clone(),
            Kind::Redis => REFERENCES.redis.clone(),
            Kind::Valkey => REFERENCES.valkey.clone(),
        }
    }
}

/// A stale server would make the tests lie about the code beside them.
fn build_ochre() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = workspace::target_dir();
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "ochre-server", "--target-dir"])
        .arg(&target)
        .current_dir(workspace::root())
        .status()
        .unwrap_or_else(|error| panic!("cargo did not start to build the server: {error}"));
    assert!(status.success(), "the server does not build; set OCHRE_BIN to test another one");
    target.join("debug/ochre")
}

/// How to start a server. Directives are given as in a configuration file, without the leading dashes.
#[derive(Clone, Debug)]
pub struct Launch {
    kind: Kind,
    program: Option<PathBuf>,
    directives: Vec<(String, String)>,
    threads: Option<usize>,
    unix_socket: bool,
    cores: Vec<usize>,
}

impl Launch {
    pub fn new(kind: Kind) -> Launch {
        Launch { kind, program: None, directives: Vec::new(), threads: None, unix_socket: false, cores: Vec::new() }
    }

    /// The server under test.
    pub fn subject() -> Launch {
        Launch::new(Kind::subject())
    }

    /// Another file in place of the usual program.
    pub fn program(mut self, path: &Path) -> Launch {
        self.program = Some(path.to_path_buf());
        self
    }

    pub fn directive(mut self, name: &str, value: &str) -> Launch {
        self.directives.push((name.into(), value.into()));
        self
    }

    /// How many cores Ochre serves with. The reference servers have no such thing, and stay at one.
    pub fn threads(mut self, threads: usize) -> Launch {
        self.threads = Some(threads);
        self
    }

    /// Listens on a Unix socket too; [`Server::unix_socket`] tells where.
    pub fn unix_socket(mut self) -> Launch {
        self.unix_socket = true;
        self
    }

    /// Keeps the server to some cores.
    pub fn pinned(mut self, cores: &[usize]) -> Launch {
        self.cores = cores.to_vec();
        self
    }

    /// Starts it and waits until it answers. Panics with its log if it does not.
    #[track_caller]
    pub fn start(self) -> Server {
        // Somebody else may take the port between our look and the server's: try others.
        for _ in 0..20 {
            let mut server = self.spawn();
            match server.wait_until_ready() {
                Ready::Yes => return server,
                Ready::PortTaken => {}
                Ready::No(why) => panic!("{} {why}; its log:\n{}", self.kind.name(), server.log()),
            }
        }
        panic!("no free port found for {}", self.kind.name());
    }

    fn spawn(&self) -> Server {
        let dir = new_folder(self.kind);
        let port = free_port();
        let log_path = dir.join("log.txt");
        let log = File::create(&log_path).unwrap_or_else(|error| panic!("{}: {error}", log_path.display()));
        let program = self.program.clone().unwrap_or_else(|| self.kind.program());
        let mut command = Command::new(&program);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(&dir);
        command.args(["--save", "", "--appendonly", "no"]);
        if let (Some(threads), Kind::Ochre) = (self.threads, self.kind) {
            command.args(["--threads", &threads.to_string()]);
        }
        let unix_socket = self.unix_socket.then(|| dir.join("socket"));
        if let Some(path) = &unix_socket {
            command.arg("--unixsocket").arg(path);
        }
        for (name, value) in &self.directives {
            command.arg(format!("--{name}"));
            // A directive of several words is several arguments.
            match crate::quoting::split(value.as_bytes()) {
                Ok(words) if words.len() > 1 => {
                    command.args(words.iter().map(|word| String::from_utf8_lossy(word).into_owned()))
                }
                _ => command.arg(value),
            };
        }
        command.current_dir(&dir).stdin(Stdio::null()).stderr(log.try_clone().expect("a file handle")).stdout(log);
        if !self.cores.is_empty() {
            crate::process::pin(&mut command, &self.cores);
        }
        let child = spawn_bound(command).unwrap_or_else(|error| panic!("{} did not start: {error}", program.display()));
        Server { kind: self.kind, child, port, dir, unix_socket }
    }
}

enum Ready {
    Yes,
    PortTaken,
    No(String),
}

/// A running server. Dropping it kills it and removes its folder; where a test fails, its log is shown first.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    child: Child,
    port: u16,
    dir: PathBuf,
    unix_socket: Option<PathBuf>,
}

impl Server {
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its working directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn unix_socket(&self) -> Option<&Path> {
        self.unix_socket.as_deref()
    }

    /// What it has written to its standard output and error.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.dir.join("log.txt")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.port)
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error}; its log:\n{}", self.kind.name(), self.log()))
    }

    /// A connection that this core of Ochre serves. Each core gets a new connection in turn, so a few are enough to find one.
    #[track_caller]
    pub fn client_on_core(&self, core: usize) -> Client {
        let wanted = format!("io-thread={core}");
        for _ in 0..1000 {
            let mut client = self.client();
            if client.run("CLIENT INFO").to_text().split(' ').any(|field| field == wanted) {
                return client;
            }
        }
        panic!("{} gives no connection to core {core}", self.kind.name());
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn signal(&self, signal: i32) {
        crate::process::signal(self.pid(), signal).expect("a child that was not waited for can be signalled");
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        poll::until(PATIENCE, || self.child.try_wait().ok().flatten())
            .unwrap_or_else(|| panic!("{} still runs; its log:\n{}", self.kind.name(), self.log()))
    }

    fn wait_until_ready(&mut self) -> Ready {
        let answered = poll::until(PATIENCE, || {
            if !self.is_running() {
                return Some(false);
            }
            let mut client = Client::connect(self.port).ok()?;
            // Any answer will do, an error that asks for a password too; but not that of a server that still loads.
            let reply = client.call(&["PING"]).ok()?;
            (!reply.to_text().starts_with("LOADING")).then_some(true)
        });
        match answered {
            // Another server that has our port would answer as well: ours must still live when the answer is in.
            Some(true) if self.is_running() => Ready::Yes,
            Some(true) => Ready::PortTaken,
            Some(false) if self.log().to_lowercase().contains("in use") => Ready::PortTaken,
            Some(false) => Ready::No("ended at its start".into()),
            None => Ready::No(format!("did not answer within {PATIENCE:?}")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            let state = ended.map_or("running".into(), |status| status.to_string());
            eprintln!("the last of {}'s log ({state}):", self.kind.name());
            for line in tail.iter().rev() {
                eprintln!("    {line}");
            }
        }
        if ended.is_none() {
            // It may end by itself between the look and the kill: both ways it is gone afterwards.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// An empty folder for a server.
pub fn new_folder(kind: Kind) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ochre-test-{}-{number}-{}", process::id(), kind.name().to_lowercase());
    let dir = env::temp_dir().join(name);
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("cannot create {}: {error}", dir.display()));
    dir
}

/// A port that nobody listens on. It lies below those that the kernel gives to outgoing connections, which would
/// otherwise take it from under us.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(process::id().wrapping_mul(97)));
    for _ in 0..20_000 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % 20_000;
        let port = u16::try_from(11_000 + number).expect("it is below 31,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between 11000 and 31000 is free");
}

/// How long to give a server that must end.
pub const END_TIMEOUT: Duration = PATIENCE;
