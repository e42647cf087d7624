//! Rules about any text: no trailing blanks, no path of somebody's machine.

use super::Finding;
use crate::source::SourceFile;

/// Top folders of one machine only; written apart so that this file passes its own rule.
const MACHINE_FOLDERS: &[&str] = &["home", "work", "tmp", "root", "Users"];

/// What people write by hand; data and lockfiles are not ours to tidy.
const WRITTEN: &[&str] = &["rs", "toml", "md", "sh", "in", "yml", "yaml", "service", "py", "txt"];

pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let extension = file.file_name().rsplit_once('.').map(|(_, extension)| extension);
    let by_hand = extension.is_none_or(|extension| WRITTEN.contains(&extension));
    let fixture = file.path.split('/').any(|folder| matches!(folder, "data" | "fixtures" | "golden"));
    if !by_hand || fixture || file.file_name() == "LICENSE" {
        return findings;
    }
    for (index, line) in file.text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            findings.push(Finding::new(&file.path, index + 1, "blanks at the end of the line"));
        }
        if let Some(path) = machine_path(line) {
            findings.push(Finding::new(&file.path, index + 1, format!("a path of one machine: {path}")));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        findings.push(Finding::new(&file.path, 0, "the last line has no end"));
    }
    findings
}

/// The first absolute path below a machine's own folder.
fn machine_path(line: &str) -> Option<&str> {
    for folder in MACHINE_FOLDERS {
        let needle = format!("/{folder}/");
        for (at, _) in line.match_indices(&needle) {
            let before = line[..at].chars().next_back();
            let after = line[at + needle.len()..].chars().next();
            let inside_a_path = before.is_some_and(|c| c.is_alphanumeric() || "_-./}*$)>~".contains(c));
            if !inside_a_path && after.is_some_and(|c| c.is_alphanumeric() || c == '$') {
                let end = line[at..].find(|c: char| c.is_whitespace() || "\"'`)".contains(c));
                return Some(&line[at..end.map_or(line.len(), |end| at + end)]);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    #[test]
    fn trailing_blanks_and_a_missing_end_are_found() {
        let findings = check(&file("a.rs", "fn a() {} \nfn b() {}\t\nfn c() {}"));
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [1, 2, 0]);
        assert!(check(&file("a.csv", "a \n")).is_empty(), "data is not ours to tidy");
        assert!(check(&file("crates/a/tests/golden/v1.txt", "a \n")).is_empty(), "nor are fixtures");
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for folder in MACHINE_FOLDERS {
            let line = format!("see \"/{folder}/me/x.rs\" for it\n");
            assert_eq!(machine_path(&line).map(str::len), Some(folder.len() + 9), "{line}");
            assert_eq!(check(&file("a.md", &line)).len(), 1);
        }
    }

    #[test]
    fn relative_paths_and_addresses_are_not() {
        for line in [
            "src/work/x.rs",
            "https://example.com/home/me",
            "$DIR/tmp/x",
            "a folder called /tmp/",
            "./work/y",
        ] {
            assert_eq!(machine_path(line), None, "{line}");
        }
    }
}
