//! A client's stream: TCP, encrypted or not, or a Unix socket.

use std::{
    io,
    os::fd::AsRawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use super::tls_stream::TlsStream;

/// A client's stream, registered with the runtime of the thread that serves it.
pub enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// An encrypted TCP connection. It is in a box, so that the others need not be as large.
    Tls(Box<TlsStream>),
    /// A connection over a Unix socket.
    Unix(UnixStream),
}

/// A stream between the acceptor and its core, registered with no runtime.
pub enum Accepted {
    /// A TCP connection.
    Tcp(std::net::TcpStream),
    /// A TCP connection that is to be encrypted, and what it is encrypted with.
    Tls(std::net::TcpStream, Arc<rustls::ServerConfig>),
    /// A connection over a Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// The file descriptor, which CLIENT LIST shows.
    pub fn fd(&self) -> i32 {
        match self {
            Accepted::Tcp(stream) | Accepted::Tls(stream, _) => stream.as_raw_fd(),
            Accepted::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Registers the stream with the runtime of the calling thread.
    pub fn register(self) -> io::Result<Stream> {
        match self {
            Accepted::Tcp(stream) => TcpStream::from_std(stream).map(Stream::Tcp),
            Accepted::Tls(stream, config) => {
                TlsStream::new(TcpStream::from_std(stream)?, config).map(|stream| Stream::Tls(Box::new(stream)))
            }
            Accepted::Unix(stream) => UnixStream::from_std(stream).map(Stream::Unix),
        }
    }
}

impl Stream {
    /// The bytes of memory that it takes beside the enum.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Stream::Tls(stream) => stream.memory_bytes(),
            Stream::Tcp(_) | Stream::Unix(_) => 0,
        }
    }

    /// Writes as many bytes as the socket's buffer has room for, and returns how many. If some are left, the task is woken when there is room
    /// again. Bytes that are left must be passed again.
    pub fn write_what_fits(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            let poll = match self {
                Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, &bytes[sent..]),
                Stream::Unix(stream) => Pin::new(stream).poll_write(cx, &bytes[sent..]),
                Stream::Tls(stream) => return stream.write_what_fits(cx, bytes),
            };
            match poll {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => sent += n,
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        Ok(sent)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}
