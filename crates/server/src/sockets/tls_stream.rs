//! A TCP connection that is encrypted.
//!
//! Bytes are taken from the caller, encrypted and sent in chunks. A chunk counts as written when all of it has been sent: until then the
//! caller keeps it, and passes it again. So what a client does not read is counted as on a plain connection.

use std::{
    fmt,
    io::{self, BufRead, IoSlice, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{ServerConfig, ServerConnection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The most bytes that are encrypted before they are sent.
const CHUNK_BYTES: usize = 64 * 1024;
/// What an idle connection takes beside the struct, as measured: the keys of its session, and the buffer that rustls reads records into.
const IDLE_BYTES: usize = 7 * 1024;

/// An encrypted TCP connection, registered with the runtime of the thread that serves it.
pub struct TlsStream {
    socket: TcpStream,
    session: ServerConnection,
    /// The length of the part of the caller's output that is encrypted but not yet sent as a whole.
    encrypted: usize,
}

impl TlsStream {
    /// A connection whose handshake has not begun.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn new(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<TlsStream> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(TlsStream { socket, session, encrypted: 0 })
    }

    /// Sends what the handshake has to send, and waits until there is something to receive.
    pub fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<HandshakeStep>> {
        if !self.flush(cx)? {
            return Poll::Pending;
        }
        if !self.session.is_handshaking() {
            return Poll::Ready(Ok(HandshakeStep::Finished));
        }
        ready!(self.socket.poll_read_ready(cx))?;
        Poll::Ready(Ok(HandshakeStep::Receive))
    }

    /// Receives a part of the handshake and computes the answer, which is what takes time. It is pending if nothing has arrived.
    pub fn poll_receive_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.poll_receive(cx))? {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The client's certificate, if it has presented one.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.session.peer_certificates()?.first().map(|certificate| certificate.as_ref())
    }

    /// The bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<TlsStream>() + IDLE_BYTES + self.encrypted
    }

    /// Encrypts and sends as many bytes as the socket's buffer has room for, and returns how many. Those that were not sent must be passed
    /// again, in the same order. If some are left, the task is woken when there is room again.
    pub fn write_what_fits(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        debug_assert!(self.encrypted <= bytes.len());
        let mut sent = 0;
        while self.flush(cx)? {
            sent += std::mem::take(&mut self.encrypted);
            if sent >= bytes.len() {
                break;
            }
            let end = bytes.len().min(sent + CHUNK_BYTES);
            self.encrypted = self.session.writer().write(&bytes[sent..end])?;
        }
        Ok(sent)
    }

    /// Receives records and decrypts them. Returns the number of encrypted bytes, which is 0 at the end of the connection.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let received = match self.session.read_tls(&mut Encrypted { socket: &mut self.socket, cx }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            received => received?,
        };
        let processed = self.session.process_new_packets();
        // Answers of the protocol, such as an alert that says what is wrong. What does not fit now goes before the next reply.
        let flushed = self.flush(cx);
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        flushed?;
        Poll::Ready(Ok(received))
    }

    /// Moves decrypted bytes to the buffer. Returns whether the client has said that it sends nothing more.
    fn take_decrypted(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
        let mut reader = self.session.reader();
        while buffer.remaining() > 0 {
            let bytes = match reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                bytes => bytes?,
            };
            if bytes.is_empty() {
                return Ok(true);
            }
            let taken = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..taken]);
            reader.consume(taken);
        }
        Ok(false)
    }

    /// Sends what is encrypted. Returns whether all of it is sent; if not, the task is woken when the socket has room.
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Encrypted { socket: &mut self.socket, cx }) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            let is_end = this.take_decrypted(buffer)?;
            if is_end || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let has_some = buffer.filled().len() > before;
            // An end or an error behind what was decrypted is met again by the next read.
            match this.poll_receive(cx) {
                Poll::Ready(Ok(1..)) => {}
                _ if has_some => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => return Poll::Ready(result.map(drop)),
            }
        }
    }
}

impl Drop for TlsStream {
    /// Tells the client that the connection ends here, if that can be sent at once.
    fn drop(&mut self) {
        self.session.send_close_notify();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _ = self.flush(&mut cx);
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// What a handshake does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandshakeStep {
    /// It receives what has arrived.
    Receive,
    /// Nothing: it is finished.
    Finished,
}

/// The socket, as rustls reads from it and writes to it: an operation that would wait is an error, and wakes the task later.
struct Encrypted<'a, 'b> {
    socket: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl Read for Encrypted<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.socket).poll_read(self.cx, &mut buffer) {
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Encrypted<'_, '_> {
    fn written(poll: Poll<io::Result<usize>>) -> io::Result<usize> {
        match poll {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Encrypted<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Encrypted::written(Pin::new(&mut *self.socket).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Encrypted::written(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
