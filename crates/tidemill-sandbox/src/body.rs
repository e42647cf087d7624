//! A response body that keeps its promise of length, or breaks it on purpose.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

/// The sandbox broke off on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut off by a fault of the sandbox")
    }
}

impl std::error::Error for Cut {}

pub(crate) enum Body {
    /// All of it, in one piece; empty once given out.
    Whole(Bytes),
    /// The first half, then what [`Then`] says.
    Half(Bytes, Then),
    /// The half is given out and may be flushed.
    Sent(Then),
    /// Silence.
    Silent(Pin<Box<Sleep>>),
}

/// What follows half a body.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    Close,
    Silence(Duration),
}

impl Body {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }

    pub(crate) fn truncated(bytes: Bytes) -> Self {
        Self::Half(bytes.slice(..bytes.len() / 2), Then::Close)
    }

    pub(crate) fn stalled(bytes: Bytes, silence: Duration) -> Self {
        Self::Half(bytes.slice(..bytes.len() / 2), Then::Silence(silence))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        match this {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Half(bytes, then) => {
                let (bytes, then) = (std::mem::take(bytes), *then);
                *this = Self::Sent(then);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Sent(then) => {
                // Returning once without a frame lets the connection flush the half; an error here would drop it.
                let pause = match then {
                    Then::Close => Duration::ZERO,
                    Then::Silence(silence) => *silence,
                };
                *this = Self::Silent(Box::pin(tokio::time::sleep(pause)));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Silent(sleep) => sleep.as_mut().poll(cx).map(|()| Some(Err(Cut))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::new(),
        }
    }
}
