//! WebSocket connections: round trips as requests, and messages that nobody asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::answer::{Answer, Wanted};
use crate::ask::Ask;
use crate::cookies::Jar;
use crate::engine::dial::Dialer;
use crate::engine::frame::{self, Head, Opcode, base64};
use crate::engine::{Engine, Link, Stream, is_silent, read_some, write_all};
use crate::failure::Failure;
use crate::random::mix;
use crate::target::Endpoint;
use crate::template::Values;

/// What a connection reads at once.
const BUFFER: usize = 4096;

/// The largest head of the answer to a handshake.
const HEAD: usize = 8192;

/// What a server proves the handshake with (RFC 6455, 1.3).
const PROOF: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Connections that speak WebSocket.
pub(crate) struct WebSockets {
    pub(crate) dialer: Dialer,
    pub(crate) endpoint: Endpoint,
    pub(crate) opened: AtomicU64,
}

impl Engine for WebSockets {
    type Link = WebSocket<Box<dyn Stream>>;

    async fn connect(&self) -> Result<Self::Link, Failure> {
        let stream = self.dialer.open().await?;
        WebSocket::open(stream, &self.endpoint, self.opened.fetch_add(1, Ordering::Relaxed)).await
    }
}

/// One connection after its handshake.
pub(crate) struct WebSocket<S> {
    stream: S,
    buffer: Vec<u8>,
    /// What is read and not consumed: `start..end`.
    start: usize,
    end: usize,
    frame: Vec<u8>,
    /// The next mask; it hides nothing from anybody, but proxies want it to vary.
    mask: u64,
    is_closed: bool,
}

impl<S: Stream> WebSocket<S> {
    /// Asks a server to speak WebSocket; `number` tells connections apart.
    pub(crate) async fn open(mut stream: S, endpoint: &Endpoint, number: u64) -> Result<Self, Failure> {
        let seed = mix(number.wrapping_add(0x9E37_79B9_7F4A_7C15));
        let key = base64(&[seed.to_le_bytes(), mix(seed).to_le_bytes()].concat());
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-key: {key}\r\n\
             sec-websocket-version: 13\r\n\r\n",
            endpoint.path, endpoint.authority
        );
        write_all(&mut stream, request.as_bytes()).await.map_err(|error| Failure::moving(&error))?;
        let mut bytes = Vec::new();
        let size = loop {
            let mut piece = [0; 1024];
            let read = read_some(&mut stream, &mut piece).await.map_err(|error| Failure::moving(&error))?;
            if read == 0 {
                return Err(Failure::Reset);
            }
            bytes.extend_from_slice(&piece[..read]);
            if let Some(size) = agreed(&bytes, &key)? {
                break size;
            }
        };
        let mut buffer = vec![0; BUFFER.max(bytes.len() - size)];
        let end = bytes.len() - size;
        buffer[..end].copy_from_slice(&bytes[size..]);
        Ok(Self { stream, buffer, start: 0, end, frame: Vec::new(), mask: seed, is_closed: false })
    }

    async fn send(&mut self, opcode: Opcode, payload: &[u8]) -> Result<u64, Failure> {
        self.mask = mix(self.mask.wrapping_add(1));
        let [a, b, c, d, ..] = self.mask.to_le_bytes();
        self.frame.clear();
        frame::write(opcode, payload, [a, b, c, d], &mut self.frame);
        write_all(&mut self.stream, &self.frame).await.map_err(|error| Failure::moving(&error))?;
        let sent = self.frame.len() as u64;
        if self.frame.capacity() > 4 * BUFFER {
            self.frame = Vec::new();
        }
        Ok(sent)
    }

    /// Reads the next frame's head.
    async fn head(&mut self, answer: &mut Answer) -> Result<Head, Failure> {
        loop {
            if let Some(head) = Head::read(&self.buffer[self.start..self.end])? {
                self.start += head.size;
                return Ok(head);
            }
            self.fill(answer).await?;
        }
    }

    async fn fill(&mut self, answer: &mut Answer) -> Result<(), Failure> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let read = read_some(&mut self.stream, &mut self.buffer[self.end..])
            .await
            .map_err(|error| Failure::moving(&error))?;
        self.end += read;
        answer.received += read as u64;
        if read == 0 { Err(Failure::Reset) } else { Ok(()) }
    }

    /// Reads a message, and answers pings on the way.
    async fn next(&mut self, wanted: &Wanted, answer: &mut Answer) -> Result<(), Failure> {
        let mut begun = false;
        loop {
            let head = self.head(answer).await?;
            let continues = head.opcode == Opcode::Continuation;
            if !head.opcode.is_control() && continues != begun {
                return Err(Failure::Protocol);
            }
            if answer.length.saturating_add(head.length) > wanted.largest {
                return Err(Failure::TooLarge);
            }
            let mut control = Vec::new();
            let mut left = head.length;
            while left > 0 {
                if self.start == self.end {
                    self.fill(answer).await?;
                }
                let take = left.min((self.end - self.start) as u64) as usize;
                let piece = &self.buffer[self.start..self.start + take];
                if head.opcode.is_control() {
                    control.extend_from_slice(piece)
                } else {
                    answer.push(wanted, piece)
                }
                self.start += take;
                left -= take as u64;
            }
            match head.opcode {
                Opcode::Ping => answer.sent += self.send(Opcode::Pong, &control).await?,
                Opcode::Pong => {}
                Opcode::Close => {
                    self.is_closed = true;
                    _ = self.send(Opcode::Close, &control).await;
                    return Err(Failure::Reset);
                }
                _ if head.is_last => return Ok(()),
                _ => begun = true,
            }
        }
    }
}

impl<S: Stream> Link for WebSocket<S> {
    fn keeps(&self) -> bool {
        !self.is_closed
    }

    fn is_silent(&mut self) -> bool {
        // What a server pushes between two round trips is read with the next.
        self.start < self.end || is_silent(&mut self.stream)
    }

    async fn exchange(
        &mut self,
        ask: &Ask,
        values: &Values<'_>,
        _jar: &Jar,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let mut payload = Vec::new();
        answer.sent += self.send(Opcode::Text, ask.payload(values, &mut payload)).await?;
        self.next(&ask.inspection.wanted, answer).await
    }

    async fn tell(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.send(Opcode::Text, message).await.map(|_| ())
    }

    async fn hear(&mut self, wanted: &Wanted, answer: &mut Answer) -> Result<(), Failure> {
        self.next(wanted, answer).await
    }
}

/// The size of the head that agrees to the handshake; `None` when it is not whole.
fn agreed(bytes: &[u8], key: &str) -> Result<Option<usize>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let size = match response.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD => return Ok(None),
        _ => return Err(Failure::Protocol),
    };
    let expected = base64(&sha1_smol::Sha1::from(format!("{key}{PROOF}")).digest().bytes());
    let header = |name: &str| response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let proven = header("sec-websocket-accept").is_some_and(|header| header.value == expected.as_bytes());
    match response.code {
        Some(101) if proven => Ok(Some(size)),
        Some(101) => Err(Failure::Protocol),
        _ => Err(Failure::Connect),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_rfc() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let head = |proof: &str| {
            format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {proof}\r\n\r\nrest")
                .into_bytes()
        };
        let right = head("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(agreed(&right, key), Ok(Some(right.len() - 4)));
        assert_eq!(agreed(&right[..20], key), Ok(None));
        assert_eq!(agreed(&head("s3pPLMBiTxaQ9kYGzzhZRbK+xOp="), key), Err(Failure::Protocol));
        assert_eq!(agreed(b"HTTP/1.1 403 No\r\n\r\n", key), Err(Failure::Connect));
    }
}
