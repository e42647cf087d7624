//! HTTP/1.1 by hand: request bytes made once, answers by `httparse`, one request at a time on a connection.

use crate::answer::Answer;
use crate::ask::Ask;
use crate::cookies::Jar;
use crate::engine::parse::{Next, Parser};
use crate::engine::{Link, Stream, is_silent, read_some, write_all};
use crate::failure::Failure;
use crate::template::Values;

/// What a connection reads at once; a head that is longer makes it grow up to the plan's limit.
const BUFFER: usize = 8 * 1024;

/// One connection.
pub(crate) struct Http1<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Requests that are not the same each time are written here.
    request: Vec<u8>,
    head_limit: usize,
    keep_alive: bool,
}

impl<S: Stream> Http1<S> {
    pub(crate) fn new(stream: S, head_limit: usize) -> Self {
        Self { stream, buffer: vec![0; BUFFER], request: Vec::new(), head_limit, keep_alive: true }
    }

    async fn read(&mut self, ask: &Ask, answer: &mut Answer) -> Result<(), Failure> {
        let wanted = &ask.inspection.wanted;
        let mut parser = Parser::new(self.head_limit);
        // What was read and is not consumed: only a head that is not whole.
        let mut held = 0;
        loop {
            let read = read_some(&mut self.stream, &mut self.buffer[held..])
                .await
                .map_err(|error| Failure::moving(&error))?;
            if read == 0 {
                self.keep_alive = false;
                return parser.end();
            }
            answer.received += read as u64;
            let end = held + read;
            match parser.push(&self.buffer[..end], wanted, answer)? {
                Next::Done { consumed, keep_alive } => {
                    self.keep_alive &= keep_alive;
                    // No second answer was asked for: the length lied.
                    return if consumed == end { Ok(()) } else { Err(Failure::Protocol) };
                }
                Next::More { consumed } => {
                    self.buffer.copy_within(consumed..end, 0);
                    held = end - consumed;
                    if held == self.buffer.len() {
                        self.buffer.resize((2 * held).min(self.head_limit.max(held + 1)), 0);
                    }
                }
            }
        }
    }
}

impl<S: Stream> Link for Http1<S> {
    fn keeps(&self) -> bool {
        self.keep_alive
    }

    fn is_silent(&mut self) -> bool {
        is_silent(&mut self.stream)
    }

    async fn exchange(
        &mut self,
        ask: &Ask,
        values: &Values<'_>,
        jar: &Jar,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let bytes = ask.http1(values, jar, &mut self.request);
        answer.sent += bytes.len() as u64;
        let written = write_all(&mut self.stream, bytes).await;
        if self.request.capacity() > 4 * BUFFER {
            self.request = Vec::new();
        }
        match (written, self.read(ask, answer).await) {
            // A server may answer and close before it has read everything: its answer counts.
            (_, Ok(())) => Ok(()),
            (Err(error), Err(_)) => Err(Failure::moving(&error)),
            (Ok(()), Err(failure)) => Err(failure),
        }
    }
}
