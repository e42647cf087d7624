//! Bytes become lines: of any chunks, at most so long each.

/// Splits what is read into lines. What is longer than the bound is cut there, once; the rest of that line is skipped.
#[derive(Clone, Debug)]
pub struct Splitter {
    begun: Vec<u8>,
    max: usize,
    skipping: bool,
    /// Lines that were cut.
    pub cut: u64,
}

impl Splitter {
    /// With lines of at most `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { begun: Vec::new(), max: max.max(1), skipping: false, cut: 0 }
    }

    /// Takes the next bytes, and hands out each line that ends in them.
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.take(&rest[..end]);
            self.hand_out(&mut line);
            rest = &rest[end + 1..];
        }
        self.take(rest);
    }

    /// The file is over: what has begun is a line too.
    pub fn finish(&mut self, mut line: impl FnMut(&str)) {
        if !self.begun.is_empty() {
            self.hand_out(&mut line);
        }
        self.skipping = false;
    }

    /// Bytes of the line that has begun.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.begun.len()
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        let room = self.max - self.begun.len();
        if bytes.len() > room {
            self.begun.extend_from_slice(&bytes[..room]);
            self.skipping = true;
            self.cut += 1;
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    fn hand_out(&mut self, line: &mut impl FnMut(&str)) {
        let bytes = self.begun.strip_suffix(b"\r").unwrap_or(&self.begun);
        if !bytes.iter().all(u8::is_ascii_whitespace) {
            line(&String::from_utf8_lossy(bytes));
        }
        self.begun.clear();
        self.skipping = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn however_it_is_read_the_lines_are_the_same(
            bytes in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'a')], 0..400),
            cuts in prop::collection::vec(0_usize..400, 0..10),
            max in 1_usize..40,
        ) {
            let mut expected = Vec::new();
            for line in bytes.split(|byte| *byte == b'\n') {
                let line = &line[..line.len().min(max)];
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if !line.iter().all(u8::is_ascii_whitespace) {
                    expected.push(String::from_utf8_lossy(line).into_owned());
                }
            }
            let (mut splitter, mut seen, mut from) = (Splitter::new(max), Vec::new(), 0);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([bytes.len()]).collect();
            cuts.sort_unstable();
            for to in cuts {
                splitter.push(&bytes[from..to], |line| seen.push(line.to_owned()));
                prop_assert!(splitter.pending() <= max);
                from = to;
            }
            splitter.finish(|line| seen.push(line.to_owned()));
            prop_assert_eq!(seen, expected);
        }
    }
}
