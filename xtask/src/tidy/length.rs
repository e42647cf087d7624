//! Rules about a file's size: one that is too long holds two rooms.

use super::Finding;
use crate::source::SourceFile;

/// Above this a file is named in a warning.
const LONG: usize = 450;
/// Above this it fails.
const TOO_LONG: usize = 800;
/// For tests, inline ones included.
const TESTS_TOO_LONG: usize = 1200;
/// `main.rs` decides nothing; a benchmark's is the benchmark.
const MAIN: usize = 40;

pub(super) fn check(file: &SourceFile) -> Option<Finding> {
    let total = file.text.lines().count();
    if file.file_name() == "main.rs" && !file.is_test() && !file.path.starts_with("benches/") && total > MAIN
    {
        return Some(found(file, total, MAIN, "main.rs parses, calls lib::run and sets the exit code"));
    }
    if total > TESTS_TOO_LONG {
        return Some(found(file, total, TESTS_TOO_LONG, "split it, tests included"));
    }
    let shipped = if file.is_test() { 0 } else { shipped_lines(&file.text) };
    if shipped > TOO_LONG {
        Some(found(file, shipped, TOO_LONG, "split it by noun"))
    } else if shipped > LONG {
        Some(found(file, shipped, LONG, "does it hold two rooms?").warning())
    } else {
        None
    }
}

fn found(file: &SourceFile, lines: usize, limit: usize, advice: &str) -> Finding {
    Finding::new(&file.path, 0, format!("{lines} lines, more than {limit}: {advice}"))
}

/// Lines before the inline tests, which stand last.
fn shipped_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests =
        lines.windows(2).position(|two| two[0] == "#[cfg(test)]" && two[1].starts_with("mod tests {"));
    tests.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    fn lines(count: usize) -> String {
        "//! x\n".repeat(count)
    }

    #[test]
    fn long_warns_and_too_long_fails() {
        assert_eq!(check(&file("src/a.rs", &lines(450))), None);
        assert!(check(&file("src/a.rs", &lines(451))).unwrap().warning);
        assert!(!check(&file("src/a.rs", &lines(801))).unwrap().warning);
    }

    #[test]
    fn tests_may_be_longer_but_not_endless() {
        assert_eq!(check(&file("tests/it/a.rs", &lines(1200))), None);
        assert!(check(&file("tests/it/a.rs", &lines(1201))).is_some());
        let inline = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(440), lines(700));
        assert_eq!(check(&file("src/a.rs", &inline)), None);
    }

    #[test]
    fn main_decides_nothing() {
        assert_eq!(check(&file("bins/a/src/main.rs", &lines(40))), None);
        assert!(check(&file("bins/a/src/main.rs", &lines(41))).is_some());
        assert_eq!(check(&file("crates/a/tests/it/main.rs", &lines(41))), None);
        assert_eq!(check(&file("benches/src/bin/bench-a/main.rs", &lines(41))), None);
    }
}
