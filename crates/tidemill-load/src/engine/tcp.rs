//! Plain TCP: the step's bytes, and an answer that ends with a text or after a number of bytes.

use crate::answer::Answer;
use crate::ask::Ask;
use crate::check::find;
use crate::cookies::Jar;
use crate::engine::{Link, Stream, is_silent, read_some, write_all};
use crate::failure::Failure;
use crate::template::Values;

/// What a connection reads at once.
const BUFFER: usize = 8 * 1024;

/// One connection that speaks no protocol.
pub(crate) struct Bytes<S> {
    stream: S,
    buffer: Vec<u8>,
    request: Vec<u8>,
}

impl<S: Stream> Bytes<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: vec![0; BUFFER], request: Vec::new() }
    }
}

impl<S: Stream> Link for Bytes<S> {
    fn keeps(&self) -> bool {
        true
    }

    fn is_silent(&mut self) -> bool {
        is_silent(&mut self.stream)
    }

    async fn exchange(
        &mut self,
        ask: &Ask,
        values: &Values<'_>,
        _jar: &Jar,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let wanted = &ask.inspection.wanted;
        let bytes = ask.payload(values, &mut self.request);
        answer.sent += bytes.len() as u64;
        write_all(&mut self.stream, bytes).await.map_err(|error| Failure::moving(&error))?;
        // The end of the answer so far, in which the closing text may have begun.
        let mut tail: Vec<u8> = Vec::new();
        loop {
            if wanted.until.is_none() && answer.length >= wanted.exactly {
                return if answer.length == wanted.exactly { Ok(()) } else { Err(Failure::Protocol) };
            }
            let read = read_some(&mut self.stream, &mut self.buffer)
                .await
                .map_err(|error| Failure::moving(&error))?;
            if read == 0 {
                return Err(Failure::Reset);
            }
            let piece = &self.buffer[..read];
            answer.received += read as u64;
            answer.push(wanted, piece);
            if answer.length > wanted.largest {
                return Err(Failure::TooLarge);
            }
            if let Some(until) = &wanted.until {
                tail.extend_from_slice(piece);
                if let Some(at) = find(&tail, until) {
                    return if at + until.len() == tail.len() { Ok(()) } else { Err(Failure::Protocol) };
                }
                tail.drain(..tail.len().saturating_sub(until.len()));
            }
        }
    }
}
