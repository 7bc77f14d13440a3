//! The handshakes of encrypted connections, before their sessions begin.
//!
//! A core computes one step of one handshake, then all its connections have their turns before it computes the next. So a client waits for
//! one step at most, however many others connect at once.

use std::{future::poll_fn, io, task::Poll, time::Duration};

use tokio::{sync::Semaphore, task::yield_now, time::timeout};

use crate::{
    core::Core,
    session::Client,
    sockets::tls_stream::{HandshakeStep, TlsStream},
};

/// The handshakes of one core.
pub struct Handshakes {
    /// Held while a step is computed, and until all other connections have had their turns.
    turn: Semaphore,
}

impl Handshakes {
    /// No handshakes yet.
    pub fn new() -> Handshakes {
        Handshakes { turn: Semaphore::new(1) }
    }

    /// Completes the handshake of a connection. Returns whether it succeeded; if not, the reason is logged and counted.
    pub async fn complete(&self, core: &Core, stream: &mut TlsStream, client: &Client) -> bool {
        let limit_s = core.config().tls_handshake_timeout_s;
        let Err(error) = timeout(Duration::from_secs(limit_s), self.run(stream, client))
            .await
            .unwrap_or_else(|_| Err(io::Error::other(format!("no TLS handshake within {limit_s} seconds"))))
        else {
            return true;
        };
        core.server.tls.count_failure();
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the client closed the connection during the TLS handshake".to_owned(),
            _ => error.to_string(),
        };
        tracing::warn!(
            "Error accepting a client connection: {reason} (addr={} laddr={})",
            client.address,
            client.local_address
        );
        false
    }

    async fn run(&self, stream: &mut TlsStream, client: &Client) -> io::Result<()> {
        loop {
            let step = poll_fn(|cx| {
                client.waker.register(cx.waker());
                if client.is_killed() {
                    return Poll::Ready(Err(io::Error::other("the client was disconnected by the server")));
                }
                stream.poll_handshake(cx)
            });
            if step.await? == HandshakeStep::Finished {
                return Ok(());
            }
            let turn = self.turn.acquire().await.map_err(io::Error::other)?;
            // Whatever had arrived may have been an event without bytes; then the next step waits again.
            let received = poll_fn(|cx| match stream.poll_receive_handshake(cx) {
                Poll::Ready(received) => Poll::Ready(received),
                Poll::Pending => Poll::Ready(Ok(())),
            });
            let received = received.await;
            yield_now().await;
            drop(turn);
            received?;
        }
    }
}
