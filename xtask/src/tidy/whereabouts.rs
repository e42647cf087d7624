//! The table "where is what" of docs/ARCHITECTURE.md: it names only what exists, and every crate has a row.

use super::Finding;

const MAP: &str = "docs/ARCHITECTURE.md";

/// `files` are all files of the workspace, `crates` the folders of libraries and executables.
pub(super) fn check(text: &str, files: &[&str], crates: &[&str]) -> Vec<Finding> {
    let rows = rows(text);
    if rows.is_empty() {
        return vec![Finding::new(MAP, 0, "has no table under a heading \"Where is what\"")];
    }
    let mut findings = Vec::new();
    let mut named = Vec::new();
    for (line, row) in rows {
        for path in paths(row) {
            let folder = format!("{}/", path.trim_end_matches('/'));
            if !files.iter().any(|file| *file == path || file.starts_with(&folder)) {
                findings.push(Finding::new(MAP, line, format!("names {path}, which does not exist")));
            }
            named.push(folder);
        }
    }
    for folder in crates {
        let row = format!("{folder}/");
        if !named.iter().any(|path| path.starts_with(&row)) {
            findings.push(Finding::new(MAP, 0, format!("the table has no row for {folder}")));
        }
    }
    findings
}

/// Line number and text of the table's rows.
fn rows(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .skip_while(|(_, line)| !(line.starts_with('#') && line.to_lowercase().contains("where is what")))
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('#'))
        .filter(|(_, line)| line.starts_with('|'))
        .collect()
}

/// Code spans that look like a path from the root, and the targets of links from `docs`.
fn paths(row: &str) -> Vec<String> {
    let spans = row.split('`').skip(1).step_by(2).filter(|span| looks_like_a_path(span));
    let links = row.split("](../").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    spans.chain(links).map(str::to_owned).collect()
}

fn looks_like_a_path(span: &str) -> bool {
    let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let rooted = ["crates/", "bins/", "benches", "examples", "xtask", "docs/", ".ci/", ".cargo/"];
    plain && !span.contains("..") && rooted.iter().any(|root| span.starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[&str] = &["crates/a/src/quota.rs", "crates/b/src/lib.rs", "xtask/src/tidy.rs"];
    const TEXT: &str = "# Architecture\n\n## Where is what\n\n| question | file |\n|---|---|\n\
        | a quota | `crates/a/src/quota.rs` |\n| b | [b](../crates/b/) |\n| tidy | `xtask/src/tidy.rs`, `Config` |\n\n\
        ## Rest\n\n| `crates/gone.rs` |\n";

    #[test]
    fn a_true_table_is_fine() {
        assert_eq!(check(TEXT, FILES, &["crates/a", "crates/b"]), []);
    }

    #[test]
    fn a_file_that_moved_is_named() {
        for gone in [TEXT.replace("quota.rs", "limits.rs"), TEXT.replace("../crates/b/", "../crates/c/")] {
            assert!(!check(&gone, FILES, &[]).is_empty());
        }
    }

    #[test]
    fn a_crate_without_a_row_is_named() {
        let findings = check(TEXT, FILES, &["crates/a", "crates/ab"]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].says.contains("crates/ab"));
    }

    #[test]
    fn a_missing_table_is_a_finding() {
        assert_eq!(check("# Architecture\n", FILES, &[]).len(), 1);
    }
}
