//! A source file, and its code without comments and literals.

/// One text file of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// Relative to the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether nothing in it is shipped: a `tests` folder, `tests.rs`, `*_tests.rs`.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.file_name();
        name == "tests.rs" || name.ends_with("_tests.rs") || self.path.split('/').any(|part| part == "tests")
    }
}

/// Rust code with comments and the contents of string and character literals turned into blanks; lines stay where
/// they are, so that a rule may look for a word without meeting it in prose.
pub(crate) fn code_of(text: &str) -> String {
    Blanker { chars: text.chars().collect(), at: 0, out: String::with_capacity(text.len()) }.run()
}

/// The one-based line of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

struct Blanker {
    chars: Vec<char>,
    at: usize,
    out: String,
}

impl Blanker {
    fn run(mut self) -> String {
        while let Some(here) = self.peek(0) {
            match here {
                '/' if self.peek(1) == Some('/') => self.blank_while(|_, c| c != '\n'),
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.string(),
                'r' if self.raw_hashes().is_some() && !self.after_word() => self.raw_string(),
                '\'' => self.character(),
                _ => self.keep(),
            }
        }
        self.out
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn keep(&mut self) {
        self.out.push(self.chars[self.at]);
        self.at += 1;
    }

    fn blank(&mut self) {
        if let Some(c) = self.peek(0) {
            self.out.push(if c == '\n' { '\n' } else { ' ' });
            self.at += 1;
        }
    }

    fn blank_while(&mut self, more: impl Fn(&Self, char) -> bool) {
        while self.peek(0).is_some_and(|c| more(self, c)) {
            self.blank();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.blank();
                    continue;
                }
            }
            self.blank();
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while let Some(c) = self.peek(0) {
            match c {
                '"' => return self.keep(),
                '\\' => {
                    self.blank();
                    self.blank();
                }
                _ => self.blank(),
            }
        }
    }

    /// How many hashes follow the `r` of a raw string.
    fn raw_hashes(&self) -> Option<usize> {
        let hashes = self.chars[self.at + 1..].iter().take_while(|c| **c == '#').count();
        (self.peek(1 + hashes) == Some('"')).then_some(hashes)
    }

    /// Whether the character before belongs to a longer name (`for"` is no raw string, `br"` is one).
    fn after_word(&self) -> bool {
        let before = |n: usize| self.at.checked_sub(n).map(|at| self.chars[at]);
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let prefix = matches!(before(1), Some('b' | 'c')) && !word(before(2));
        word(before(1)) && !prefix
    }

    fn raw_string(&mut self) {
        let hashes = self.raw_hashes().unwrap_or(0);
        (0..hashes + 2).for_each(|_| self.keep());
        while self.peek(0).is_some() {
            if self.peek(0) == Some('"') && (1..=hashes).all(|n| self.peek(n) == Some('#')) {
                (0..=hashes).for_each(|_| self.keep());
                return;
            }
            self.blank();
        }
    }

    /// A character literal, or the quote of a lifetime.
    fn character(&mut self) {
        self.keep();
        if self.peek(0) == Some('\\') {
            self.blank();
            self.blank();
            self.blank_while(|_, c| c != '\'');
        } else if self.peek(1) == Some('\'') {
            self.blank();
        } else {
            return;
        }
        if self.peek(0).is_some() {
            self.keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_blanked_and_code_is_kept() {
        let code = code_of("let a = 1; // dbg\nlet b = \"dbg\"; /* dbg /* dbg */ dbg */ dbg();\n");
        assert_eq!(code.matches("dbg").count(), 1);
        assert_eq!(code.matches('\n').count(), 2);
        assert!(code.contains("let a = 1;") && code.contains("let b = \"   \";"));
    }

    #[test]
    fn raw_strings_and_quotes_do_not_swallow_the_rest() {
        let code = code_of(
            "let a = r#\"x \" y\"#; let b = br\"z\\\"; let c = '\"'; let d: &'static str; let e = '\\''; end()",
        );
        assert!(code.ends_with("end()"), "{code}");
        assert!(code.contains("&'static str"), "{code}");
        assert!(!code.contains(" y"), "{code}");
    }

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        let file = |path: &str| SourceFile { path: path.into(), text: String::new() };
        assert!(file("crates/a/tests/it/main.rs").is_test() && file("crates/a/src/b/tests.rs").is_test());
        assert!(!file("xtask/src/test.rs").is_test());
    }
}
