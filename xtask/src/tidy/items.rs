//! Rules about where items may stand: `lib.rs` and `mod.rs` are tables of contents.

use super::Finding;
use crate::source::{SourceFile, code_of, line_of};

pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let table_of_contents = match file.file_name() {
        "lib.rs" => file.path.ends_with("src/lib.rs"),
        "mod.rs" => true,
        _ => false,
    };
    if !table_of_contents {
        return Vec::new();
    }
    let code = code_of(&file.text);
    let items = Scanner { code: &code, at: 0 }.foreign_items();
    items
        .into_iter()
        .map(|(offset, head)| {
            let says = format!("`{head}` stands in {}, which holds only mod, use and docs", file.file_name());
            Finding::new(&file.path, line_of(&code, offset), says)
        })
        .collect()
}

/// Attributes of items that may stand in a table of contents: `#[cfg(doctest)]` holds the README's examples, and the
/// compiler wants `#[proc_macro]` and its kin at the root.
const EXEMPT: &[&str] = &["doctest", "proc_macro"];

/// Walks over the items of code without comments and literals.
struct Scanner<'a> {
    code: &'a str,
    at: usize,
}

impl Scanner<'_> {
    /// Offset and first words of every item that is neither `mod` nor `use`.
    fn foreign_items(mut self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut exempt = false;
        loop {
            self.skip(char::is_whitespace);
            let rest = &self.code[self.at..];
            let Some(first) = rest.chars().next() else { return found };
            match first {
                '#' => {
                    let attribute = self.attribute();
                    exempt |= EXEMPT.iter().any(|word| attribute.contains(word));
                }
                '}' | ';' => self.at += 1,
                _ => {
                    let start = self.at;
                    let head: Vec<&str> =
                        rest.split([';', '{', '=']).next().unwrap_or(rest).split_whitespace().collect();
                    let words: Vec<&str> =
                        head.iter().copied().skip_while(|w| w.starts_with("pub")).collect();
                    match words.first() {
                        Some(&"use" | &"extern") => self.past(';'),
                        // Into an inline module: its items obey the same rule.
                        Some(&"mod") => self.past_either(';', '{'),
                        _ => {
                            if !exempt {
                                found.push((start, head.into_iter().take(4).collect::<Vec<_>>().join(" ")));
                            }
                            self.item();
                        }
                    }
                    exempt = false;
                }
            }
        }
    }

    fn skip(&mut self, which: impl Fn(char) -> bool) {
        self.at += self.code[self.at..].find(|c| !which(c)).unwrap_or(self.code.len() - self.at);
    }

    fn past(&mut self, end: char) {
        self.past_either(end, end);
    }

    fn past_either(&mut self, a: char, b: char) {
        self.at += self.code[self.at..].find([a, b]).map_or(self.code.len() - self.at, |found| found + 1);
    }

    /// Past `#[…]` or `#![…]`; returns its text.
    fn attribute(&mut self) -> &str {
        let start = self.at;
        self.balanced('[', ']');
        &self.code[start..self.at]
    }

    /// Past an item: to its `;`, or over its braces.
    fn item(&mut self) {
        let rest = &self.code[self.at..];
        match (rest.find('{'), rest.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|semicolon| brace < semicolon) => {
                self.balanced('{', '}')
            }
            _ => self.past(';'),
        }
    }

    fn balanced(&mut self, open: char, close: char) {
        let mut depth = 0usize;
        for (offset, c) in self.code[self.at..].char_indices() {
            if c == open {
                depth += 1;
            } else if c == close {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    self.at += offset + c.len_utf8();
                    return;
                }
            }
        }
        self.at = self.code.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    const CONTENTS: &str = r#"//! Crate docs: `fn main() {}`.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
#[cfg(test)]
mod tests;
pub mod sim;

pub use config::{Config, Limit};
#[cfg(feature = "arrow")]
pub use arrow_array as arrow;
/// What we take.
pub mod arrow {
    pub use arrow_array::*;
}
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
/// Must stand at the root.
#[proc_macro_attribute]
pub fn task(a: TokenStream) -> TokenStream {
    f(a)
}
pub(crate) use config::parse;
"#;

    #[test]
    fn a_table_of_contents_is_fine() {
        assert_eq!(check(&file("crates/a/src/lib.rs", CONTENTS)), []);
    }

    #[test]
    fn every_kind_of_item_is_found_with_its_line() {
        for item in [
            "pub fn f() { g(); }",
            "const A: u8 = 1;",
            "pub struct S { a: u8 }",
            "impl S {}",
            "macro_rules! m { () => {} }",
        ] {
            let findings = check(&file("crates/a/src/lib.rs", &format!("{CONTENTS}\n{item}\nmod z;\n")));
            assert_eq!(findings.len(), 1, "{item}: {findings:?}");
            assert_eq!(findings[0].line, CONTENTS.lines().count() + 2);
        }
    }

    #[test]
    fn inline_modules_hide_nothing() {
        let findings =
            check(&file("crates/a/src/x/mod.rs", "//! X.\npub mod inner {\n    pub fn f() {}\n}\n"));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(check(&file("crates/a/src/x.rs", "//! X.\nfn f() {}\n")), []);
    }
}
