//! Rules about a package's folder: what stands beside its sources.

use super::Finding;

/// `folder` is a member of `crates` or `bins`; `files` are all files of the workspace.
pub(super) fn check(folder: &str, files: &[&str]) -> Vec<Finding> {
    let inside: Vec<&str> =
        files.iter().filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/')).collect();
    let mut findings = Vec::new();
    for needed in ["README.md", "CHANGELOG.md"] {
        if !inside.contains(&needed) {
            findings.push(Finding::new(folder, 0, format!("has no {needed}")));
        }
    }
    for path in &inside {
        let top_level =
            path.strip_prefix("tests/").is_some_and(|name| name.ends_with(".rs") && !name.contains('/'));
        let other_main =
            path.starts_with("tests/") && path.ends_with("/main.rs") && *path != "tests/it/main.rs";
        if top_level || other_main {
            let says = "a second integration test binary: it belongs into tests/it as a module";
            findings.push(Finding::new(&format!("{folder}/{path}"), 0, says));
        }
    }
    let sources = inside.iter().filter(|path| path.starts_with("src/")).count();
    // A crate of macros is tested by the crate that offers them.
    let tested_elsewhere = folder.ends_with("-macros");
    if folder.starts_with("crates/")
        && !tested_elsewhere
        && sources > 1
        && !inside.contains(&"tests/it/main.rs")
    {
        findings.push(Finding::new(folder, 0, "has no tests/it/main.rs"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[&str] = &[
        "crates/a/README.md",
        "crates/a/CHANGELOG.md",
        "crates/a/src/lib.rs",
        "crates/a/src/config.rs",
        "crates/a/tests/it/main.rs",
        "crates/a/tests/it/crash.rs",
    ];

    #[test]
    fn a_complete_folder_is_fine() {
        assert_eq!(check("crates/a", FILES), []);
    }

    #[test]
    fn what_is_missing_is_named() {
        for missing in ["README.md", "CHANGELOG.md", "tests/it/main.rs"] {
            let files: Vec<&str> = FILES.iter().copied().filter(|path| !path.ends_with(missing)).collect();
            let findings = check("crates/a", &files);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].says.contains(missing));
        }
    }

    #[test]
    fn macros_are_tested_by_the_crate_that_offers_them() {
        let files = |folder: &str| {
            ["README.md", "CHANGELOG.md", "src/lib.rs", "src/task.rs"].map(|file| format!("{folder}/{file}"))
        };
        for (folder, findings) in [("crates/a-macros", 0), ("crates/a", 1)] {
            let files = files(folder);
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            assert_eq!(check(folder, &files).len(), findings);
        }
    }

    #[test]
    fn one_integration_test_binary_is_enough() {
        for second in ["crates/a/tests/crash.rs", "crates/a/tests/slow/main.rs"] {
            let files: Vec<&str> = FILES.iter().copied().chain([second]).collect();
            assert_eq!(check("crates/a", &files).len(), 1, "{second}");
        }
    }
}
