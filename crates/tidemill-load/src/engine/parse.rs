//! HTTP/1 answers out of bytes as they come: head by `httparse`, body by length, chunks or the end of the connection.

use crate::answer::{Answer, Wanted};
use crate::failure::Failure;

/// The most headers of an answer.
const HEADERS: usize = 100;

/// The longest line around a chunk: its size with extensions, or a trailer.
const CHUNK_LINE: usize = 4096;

/// The most bytes of trailers.
const TRAILERS: usize = 16_384;

/// The most interim (1xx) answers before the real one.
const INTERIM: u32 = 16;

/// What the parser needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// More bytes; those consumed may be forgotten.
    More { consumed: usize },
    /// Nothing: the answer is whole.
    Done { consumed: usize, keep_alive: bool },
}

/// One answer in the making.
#[derive(Debug)]
pub(crate) struct Parser {
    state: State,
    keep_alive: bool,
    interim: u32,
    head_limit: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    ChunkSize {
        value: u64,
        digits: u32,
        line: usize,
        extension: bool,
    },
    ChunkData(u64),
    /// The line break after a chunk's data.
    ChunkEnd,
    Trailer {
        line: usize,
        total: usize,
    },
}

impl Parser {
    /// A parser for one answer whose head may have so many bytes.
    pub(crate) fn new(head_limit: usize) -> Self {
        Self { state: State::Head, keep_alive: true, interim: 0, head_limit }
    }

    /// Takes bytes: the head wants all since its start again, the body only new ones.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        wanted: &Wanted,
        answer: &mut Answer,
    ) -> Result<Next, Failure> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self.state {
                State::Head => {
                    let Some(length) = self.head(rest, wanted, answer)? else {
                        return Ok(Next::More { consumed: at });
                    };
                    at += length;
                }
                State::Length(0) => return Ok(Next::Done { consumed: at, keep_alive: self.keep_alive }),
                _ if rest.is_empty() => return Ok(Next::More { consumed: at }),
                State::Length(left) => {
                    let take = left.min(rest.len() as u64) as usize;
                    answer.push(wanted, &rest[..take]);
                    self.state = State::Length(left - take as u64);
                    at += take;
                }
                State::UntilClose => {
                    if answer.length + rest.len() as u64 > wanted.largest {
                        return Err(Failure::TooLarge);
                    }
                    answer.push(wanted, rest);
                    at = bytes.len();
                }
                State::ChunkData(left) => {
                    let take = left.min(rest.len() as u64) as usize;
                    answer.push(wanted, &rest[..take]);
                    at += take;
                    self.state = match left - take as u64 {
                        0 => State::ChunkEnd,
                        left => State::ChunkData(left),
                    };
                }
                _ => {
                    if self.line(rest[0], wanted, answer)? {
                        return Ok(Next::Done { consumed: at + 1, keep_alive: self.keep_alive });
                    }
                    at += 1;
                }
            }
        }
    }

    /// The connection ended: whether that ends the answer too.
    pub(crate) fn end(&self) -> Result<(), Failure> {
        if matches!(self.state, State::UntilClose) { Ok(()) } else { Err(Failure::Reset) }
    }

    /// Reads a head; `None` when it is not whole.
    fn head(&mut self, bytes: &[u8], wanted: &Wanted, answer: &mut Answer) -> Result<Option<usize>, Failure> {
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut headers,
        );
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) if length <= self.head_limit => length,
            Ok(httparse::Status::Partial) if bytes.len() < self.head_limit => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Failure::TooLarge),
            Err(_) => return Err(Failure::Protocol),
        };
        let status = response.code.ok_or(Failure::Protocol)?;
        if (100..200).contains(&status) {
            self.interim += 1;
            // Nothing was asked to be switched to.
            if self.interim > INTERIM || status == 101 {
                return Err(Failure::Protocol);
            }
            return Ok(Some(length));
        }
        answer.status = status;
        self.keep_alive = response.version == Some(1);
        let (mut content_length, mut chunked) = (None, false);
        for header in response.headers.iter() {
            match header.name.len() {
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let value = decimal(header.value)?;
                    if content_length.is_some_and(|before| before != value) {
                        return Err(Failure::Protocol);
                    }
                    content_length = Some(value);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    let last = header.value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                    if !last.trim_ascii().eq_ignore_ascii_case(b"chunked") || chunked {
                        return Err(Failure::Protocol);
                    }
                    chunked = true;
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    for word in header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                        if word.eq_ignore_ascii_case(b"close") {
                            self.keep_alive = false;
                        } else if word.eq_ignore_ascii_case(b"keep-alive") {
                            self.keep_alive = true;
                        }
                    }
                }
                _ => {}
            }
            answer.header(wanted, header.name, header.value);
        }
        if chunked && content_length.is_some() {
            // Both at once is how answers are smuggled.
            return Err(Failure::Protocol);
        }
        self.state = if wanted.is_head || matches!(status, 204 | 304) {
            State::Length(0)
        } else if chunked {
            State::ChunkSize { value: 0, digits: 0, line: 0, extension: false }
        } else if let Some(length) = content_length {
            if length > wanted.largest {
                return Err(Failure::TooLarge);
            }
            State::Length(length)
        } else {
            self.keep_alive = false;
            State::UntilClose
        };
        Ok(Some(length))
    }

    /// Takes one byte of the lines around chunks; true when the answer is whole.
    fn line(&mut self, byte: u8, wanted: &Wanted, answer: &Answer) -> Result<bool, Failure> {
        match &mut self.state {
            State::ChunkSize { value, digits, line, extension } => {
                *line += 1;
                if *line > CHUNK_LINE {
                    return Err(Failure::TooLarge);
                }
                match byte {
                    b'\n' if *digits == 0 => return Err(Failure::Protocol),
                    b'\n' if *value == 0 => self.state = State::Trailer { line: 0, total: 0 },
                    b'\n' => {
                        if answer.length.saturating_add(*value) > wanted.largest {
                            return Err(Failure::TooLarge);
                        }
                        self.state = State::ChunkData(*value);
                    }
                    _ if *extension => {}
                    b';' | b' ' | b'\t' | b'\r' => *extension = true,
                    _ => {
                        let digit = char::from(byte).to_digit(16).ok_or(Failure::Protocol)?;
                        *digits += 1;
                        if *digits > 15 {
                            return Err(Failure::Protocol);
                        }
                        *value = *value * 16 + u64::from(digit);
                    }
                }
            }
            State::ChunkEnd => match byte {
                b'\r' => {}
                b'\n' => self.state = State::ChunkSize { value: 0, digits: 0, line: 0, extension: false },
                _ => return Err(Failure::Protocol),
            },
            State::Trailer { line, total } => {
                *total += 1;
                if *total > TRAILERS {
                    return Err(Failure::TooLarge);
                }
                match byte {
                    b'\n' if *line == 0 => return Ok(true),
                    b'\n' => *line = 0,
                    b'\r' => {}
                    _ => *line += 1,
                }
            }
            _ => {}
        }
        Ok(false)
    }
}

fn decimal(text: &[u8]) -> Result<u64, Failure> {
    let text = text.trim_ascii();
    if text.is_empty() || text.len() > 15 || !text.iter().all(u8::is_ascii_digit) {
        return Err(Failure::Protocol);
    }
    Ok(text.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests;
#[cfg(any(test, fuzzing))]
pub(crate) mod trial;
