//! A small synchronous client that returns replies exactly as they were on the wire.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::quoting;
use crate::reply::Reply;

/// How long a reply may take before the client gives up. [`Client::set_timeout`] changes it.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// The bytes' way in and out.
    fn io(&mut self) -> &mut dyn ReadWrite {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
            Stream::Tls(stream) => stream,
        }
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    /// The bytes that were read. Those from `taken` on were not returned yet.
    buffer: Vec<u8>,
    taken: usize,
}

impl Client {
    /// Connects over TCP to a port of this machine.
    pub fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Client::over(Stream::Tcp(stream))
    }

    /// Connects to a Unix socket.
    pub fn connect_unix(path: &Path) -> io::Result<Client> {
        Client::over(Stream::Unix(UnixStream::connect(path)?))
    }

    /// Connects over TLS to a port of this machine, whose certificate is for `localhost`, and completes the handshake.
    pub fn connect_tls(port: u16, config: Arc<ClientConfig>) -> io::Result<Client> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
        let name = "localhost".try_into().expect("a valid name");
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Client::over(Stream::Tls(Box::new(StreamOwned::new(session, socket))))
    }

    /// The TLS session of a client that has connected with [`Client::connect_tls`].
    pub fn tls(&self) -> Option<&ClientConnection> {
        match &self.stream {
            Stream::Tls(stream) => Some(&stream.conn),
            _ => None,
        }
    }

    fn over(stream: Stream) -> io::Result<Client> {
        let client = Client { stream, buffer: Vec::new(), taken: 0 };
        client.set_timeout(REPLY_TIMEOUT)?;
        Ok(client)
    }

    /// Sets how long to wait for bytes to read, and for room to write.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
            Stream::Tls(stream) => {
                stream.sock.set_read_timeout(Some(timeout))?;
                stream.sock.set_write_timeout(Some(timeout))
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
        }
    }

    /// Sends a command, written as in redis-cli, and waits for its reply.
    ///
    /// # Panics
    /// If the connection fails, or the line cannot be split into arguments.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> Reply {
        let arguments = quoting::split(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
        self.call(&arguments).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Sends a command and waits for its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<Reply> {
        self.send(arguments)?;
        self.read_reply()
    }

    /// Sends commands in one write and waits for as many replies.
    pub fn pipeline(&mut self, commands: &[Vec<Vec<u8>>]) -> io::Result<Vec<Reply>> {
        let mut bytes = Vec::new();
        for command in commands {
            encode(command, &mut bytes);
        }
        self.send_bytes(&bytes)?;
        commands.iter().map(|_| self.read_reply()).collect()
    }

    /// Sends a command without waiting for its reply.
    pub fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(arguments, &mut bytes);
        self.send_bytes(&bytes)
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.io().write_all(bytes)
    }

    /// Waits for the next reply or push message. The error is of kind `UnexpectedEof` if the server closed the connection.
    pub fn read_reply(&mut self) -> io::Result<Reply> {
        loop {
            if let Some(reply) = self.take_reply()? {
                return Ok(reply);
            }
            if self.fill()? == 0 {
                let left = quoting::quote(&self.buffer[self.taken..]);
                let message = format!("the server closed the connection, {left} unread");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
        }
    }

    /// Returns the next reply or push message, or `None` if none arrives within `limit`.
    pub fn read_reply_within(&mut self, limit: Duration) -> io::Result<Option<Reply>> {
        let deadline = Instant::now() + limit;
        let result = loop {
            if let Some(reply) = self.take_reply()? {
                break Ok(Some(reply));
            }
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.set_timeout(left)?;
            match self.fill() {
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {
                    if Instant::now() >= deadline {
                        break Ok(None);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        self.set_timeout(REPLY_TIMEOUT)?;
        result
    }

    /// Waits for a line that ends with LF, and returns it without the LF. For the plain-line protocol.
    pub fn read_line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(length) = self.buffer[self.taken..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer[self.taken..self.taken + length].to_vec();
                self.taken += length + 1;
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads all bytes up to the end of the connection.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                // If the server closes the connection before it has read all our bytes, the connection is reset.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        let bytes = self.buffer.split_off(self.taken);
        self.buffer.clear();
        self.taken = 0;
        Ok(bytes)
    }

    /// Reads exactly `length` bytes.
    pub fn read_bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() - self.taken < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let bytes = self.buffer[self.taken..self.taken + length].to_vec();
        self.taken += length;
        Ok(bytes)
    }

    /// Closes the connection for sending, as a program does that pipes a file into the socket.
    pub fn finish_sending(&self) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(stream) => stream.sock.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Returns the bytes that were read but not returned yet.
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    fn take_reply(&mut self) -> io::Result<Option<Reply>> {
        match Reply::parse(&self.buffer[self.taken..]) {
            Ok(Some((reply, length))) => {
                self.taken += length;
                if self.taken == self.buffer.len() {
                    self.buffer.clear();
                    self.taken = 0;
                }
                Ok(Some(reply))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// Waits for bytes, and reads them. Returns how many; 0 is the end of the connection.
    fn fill(&mut self) -> io::Result<usize> {
        if self.taken > 1 << 16 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        let mut chunk = [0; 1 << 16];
        let length = loop {
            match self.stream.io().read(&mut chunk) {
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the server did not reply in time"));
                }
                Err(error) => return Err(error),
            }
        };
        self.buffer.extend_from_slice(&chunk[..length]);
        Ok(length)
    }
}

/// Appends a command as an array of bulk strings, as client libraries send it.
pub fn encode<A: AsRef<[u8]>>(arguments: &[A], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
