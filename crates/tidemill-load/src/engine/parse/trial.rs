//! The parser as a connection uses it, on bytes in pieces: what the tests and the fuzzer hold it to.

use super::*;

/// The longest head of these trials.
pub(super) const HEAD_LIMIT: usize = 2048;

/// The longest answer.
const LARGEST: u64 = 100_000;

/// How much of a body is kept.
const KEPT: usize = 1000;

/// Status, body, whether the connection may be kept, and how many bytes were left over.
pub(super) type Parsed = (u16, Vec<u8>, bool, usize);

/// Feeds bytes in pieces as a connection would; `cut` gives the next piece's length after so many bytes.
pub(super) fn parse(bytes: &[u8], cut: impl Fn(usize) -> usize) -> Result<Parsed, Failure> {
    let wanted = Wanted { body: KEPT, largest: LARGEST, ..Wanted::default() };
    let (mut parser, mut answer) = (Parser::new(HEAD_LIMIT), Answer::default());
    let (mut start, mut end) = (0, 0);
    loop {
        match parser.push(&bytes[start..end], &wanted, &mut answer)? {
            Next::Done { consumed, keep_alive } => {
                return Ok((answer.status, answer.body, keep_alive, bytes.len() - start - consumed));
            }
            Next::More { consumed } => start += consumed,
        }
        assert!(end - start <= HEAD_LIMIT, "more than a head was held back");
        assert!(answer.body.len() <= KEPT && answer.length <= LARGEST, "more than was asked for");
        if end == bytes.len() {
            parser.end()?;
            return Ok((answer.status, answer.body, false, 0));
        }
        end = (end + cut(end).max(1)).min(bytes.len());
    }
}

/// Whatever the bytes, nothing panics, and what they mean does not depend on where the network cut them.
pub(super) fn means_one_thing(bytes: &[u8], piece: usize) -> Result<Parsed, Failure> {
    // A leftover depends on what was read before the end was seen; everything else may not.
    let meaning = |parsed: Parsed| (parsed.0, parsed.1, parsed.2);
    let at_once = parse(bytes, |_| bytes.len());
    let by_pieces = parse(bytes, |_| piece);
    assert_eq!(
        at_once.clone().map(meaning),
        by_pieces.map(meaning),
        "{:?} by {piece}",
        String::from_utf8_lossy(bytes)
    );
    at_once
}

/// The fuzzer's way in.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8], piece: usize) {
    _ = means_one_thing(bytes, piece);
}
