//! A server's replies, read where they lie: a value is a range of the buffer it arrived in.

use std::ops::Range;

/// The longest value, as servers bound it themselves.
const VALUE_MAX: usize = 512 << 20;
/// The longest line: an error's text.
const LINE_MAX: usize = 16 << 10;
/// The longest frame that is nobody's values: a greeting, a push.
const FRAME_MAX: usize = 1 << 20;

/// What came is no reply to what was asked: the connection is worth nothing any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's reply is not what was asked for: {0}")]
pub(super) struct Violation(pub(super) &'static str);

/// What stands at the beginning of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Not all of a frame yet: at least so many bytes are missing.
    More(usize),
    /// The values that were asked for; the frame has so many bytes.
    Values(usize),
    /// The server refuses; so many bytes.
    Refused(usize),
    /// Something that the server says unasked; so many bytes.
    Push(usize),
}

/// The values of one MGET, which may arrive in pieces.
#[derive(Debug, Default)]
pub(super) struct Values {
    asked: usize,
    begun: bool,
    at: usize,
    found: Vec<Option<Range<usize>>>,
}

impl Values {
    pub(super) fn of(asked: usize) -> Self {
        Self { asked, begun: false, at: 0, found: Vec::with_capacity(asked) }
    }

    /// Goes on where it stopped; `bytes` begin where they began the last time, and there may be more of them.
    ///
    /// # Errors
    /// A violation when they are not as many values as were asked for, each with its length.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Reply, Violation> {
        if !self.begun {
            match bytes.first() {
                None => return Ok(Reply::More(1)),
                Some(b'>') => return frame(bytes).map(|len| len.map_or(Reply::More(1), Reply::Push)),
                Some(b'-' | b'!') => {
                    return frame(bytes).map(|len| len.map_or(Reply::More(1), Reply::Refused));
                }
                Some(_) => {}
            }
            let Some((header, next)) = line(bytes, 0)? else { return Ok(Reply::More(1)) };
            let Some(count) = header.strip_prefix(b"*") else { return Err(Violation("no list of values")) };
            if number(count)? != self.asked {
                return Err(Violation("another number of values"));
            }
            (self.begun, self.at) = (true, next);
        }
        while self.found.len() < self.asked {
            let Some((header, start)) = line(bytes, self.at)? else { return Ok(Reply::More(1)) };
            let value = match header {
                b"_" | b"$-1" => None,
                [b'$', digits @ ..] => {
                    let len = number(digits)?;
                    if len > VALUE_MAX {
                        return Err(Violation("a value longer than any"));
                    }
                    let end = start + len;
                    let Some(after) = bytes.get(end..end + 2) else {
                        return Ok(Reply::More(end + 2 - bytes.len()));
                    };
                    if after != b"\r\n" {
                        return Err(Violation("a value of another length"));
                    }
                    Some(start..end)
                }
                _ => return Err(Violation("something that is no value")),
            };
            self.at = value.as_ref().map_or(start, |value| value.end + 2);
            self.found.push(value);
        }
        Ok(Reply::Values(self.at))
    }

    /// Where each value stands in the frame, in the order of the keys.
    pub(super) fn found(self) -> Vec<Option<Range<usize>>> {
        self.found
    }
}

/// The length of the frame that begins here, whatever it is; `None`: not all of it is there.
///
/// # Errors
/// A violation when it is none, or has more than a megabyte.
pub(super) fn frame(bytes: &[u8]) -> Result<Option<usize>, Violation> {
    let (mut at, mut left) = (0_usize, 1_usize);
    while left > 0 {
        let Some((header, next)) = line(bytes, at)? else { return Ok(None) };
        let Some((kind, rest)) = header.split_first() else { return Err(Violation("an empty line")) };
        (at, left) = (next, left - 1);
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {}
            _ if rest == b"-1" => {}
            b'$' | b'=' | b'!' => {
                let end = at.saturating_add(number(rest)?);
                if end > FRAME_MAX {
                    return Err(Violation("a frame longer than any"));
                }
                let Some(after) = bytes.get(end..end + 2) else { return Ok(None) };
                if after != b"\r\n" {
                    return Err(Violation("a text of another length"));
                }
                at = end + 2;
            }
            b'*' | b'~' | b'>' => left = left.saturating_add(number(rest)?),
            b'%' => left = left.saturating_add(number(rest)?.saturating_mul(2)),
            b'|' => left = left.saturating_add(number(rest)?.saturating_mul(2)).saturating_add(1),
            _ => return Err(Violation("a frame of no kind")),
        }
        // Each part has three bytes at least.
        if at > FRAME_MAX || left > FRAME_MAX / 3 {
            return Err(Violation("a frame longer than any"));
        }
    }
    Ok(Some(at))
}

/// The line that begins at `from`, without its end, and where the next one begins.
fn line(bytes: &[u8], from: usize) -> Result<Option<(&[u8], usize)>, Violation> {
    let rest = bytes.get(from..).unwrap_or_default();
    let Some(end) = rest.iter().take(LINE_MAX).position(|byte| *byte == b'\n') else {
        return if rest.len() < LINE_MAX { Ok(None) } else { Err(Violation("a line longer than any")) };
    };
    let Some(line) = rest[..end].strip_suffix(b"\r") else { return Err(Violation("a line of no end")) };
    Ok(Some((line, from + end + 1)))
}

fn number(digits: &[u8]) -> Result<usize, Violation> {
    if digits.is_empty() || digits.len() > 10 {
        return Err(Violation("no number"));
    }
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Ok(number * 10 + usize::from(digit - b'0')),
        _ => Err(Violation("no number")),
    })
}

/// One command.
pub(super) fn command(parts: &[&[u8]], into: &mut Vec<u8>) {
    head(parts.len(), into);
    parts.iter().for_each(|part| argument(&[part], into));
}

/// How many arguments come.
pub(super) fn head(arguments: usize, into: &mut Vec<u8>) {
    into.push(b'*');
    decimal(arguments, into);
    into.extend_from_slice(b"\r\n");
}

/// One argument, of several pieces.
pub(super) fn argument(pieces: &[&[u8]], into: &mut Vec<u8>) {
    into.push(b'$');
    decimal(pieces.iter().map(|piece| piece.len()).sum(), into);
    into.extend_from_slice(b"\r\n");
    pieces.iter().for_each(|piece| into.extend_from_slice(piece));
    into.extend_from_slice(b"\r\n");
}

fn decimal(mut number: usize, into: &mut Vec<u8>) {
    let start = into.len();
    loop {
        #[expect(clippy::cast_possible_truncation, reason = "a digit")]
        into.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    into[start..].reverse();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Found = Vec<Option<Vec<u8>>>;

    /// As a server writes them.
    fn reply(values: &[Option<Vec<u8>>], resp3: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        head(values.len(), &mut bytes);
        for value in values {
            match value {
                Some(value) => argument(&[value], &mut bytes),
                None if resp3 => bytes.extend_from_slice(b"_\r\n"),
                None => bytes.extend_from_slice(b"$-1\r\n"),
            }
        }
        bytes
    }

    /// In pieces that end at `cuts`; what was found, and the length of the frame.
    fn read(bytes: &[u8], asked: usize, cuts: &[usize]) -> Result<Option<(Found, usize)>, Violation> {
        let mut values = Values::of(asked);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        for end in ends {
            match values.advance(&bytes[..end])? {
                Reply::More(missing) => assert!(missing > 0),
                Reply::Values(len) => {
                    let there = |range: Option<Range<usize>>| range.map(|range| bytes[range].to_vec());
                    return Ok(Some((values.found().into_iter().map(there).collect(), len)));
                }
                Reply::Refused(_) | Reply::Push(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    fn some_values() -> impl Strategy<Value = Found> {
        let value = proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n')], 0..40);
        proptest::collection::vec(proptest::option::of(value), 1..20)
    }

    proptest! {
        #[test]
        fn what_was_asked_for_is_found_in_its_order(
            values in some_values(), resp3: bool, cuts in proptest::collection::vec(any::<usize>(), 0..6),
        ) {
            let mut bytes = reply(&values, resp3);
            let len = bytes.len();
            bytes.extend_from_slice(b"*1\r\n$3\r\nfoo\r\n");
            prop_assert_eq!(read(&bytes, values.len(), &cuts), Ok(Some((values, len))));
        }

        /// A reply that was cut, changed, lengthened or shortened somewhere is refused, waits for more, or has as many values as
        /// were asked for, each within its bytes.
        #[test]
        fn a_damaged_reply_is_no_other(
            values in some_values(), at: usize, to: Option<u8>, more in proptest::collection::vec(any::<u8>(), 0..4),
            cuts in proptest::collection::vec(any::<usize>(), 0..6),
        ) {
            let mut bytes = reply(&values, true);
            let at = at % bytes.len();
            bytes.splice(at..=at, to.into_iter().chain(more));
            if let Ok(Some((found, len))) = read(&bytes, values.len(), &cuts) {
                prop_assert!(found.len() == values.len() && len <= bytes.len());
                // Read by one who reads it all at once.
                prop_assert_eq!(read(&bytes, values.len(), &[]), Ok(Some((found, len))));
            }
        }

        #[test]
        fn foreign_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64), kind in "[>*$%|~!=+-]") {
            let bytes = [kind.as_bytes(), &bytes].concat();
            _ = read(&bytes, 3, &[5, 9]);
            if let Ok(Some(len)) = frame(&bytes) {
                prop_assert!(len <= bytes.len());
            }
        }
    }

    #[test]
    fn a_reply_to_something_else_is_a_violation() {
        for bad in [
            "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            "+OK\r\n",
            "$1\r\na\r\n",
            "*1\r\n:5\r\n",
            "*1\r\n$2\r\nabc\r\n",
            "*1\r\n$5000000000\r\n",
            "*1\r\n$-2\r\n",
            "*1\r\n-ERR\r\n",
            "*-1\r\n",
            "*1\n",
        ] {
            assert!(read(bad.as_bytes(), 1, &[]).is_err(), "{bad:?}");
        }
        assert_eq!(Values::of(1).advance(b"-ERR no\r\n*1"), Ok(Reply::Refused(9)));
        assert_eq!(Values::of(1).advance(b">1\r\n$1\r\nx\r\n*1"), Ok(Reply::Push(11)));
        assert_eq!(Values::of(1).advance(b"*1\r\n$1000\r\nabc"), Ok(Reply::More(999)));
    }

    #[test]
    fn frames_are_measured_and_bounded() {
        let hello = b"%2\r\n+proto\r\n:3\r\n$7\r\nmodules\r\n*0\r\n";
        let with_attribute = b"|1\r\n+a\r\n#t\r\n_\r\n";
        assert_eq!(frame(&[&hello[..], with_attribute].concat()), Ok(Some(hello.len())));
        assert_eq!(frame(&hello[..20]), Ok(None));
        assert_eq!(
            frame(with_attribute),
            Ok(Some(with_attribute.len())),
            "it belongs to what comes after it"
        );
        assert!(frame(b"*9999999999\r\n").is_err());
        assert!(frame(b"$2000000\r\n").is_err());
        assert!(frame(&vec![b'+'; LINE_MAX]).is_err());
        let deep = b"*1\r\n".repeat(100_000);
        assert_eq!(frame(&deep), Ok(None), "no depth is too deep");
    }
}
