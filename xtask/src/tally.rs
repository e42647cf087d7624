//! Counts what `cargo test` reports while its lines pass through.

use std::io::{BufRead, Write};

/// Totals over all `test result:` lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Copies `from` to `to` line by line and counts; output that is not UTF-8 passes too.
    pub(crate) fn stream(mut from: impl BufRead, mut to: impl Write) -> std::io::Result<Self> {
        let mut tally = Self::default();
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line)? > 0 {
            to.write_all(&line)?;
            to.flush()?;
            tally.count(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(tally)
    }

    fn count(&mut self, line: &str) {
        // A test that prints without a line's end shares its line with the result.
        let Some((_, result)) = line.split_once("test result: ") else { return };
        let number = |word: &str| -> Option<u64> {
            result
                .split(['.', ';'])
                .map(str::trim)
                .find_map(|part| part.strip_suffix(word)?.trim().parse().ok())
        };
        if let (Some(passed), Some(failed)) = (number("passed"), number("failed")) {
            self.passed += passed;
            self.failed += failed;
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &[u8] = b"\nrunning 2 tests\n..\n\
        test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
        test a ... FAILED \xff\n\
        test result: FAILED. 40 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.25s\n\
        the words test results mean nothing, 5 passed\n";

    #[test]
    fn results_are_summed_and_everything_passes_through() {
        let mut out = Vec::new();
        let tally = Tally::stream(OUTPUT, &mut out).unwrap();
        assert_eq!(tally, Tally { passed: 42, failed: 3 });
        assert_eq!(tally.to_string(), "42 passed, 3 failed");
        assert_eq!(out, OUTPUT);
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let line = &b"x test result: ok. 7 passed; 0 failed; 0 ignored"[..];
        assert_eq!(Tally::stream(line, std::io::sink()).unwrap().passed, 7);
    }
}
