//! WebSocket frames (RFC 6455) out of bytes and into bytes, as a client reads and writes them.

use crate::failure::Failure;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// What stands before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) is_last: bool,
    pub(crate) opcode: Opcode,
    /// Of the payload.
    pub(crate) length: u64,
    /// Of the head itself.
    pub(crate) size: usize,
}

impl Opcode {
    const ALL: [(u8, Self); 6] = [
        (0, Self::Continuation),
        (1, Self::Text),
        (2, Self::Binary),
        (8, Self::Close),
        (9, Self::Ping),
        (10, Self::Pong),
    ];

    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl Head {
    /// Reads the head of a frame that a server sent; `None` when it is not whole.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Failure> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let opcode = Opcode::ALL.iter().find(|(number, _)| *number == first & 0x0f);
        let (_, opcode) = *opcode.ok_or(Failure::Protocol)?;
        // No extension was agreed on, and a server does not mask.
        if first & 0x70 != 0 || second & 0x80 != 0 {
            return Err(Failure::Protocol);
        }
        let is_last = first & 0x80 != 0;
        let (length, size) = match second & 0x7f {
            126 => match rest {
                [a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 4),
                _ => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(eight) => (u64::from_be_bytes(*eight), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        if opcode.is_control() && (length > 125 || !is_last) || length >> 63 != 0 {
            return Err(Failure::Protocol);
        }
        Ok(Some(Self { is_last, opcode, length, size }))
    }
}

/// Appends a whole frame, masked as a client must.
pub(crate) fn write(opcode: Opcode, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    let number = Opcode::ALL.iter().find(|(_, known)| *known == opcode).map_or(0, |(number, _)| *number);
    out.push(0x80 | number);
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        medium @ 126..=65_535 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().enumerate().map(|(n, byte)| byte ^ mask[n % 4]));
}

/// Base64 with padding, for the handshake.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number =
            (0..3).fold(0u32, |number, n| number << 8 | u32::from(three.get(n).copied().unwrap_or(0)));
        for n in 0..4 {
            let letter = ALPHABET[(number >> (18 - 6 * n)) as usize & 63];
            text.push(if n <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn heads_are_read_whole_or_not_at_all() {
        let mut long = vec![0x82, 127];
        long.extend_from_slice(&70_000u64.to_be_bytes());
        for (bytes, opcode, length) in [
            (vec![0x81, 5], Opcode::Text, 5),
            (vec![0x89, 0], Opcode::Ping, 0),
            (vec![0x82, 126, 1, 0], Opcode::Binary, 256),
            (long, Opcode::Binary, 70_000),
        ] {
            let head = Head { is_last: true, opcode, length, size: bytes.len() };
            assert_eq!(Head::read(&bytes), Ok(Some(head)));
            assert!((0..bytes.len()).all(|end| Head::read(&bytes[..end]) == Ok(None)));
        }
        for bad in [
            &[0xc1, 0][..],
            &[0x81, 0x85],
            &[0x83, 0],
            &[0x09, 0],
            &[0x88, 126, 0, 200],
            &[0x82, 127, 255, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(Head::read(bad), Err(Failure::Protocol), "{bad:?}");
        }
    }

    #[test]
    fn any_bytes_are_a_head_or_an_error() {
        let mut random = Random::new(2);
        for _ in 0..50_000 {
            let bytes: Vec<u8> = (0..random.next() % 14).map(|_| random.next() as u8).collect();
            if let Ok(Some(head)) = Head::read(&bytes) {
                assert!(head.size <= bytes.len() && head.length < 1 << 63);
            }
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
