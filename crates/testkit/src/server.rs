//! Starting servers for tests. Each runs in a folder of its own, on a free port, and is killed when it is dropped.

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

/// The servers that tests can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The server of this workspace.
    Ochre,
    /// The reference server Redis.
    Redis,
    /// The reference server Valkey.
    Valkey,
}

impl Kind {
    /// Returns the server's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ochre => "Ochre",
            Kind::Redis => "Redis",
            Kind::Valkey => "Valkey",
        }
    }

    /// Returns the server under test. It is Ochre, unless the environment variable `OCHRE_SUBJECT` names a reference server: so the tests
    /// themselves are tested.
    ///
    /// # Panics
    /// If the variable has another value than `ochre`, `redis` or `valkey`.
    pub fn subject() -> Kind {
        match env::var("OCHRE_SUBJECT").as_deref() {
            Ok("redis") => Kind::Redis,
            Ok("valkey") => Kind::Valkey,
            Ok("ochre") | Err(_) => Kind::Ochre,
            Ok(other) => panic!("OCHRE_SUBJECT is {other}: it must be ochre, redis or valkey"),
        }
    }

    /// Returns the path of the server's program. Ochre is built, unless the environment variable `OCHRE_BIN` has the path of a program; the
    /// reference servers are installed.
    ///
    /// # Panics
    /// If the program cannot be built or installed.
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

/// Builds Ochre, since an old program would not show what the present code does.
fn build_ochre() -> PathBuf {
    let target = workspace::target_dir();
    let status = workspace::cargo()
        .args(["build", "--quiet", "--package", "ochre-server", "--target-dir"])
        .arg(&target)
        .status()
        .unwrap_or_else(|error| panic!("cargo did not start to build the server: {error}"));
    assert!(status.success(), "the server does not build; set OCHRE_BIN to test another one");
    target.join("debug/ochre")
}

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Launch {
    kind: Kind,
    program: Option<PathBuf>,
    file: Option<PathBuf>,
    directives: Vec<(String, String)>,
    threads: Option<usize>,
    unix_socket: bool,
    cores: Vec<usize>,
    folder: Option<PathBuf>,
}

impl Launch {
    /// Starts a server with its defaults.
    pub fn new(kind: Kind) -> Launch {
        Launch {
            kind,
            program: None,
            file: None,
            directives: Vec::new(),
            threads: None,
            unix_socket: false,
            cores: Vec::new(),
            folder: None,
        }
    }

    /// Starts the server under test; see [`Kind::subject`].
    pub fn subject() -> Launch {
        Launch::new(Kind::subject())
    }

    /// Starts another program in the place of [`Kind::program`].
    pub fn program(mut self, path: &Path) -> Launch {
        self.program = Some(path.to_path_buf());
        self
    }

    /// Starts the server in a folder that exists, and that is not removed when the server is dropped.
    pub fn in_folder(mut self, folder: &Path) -> Launch {
        self.folder = Some(folder.to_path_buf());
        self
    }

    /// Has the server read a configuration file. Port, address and folder are still those of the test.
    pub fn file(mut self, path: &Path) -> Launch {
        self.file = Some(path.to_path_buf());
        self
    }

    /// Sets a directive. Name and value are as in a configuration file.
    pub fn directive(mut self, name: &str, value: &str) -> Launch {
        self.directives.push((name.into(), value.into()));
        self
    }

    /// Sets the number of Ochre's threads. The reference servers keep their single thread.
    pub fn threads(mut self, threads: usize) -> Launch {
        self.threads = Some(threads);
        self
    }

    /// Has the server listen on a Unix socket too, whose path is [`Server::unix_socket`].
    pub fn unix_socket(mut self) -> Launch {
        self.unix_socket = true;
        self
    }

    /// Restricts the server to some cores.
    pub fn pinned(mut self, cores: &[usize]) -> Launch {
        self.cores = cores.to_vec();
        self
    }

    /// Starts the server, and waits until it replies to PING.
    ///
    /// # Panics
    /// If it does not. The message has the server's log.
    #[track_caller]
    pub fn start(self) -> Server {
        // Another process may take the free port before the server does. Then another port is tried.
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

    /// Starts the server, and does not wait until it answers.
    pub fn spawn(&self) -> Server {
        let dir = self.folder.clone().unwrap_or_else(|| new_folder(self.kind));
        let port = free_port();
        let log_path = dir.join("log.txt");
        let log = File::create(&log_path).unwrap_or_else(|error| panic!("{}: {error}", log_path.display()));
        let program = self.program.clone().unwrap_or_else(|| self.kind.program());
        let mut command = Command::new(&program);
        command.args(&self.file);
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
            // A value of several words becomes several arguments.
            match crate::quoting::split(value.as_bytes()) {
                Ok(words) if words.len() > 1 => {
                    command.args(words.iter().map(|word| String::from_utf8_lossy(word).into_owned()))
                }
                _ => command.arg(value),
            };
        }
        command
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("the log's file handle can be duplicated"))
            .stdout(log);
        if !self.cores.is_empty() {
            crate::process::pin(&mut command, &self.cores);
        }
        let child = spawn_bound(command).unwrap_or_else(|error| panic!("{} did not start: {error}", program.display()));
        Server { kind: self.kind, child, port, dir, keeps_dir: self.folder.is_some(), unix_socket }
    }
}

/// Whether a server that was just started replies.
enum Ready {
    Yes,
    PortTaken,
    No(String),
}

/// A running server. When it is dropped, it is killed and its folder removed. If the test has failed, the end of its log is printed first.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    child: Child,
    port: u16,
    dir: PathBuf,
    /// Whether the folder stays when the server is dropped.
    keeps_dir: bool,
    unix_socket: Option<PathBuf>,
}

impl Server {
    /// Returns which server this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the server's TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the server's process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the server's working directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the path of the server's Unix socket, if it has one.
    pub fn unix_socket(&self) -> Option<&Path> {
        self.unix_socket.as_deref()
    }

    /// Returns what the server has written to its standard output and standard error.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.dir.join("log.txt")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Connects a client.
    ///
    /// # Panics
    /// If the server does not accept the connection.
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

    /// Returns whether the server has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the server.
    ///
    /// # Panics
    /// If the server has ended and was waited for.
    pub fn signal(&self, signal: i32) {
        crate::process::signal(self.pid(), signal).expect("a child that was not waited for can be signalled");
    }

    /// Waits until the server ends by itself.
    ///
    /// # Panics
    /// If it does not end within [`PATIENCE`].
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
            // Any reply will do, even an error that asks for a password, except the error of a server that is still loading.
            let reply = client.call(&["PING"]).ok()?;
            (!reply.to_text().starts_with("LOADING")).then_some(true)
        });
        match answered {
            // Another server on this port would reply as well. So our server must still be running when the reply has arrived.
            Some(true) if self.is_running() => Ready::Yes,
            Some(true) => Ready::PortTaken,
            Some(false) if self.log().to_lowercase().contains("in use") => Ready::PortTaken,
            Some(false) => Ready::No("ended during its start".into()),
            None => Ready::No(format!("did not reply within {PATIENCE:?}")),
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
            eprintln!("the end of the log of {} ({state}):", self.kind.name());
            for line in tail.iter().rev() {
                eprintln!("    {line}");
            }
        }
        if ended.is_none() {
            // An error means that the server has ended by itself in the meantime.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if !self.keeps_dir {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

impl Server {
    /// Kills the server, as a crash does (SIGKILL).
    pub fn kill(&mut self) {
        self.child.kill().expect("a child that was not waited for can be killed");
        self.child.wait().expect("a killed child ends");
    }
}

/// Makes an empty folder for a server, and returns its path.
pub fn new_folder(kind: Kind) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ochre-test-{}-{number}-{}", process::id(), kind.name().to_lowercase());
    let dir = env::temp_dir().join(name);
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("cannot create {}: {error}", dir.display()));
    dir
}

/// Returns a TCP port on which no process listens. It lies below the range from which the kernel takes the ports of outgoing connections,
/// so that none of these takes it in the meantime.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(process::id().wrapping_mul(97)));
    for _ in 0..20_000 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % 20_000;
        let port = u16::try_from(11_000 + number).expect("a port below 31,000 has 16 bits");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between 11000 and 31000 is free");
}

/// How long a server may take to end.
pub const END_TIMEOUT: Duration = PATIENCE;
