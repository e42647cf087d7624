//! The one trait behind which every protocol stands: a connection that takes a request and gives an answer.

pub(crate) mod dial;
#[cfg(feature = "websocket")]
mod frame;
pub(crate) mod http1;
#[cfg(feature = "http2")]
pub(crate) mod http2;
pub(crate) mod parse;
pub(crate) mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(feature = "websocket")]
pub(crate) mod websocket;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::answer::{Answer, Wanted};
use crate::ask::Ask;
use crate::cookies::Jar;
use crate::failure::Failure;
use crate::template::Values;

/// How connections are made.
pub(crate) trait Engine: Send + Sync + 'static {
    /// What it makes.
    type Link: Link;

    /// Sets up a connection; the caller limits its time.
    fn connect(&self) -> impl Future<Output = Result<Self::Link, Failure>> + Send;
}

/// One connection, or one stream's share of it.
pub(crate) trait Link: Send + 'static {
    /// Whether the last answer lets the next request use it.
    fn keeps(&self) -> bool;

    /// Whether its peer has neither closed it nor sent what nobody asked for.
    fn is_silent(&mut self) -> bool;

    /// Sends a request and reads its whole answer; the caller limits its time and drops the link when it fails
    /// without an answer.
    fn exchange(
        &mut self,
        ask: &Ask,
        values: &Values<'_>,
        jar: &Jar,
        answer: &mut Answer,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Sends a message and waits for nothing; only a WebSocket can.
    fn tell(&mut self, message: &[u8]) -> impl Future<Output = Result<(), Failure>> + Send {
        _ = message;
        std::future::ready(Err(Failure::Protocol))
    }

    /// Waits for a message that nobody asked for; only a WebSocket has them.
    fn hear(
        &mut self,
        wanted: &Wanted,
        answer: &mut Answer,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        _ = (wanted, answer);
        std::future::ready(Err(Failure::Protocol))
    }
}

/// A stream of bytes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Writes all bytes and flushes them.
pub(crate) async fn write_all(stream: &mut impl Stream, mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => bytes = &bytes[written..],
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(&mut *stream).poll_flush(cx)
    })
    .await
}

/// Reads what is there into a buffer and says how much that was; 0 is the end.
pub(crate) async fn read_some(stream: &mut impl Stream, into: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut buffer = ReadBuf::new(into);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().len())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Whether a stream that owes nothing is still open and silent.
pub(crate) fn is_silent(stream: &mut impl Stream) -> bool {
    let (mut byte, mut cx) = ([0], std::task::Context::from_waker(std::task::Waker::noop()));
    Pin::new(stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
}
