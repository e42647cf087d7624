//! Joins the frames of a body: inflated as they come, or as they are, a single one without a copy.

use bytes::{Bytes, BytesMut};

use super::inflate::Inflater;

/// Where the frames of a body go.
pub(super) enum Sink {
    Plain(Plain),
    Inflated(Inflater),
}

/// A body as it is: nothing, one frame, or several joined.
pub(super) enum Plain {
    Empty,
    One(Bytes),
    Many(BytesMut),
}

impl Plain {
    pub(super) fn push(&mut self, data: Bytes, announced: Option<u64>) {
        *self = match std::mem::replace(self, Self::Empty) {
            Self::Empty => Self::One(data),
            Self::One(first) => {
                // The announced length is below `body_max` here; an unannounced body doubles as it grows.
                let room = announced.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(first.len() * 4);
                let mut joined = BytesMut::with_capacity(room.min(1 << 20));
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&data);
                Self::Many(joined)
            }
            Self::Many(mut joined) => {
                joined.extend_from_slice(&data);
                Self::Many(joined)
            }
        };
    }

    pub(super) fn finish(self) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(joined) => joined.freeze(),
        }
    }
}
