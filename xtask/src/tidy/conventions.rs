//! Rules of ADR 0006 and STYLE that text shows: the opening sentence, banned macros, where Config and Error stand.

use super::Finding;
use crate::source::{SourceFile, code_of, line_of};

/// Macros that leave work behind.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// Types that have a file of their own in every library.
const HOMES: &[(&str, &str)] = &[
    ("struct Config", "config.rs"),
    ("struct Error", "error.rs"),
    ("enum ErrorKind", "error.rs"),
    ("struct Stats", "stats.rs"),
];

pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let code = code_of(&file.text);
    let mut findings: Vec<Finding> = opening(file).into_iter().collect();
    for (offset, says) in banned(&code) {
        findings.push(Finding::new(&file.path, line_of(&code, offset), says));
    }
    if file.path.starts_with("crates/") && !file.is_test() {
        findings.extend(homes(file, &code));
    }
    findings
}

fn opening(file: &SourceFile) -> Option<Finding> {
    let first = file.text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("//!").map(str::trim).unwrap_or_default();
    sentence.is_empty().then(|| Finding::new(&file.path, 1, "opens without `//!` and what this room is for"))
}

fn banned(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for name in UNFINISHED {
        for (offset, _) in code.match_indices(name) {
            let inside_a_name = code[..offset].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !inside_a_name {
                found.push((offset, format!("`{name}` is unfinished work")));
            }
        }
    }
    for opening in ["#[allow", "#![allow"] {
        for (offset, _) in code.match_indices(opening) {
            found.push((offset, "a bare allow: write `#[expect(lint, reason = \"...\")]`".to_owned()));
        }
    }
    for (offset, _) in code.match_indices("#[ignore") {
        found.push((offset, "an ignored test guards nothing".to_owned()));
    }
    found
}

fn homes(file: &SourceFile, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (item, home) in HOMES {
        let needle = format!("pub {item}");
        let Some(offset) = code.match_indices(&needle).map(|(offset, _)| offset).find(|offset| {
            !code[offset + needle.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
        }) else {
            continue;
        };
        let line = line_of(code, offset);
        if file.file_name() != *home {
            findings.push(Finding::new(&file.path, line, format!("`{item}` belongs into {home} (ADR 0006)")));
        }
        let missing = |word: &str| !code.contains(word);
        if *item == "struct Config" && missing("deny_unknown_fields") {
            findings.push(Finding::new(
                &file.path,
                line,
                "Config lets unknown fields pass: serde(deny_unknown_fields)",
            ));
        }
        if *item == "enum ErrorKind" && missing("#[non_exhaustive]") {
            findings.push(Finding::new(&file.path, line, "ErrorKind is not #[non_exhaustive]"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    fn says(path: &str, text: &str) -> Vec<String> {
        check(&file(path, text)).into_iter().map(|finding| finding.says).collect()
    }

    #[test]
    fn a_file_opens_with_its_sentence() {
        assert_eq!(says("a.rs", "//! A room.\n"), Vec::<String>::new());
        for text in ["", "use a::b;\n", "//!\nuse a::b;\n", "// A room.\n"] {
            assert_eq!(says("a.rs", text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_not_in_prose() {
        for name in UNFINISHED {
            assert_eq!(says("a.rs", &format!("//! A.\nfn f() {{ {name}() }}\n")).len(), 1);
            assert!(says("a.rs", &format!("//! A {name}\nfn f() {{ g(\"{name}\") }}\n")).is_empty());
        }
        assert!(says("a.rs", "//! A.\nmy_todo!();\n").is_empty());
    }

    #[test]
    fn allows_and_ignored_tests_are_found() {
        for attribute in ["#[allow(dead_code)]", "#![allow(unused)]", "#[ignore]", "#[ignore = \"slow\"]"] {
            assert_eq!(says("a.rs", &format!("//! A.\n{attribute}\nfn f() {{}}\n")).len(), 1, "{attribute}");
        }
        assert!(says("a.rs", "//! A.\n#[expect(dead_code, reason = \"x\")]\nfn f() {}\n").is_empty());
    }

    #[test]
    fn the_types_of_every_crate_have_their_files() {
        let config = "//! A.\n#[serde(deny_unknown_fields)]\npub struct Config {}\n";
        assert!(says("crates/a/src/config.rs", config).is_empty());
        assert_eq!(says("crates/a/src/limiter.rs", config).len(), 1);
        assert_eq!(says("crates/a/src/config.rs", "//! A.\npub struct Config {}\n").len(), 1);
        assert_eq!(says("crates/a/src/error.rs", "//! A.\npub enum ErrorKind { A }\n").len(), 1);
        assert!(
            says("crates/a/src/error.rs", "//! A.\n#[non_exhaustive]\npub enum ErrorKind { A }\n").is_empty()
        );
        assert_eq!(says("crates/a/src/x.rs", "//! A.\npub struct Stats;\n").len(), 1);
        assert!(says("crates/a/src/x.rs", "//! A.\npub struct StatsReader;\n").is_empty());
        assert!(says("bins/a/src/x.rs", "//! A.\npub struct Stats;\n").is_empty(), "libraries only");
    }
}
