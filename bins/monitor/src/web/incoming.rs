//! What a client sends: pings and its good-bye. Everything else is read past; nothing is kept.

/// What a client asks of the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// Answer with this.
    Ping(Vec<u8>),
    /// It leaves.
    Close,
    /// It broke the protocol: close with this code.
    Broken(u16),
}

/// Reads frames out of chunks of any size. Holds one head and one control payload, 139 bytes at most.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    head: Vec<u8>,
    /// Bytes of the payload that are still to come.
    left: u64,
    /// The payload of a control frame, as far as it came; `None` for data, which is skipped.
    control: Option<Vec<u8>>,
    opcode: u8,
    at: usize,
    mask: [u8; 4],
}

impl Incoming {
    /// Takes a chunk; tells what it asked for, in order.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Vec<Asked> {
        let mut asked = Vec::new();
        while !bytes.is_empty() {
            if self.left > 0 {
                let now = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.payload(&bytes[..now]);
                self.left -= now as u64;
                bytes = &bytes[now..];
            } else {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                match self.begin() {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(code) => {
                        asked.push(Asked::Broken(code));
                        return asked;
                    }
                }
            }
            if self.left == 0 {
                asked.extend(self.end());
            }
        }
        asked
    }

    /// Whether the head is complete; if so the payload follows.
    fn begin(&mut self) -> Result<bool, u16> {
        const PROTOCOL: u16 = 1002;
        let [first, second, ..] = self.head[..] else { return Ok(false) };
        let (length, control) = (second & 0x7f, first & 0x08 != 0);
        // Reserved bits mean an extension that was not agreed on; a client must mask; control frames are whole and short.
        let broken =
            first & 0x70 != 0 || second & 0x80 == 0 || (control && (first & 0x80 == 0 || length > 125));
        if broken || !matches!(first & 0x0f, 0..=2 | 8..=10) {
            return Err(PROTOCOL);
        }
        let extra = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.head.len() < 2 + extra + 4 {
            return Ok(false);
        }
        let wide = self.head[2..2 + extra].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        self.left = if extra == 0 { u64::from(length) } else { wide };
        self.mask.copy_from_slice(&self.head[2 + extra..2 + extra + 4]);
        self.opcode = first & 0x0f;
        self.control = control.then(Vec::new);
        self.at = 0;
        self.head.clear();
        Ok(true)
    }

    fn payload(&mut self, bytes: &[u8]) {
        let Some(kept) = &mut self.control else { return };
        for byte in bytes {
            kept.push(byte ^ self.mask[self.at % 4]);
            self.at += 1;
        }
    }

    fn end(&mut self) -> Option<Asked> {
        let payload = self.control.take()?;
        match self.opcode {
            8 => Some(Asked::Close),
            9 => Some(Asked::Ping(payload)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 1, 200, 33];
        let mut out = vec![0x80 | opcode];
        match payload.len() {
            length @ ..=125 => out.push(0x80 | length as u8),
            length @ ..=0xffff => {
                out.push(0x80 | 126);
                out.extend((length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        out.extend(mask);
        out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        out
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_reads_the_same(
            frames in proptest::collection::vec((prop_oneof![Just(1u8), Just(2), Just(9), Just(10)], 0usize..300), 0..12),
            cut in 1usize..40,
        ) {
            let (mut stream, mut wanted) = (Vec::new(), Vec::new());
            for (opcode, length) in frames {
                let payload = vec![opcode; if opcode >= 8 { length.min(125) } else { length }];
                stream.extend(frame(opcode, &payload));
                if opcode == 9 {
                    wanted.push(Asked::Ping(payload));
                }
            }
            stream.extend(frame(8, &[]));
            wanted.push(Asked::Close);
            let mut incoming = Incoming::default();
            let asked: Vec<_> = stream.chunks(cut).flat_map(|chunk| incoming.take(chunk)).collect();
            prop_assert_eq!(asked, wanted);
        }

        #[test]
        fn no_bytes_panic_or_are_hoarded(bytes in proptest::collection::vec(any::<u8>(), 0..2000), cut in 1usize..50) {
            let mut incoming = Incoming::default();
            for chunk in bytes.chunks(cut) {
                if incoming.take(chunk).iter().any(|asked| matches!(asked, Asked::Broken(_))) {
                    break;
                }
                prop_assert!(incoming.head.len() <= 14);
                prop_assert!(incoming.control.as_ref().is_none_or(|kept| kept.len() <= 125));
            }
        }
    }

    #[test]
    fn what_breaks_the_protocol_is_named() {
        for bytes in [&[0x81, 0x01][..], &[0xc1, 0x81], &[0x09, 0x80], &[0x89, 0xfe], &[0x83, 0x80]] {
            assert_eq!(Incoming::default().take(bytes), [Asked::Broken(1002)], "{bytes:x?}");
        }
    }
}
