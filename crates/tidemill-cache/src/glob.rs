//! Patterns of keys: `*` is any bytes, `?` one byte, and a backslash takes the next byte as it is.

/// Whether all of `text` matches.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut here) = (0, 0);
    // Where to go on when the last star has to take one byte more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, here));
                at += 1;
                continue;
            }
            Some(b'?') => (here < text.len()).then_some(1),
            Some(b'\\') if at + 1 < pattern.len() => (text.get(here) == pattern.get(at + 1)).then_some(2),
            Some(byte) => (text.get(here) == Some(byte)).then_some(1),
            None if here == text.len() => return true,
            None => None,
        };
        match (step, retry) {
            (Some(length), _) => {
                at += length;
                here += 1;
            }
            (None, Some((after, from))) if from < text.len() => {
                (at, here) = (after, from + 1);
                retry = Some((after, from + 1));
            }
            (None, _) => return false,
        }
    }
}

/// A pattern that matches exactly these bytes.
#[cfg(feature = "redis")]
pub(crate) fn escaped(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| [b'\\', *byte]).collect()
}

/// The same pattern for Redis, to which brackets mean something.
#[cfg(feature = "redis")]
pub(crate) fn for_redis(pattern: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pattern.len() + 8);
    let mut bytes = pattern.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(next) => out.extend_from_slice(&[b'\\', *next]),
                None => out.extend_from_slice(br"\\"),
            },
            b'*' | b'?' => out.push(*byte),
            literal => out.extend_from_slice(&[b'\\', *literal]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the definition, in exponential time.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            ([b'?', rest @ ..], [_, text @ ..]) => naive(rest, text),
            ([b'\\', literal, rest @ ..], [first, text @ ..]) => literal == first && naive(rest, text),
            ([b'\\', _, ..], []) => false,
            ([literal, rest @ ..], [first, text @ ..]) => literal == first && naive(rest, text),
            _ => false,
        }
    }

    #[test]
    fn the_usual_patterns() {
        for (pattern, text, is) in [
            ("AAPL:*", "AAPL:2024", true),
            ("AAPL:*", "MSFT:2024", false),
            ("*:2024", "AAPL:2024", true),
            ("A?PL", "AAPL", true),
            (r"\*", "*", true),
            (r"\*", "x", false),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), is, "{pattern} {text}");
        }
    }

    /// Many stars take no exponential time.
    #[test]
    fn a_hostile_pattern_ends() {
        let text = "a".repeat(5000);
        assert!(!matches(format!("{}b", "*a".repeat(50)).as_bytes(), text.as_bytes()));
    }

    proptest! {
        #[test]
        fn it_is_the_definition(pattern in r"[ab*?\\]{0,7}", text in r"[ab*\\]{0,7}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
