//! Runs the lines of a case on a server, and reads the processor time that the server spends on them.

use std::io;
use std::thread;
use std::time::Duration;

use ochre_testkit::client::{self, Client};
use ochre_testkit::{Launch, Reply, Server, poll, process};

use super::case::{Case, Line, Sender};

/// How long a reply may take. A command whose cost grows as a square takes long.
const REPLY_TIMEOUT: Duration = Duration::from_secs(300);

/// How long the server has to be idle until its processor time is read.
const IDLE: Duration = Duration::from_millis(2);

/// The number of requests that are sent before their replies are read. Together they are smaller than a socket's buffer.
const PIPELINE: usize = 200;

/// A server, and the connections of a run.
pub struct Stage {
    server: Server,
    main: Client,
    other: Option<Client>,
    further: Vec<Client>,
}

impl Stage {
    /// Starts the server of a case.
    pub fn new(launch: Launch, case: &Case, n: usize) -> io::Result<Stage> {
        let launch = match case.directive {
            Some((name, value)) => launch.directive(name, &value.replace("{n}", &n.to_string())),
            None => launch,
        };
        let server = launch.start();
        let main = connect(&server)?;
        Ok(Stage { server, main, other: None, further: Vec::new() })
    }

    /// Prepares the server and runs the case once. Returns the processor time that the server spent on the run.
    pub fn measure(&mut self, case: &Case, n: usize) -> io::Result<Duration> {
        self.reset()?;
        case.prepare.iter().try_for_each(|line| self.line(line, n))?;
        let before = self.settled_time()?;
        case.run.iter().try_for_each(|line| self.line(line, n))?;
        Ok(self.settled_time()? - before)
    }

    /// Ends what an earlier run has left: its connections, its data, and the state of the main connection.
    fn reset(&mut self) -> io::Result<()> {
        self.main = connect(&self.server)?;
        self.close()?;
        check(&self.main.call(&["FLUSHALL", "SYNC"])?)
    }

    /// The processor time of the server, once it has nothing left to do. Some work goes on after the reply, such as freeing.
    fn settled_time(&self) -> io::Result<Duration> {
        let mut time = process::cpu_time(self.server.pid())?;
        loop {
            thread::sleep(IDLE);
            let again = process::cpu_time(self.server.pid())?;
            // A server that is idle still looks at its clock from time to time.
            if again - time < IDLE / 10 {
                return Ok(again);
            }
            time = again;
        }
    }

    fn line(&mut self, text: &str, n: usize) -> io::Result<()> {
        let line = Line::parse(text, n);
        match line.sender {
            Sender::Main => run(&mut self.main, &line, n),
            Sender::Other => {
                let other = match &mut self.other {
                    Some(other) => other,
                    none => none.insert(connect(&self.server)?),
                };
                run(other, &line, n)
            }
            Sender::Others => self.each(&line, n, |client, request| call(client, &request, n)),
            Sender::Waiter | Sender::Waiters => {
                let before = self.blocked()?;
                self.each(&line, n, |client, request| client.send(&request))?;
                self.until("blocked_clients", before + line.rounds)
            }
            Sender::Close => self.close(),
        }
    }

    /// Runs each round of a line on a new connection.
    fn each(
        &mut self,
        line: &Line<'_>,
        n: usize,
        send: impl Fn(&mut Client, Vec<String>) -> io::Result<()>,
    ) -> io::Result<()> {
        for number in 1..=line.rounds {
            let mut client = connect(&self.server)?;
            line.round(number, n).try_for_each(|request| send(&mut client, request))?;
            self.further.push(client);
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.other = None;
        self.further.clear();
        self.until("connected_clients", 1)
    }

    fn blocked(&self) -> io::Result<usize> {
        figure(&mut connect(&self.server)?, "blocked_clients")
    }

    /// Waits until a figure of INFO has this value. The main connection asks for it, so that no further one is counted.
    fn until(&mut self, name: &str, value: usize) -> io::Result<()> {
        let reached = poll::until(REPLY_TIMEOUT, || match figure(&mut self.main, name) {
            Ok(now) => (now == value).then_some(Ok(())),
            Err(error) => Some(Err(error)),
        });
        reached.unwrap_or_else(|| Err(io::Error::other(format!("{name} does not become {value}"))))
    }
}

fn connect(server: &Server) -> io::Result<Client> {
    let client = Client::connect(server.port())?;
    client.set_timeout(REPLY_TIMEOUT)?;
    Ok(client)
}

/// Reads a number from INFO.
fn figure(client: &mut Client, name: &str) -> io::Result<usize> {
    let info = client.call(&["INFO", "clients"])?.to_text();
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok());
    value.ok_or_else(|| io::Error::other(format!("INFO clients has no {name}: {info}")))
}

/// Sends the requests of a line in pipelines, and reads their replies.
fn run(client: &mut Client, line: &Line<'_>, n: usize) -> io::Result<()> {
    if line.rounds == 1 {
        return line.round(1, n).try_for_each(|request| call(client, &request, n));
    }
    let mut number = 1;
    while number <= line.rounds {
        let (mut bytes, mut replies) = (Vec::new(), 0);
        for number in number..=line.rounds.min(number + PIPELINE - 1) {
            for request in line.round(number, n) {
                client::encode(&request, &mut bytes);
                replies += replies_to(&request, n);
            }
        }
        client.send_bytes(&bytes)?;
        read(client, replies)?;
        number += PIPELINE;
    }
    Ok(())
}

fn call(client: &mut Client, request: &[String], n: usize) -> io::Result<()> {
    client.send(request)?;
    read(client, replies_to(request, n)).map_err(|error| {
        let beginning: String = request.join(" ").chars().take(60).collect();
        io::Error::other(format!("{beginning}: {error}"))
    })
}

/// The number of replies to a request. (P|S)SUBSCRIBE and (P|S)UNSUBSCRIBE reply once for each channel.
fn replies_to(request: &[String], n: usize) -> usize {
    match request.len() {
        _ if !request[0].ends_with("SUBSCRIBE") => 1,
        // All subscriptions end. A case has `n` of them.
        1 => n,
        words => words - 1,
    }
}

fn read(client: &mut Client, replies: usize) -> io::Result<()> {
    for _ in 0..replies {
        check(&client.read_reply()?)?;
    }
    Ok(())
}

/// Refuses an error reply: a case that the server refuses measures nothing.
fn check(reply: &Reply) -> io::Result<()> {
    if reply.is_error() { Err(io::Error::other(reply.to_text())) } else { Ok(()) }
}
