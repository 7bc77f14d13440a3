//! A client's stream: TCP or a Unix socket.

use std::{
    io,
    os::fd::AsRawFd,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// A client's stream, registered with the runtime of the thread that serves it.
pub enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection over a Unix socket.
    Unix(UnixStream),
}

/// A stream between the acceptor and its core, registered with no runtime.
pub enum Accepted {
    /// A TCP connection.
    Tcp(std::net::TcpStream),
    /// A connection over a Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// The file descriptor, which CLIENT LIST shows.
    pub fn fd(&self) -> i32 {
        match self {
            Accepted::Tcp(stream) => stream.as_raw_fd(),
            Accepted::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Registers the stream with the runtime of the calling thread.
    pub fn register(self) -> io::Result<Stream> {
        match self {
            Accepted::Tcp(stream) => TcpStream::from_std(stream).map(Stream::Tcp),
            Accepted::Unix(stream) => UnixStream::from_std(stream).map(Stream::Unix),
        }
    }
}

impl Stream {
    /// Writes as many bytes as the socket's buffer has room for, and returns how many. If some are left, the task is woken when there is room
    /// again.
    pub fn write_what_fits(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            let poll = match self {
                Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, &bytes[sent..]),
                Stream::Unix(stream) => Pin::new(stream).poll_write(cx, &bytes[sent..]),
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
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}
