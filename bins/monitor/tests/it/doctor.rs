//! `doctor` from a shell, on a made-up machine: it shows, asks, applies, and takes back.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn machine() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("proc/sys/vm/swappiness", "60\n"),
        ("proc/sys/vm/dirty_ratio", "10\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
    ] {
        std::fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(root.path().join(path), text).unwrap();
    }
    root
}

fn doctor(root: &Path, args: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidemill-monitor"))
        .args(["doctor", "--root"])
        .arg(root)
        .arg("--undo-file")
        .arg(root.join("undo.json"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may end without reading.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn swappiness(root: &Path) -> String {
    std::fs::read_to_string(root.join("proc/sys/vm/swappiness")).unwrap().trim().to_owned()
}

#[test]
fn it_shows_the_exact_commands_and_touches_nothing() {
    let root = machine();
    let (code, shown, _) = doctor(root.path(), &[], "");
    assert_eq!(code, 1);
    for says in [
        "advice    vm.swappiness",
        "60",
        "do    sudo sysctl -w vm.swappiness=10",
        "undo  sudo sysctl -w vm.swappiness=60",
        "2 to change, 1 good",
    ] {
        assert!(shown.contains(says), "{says}:\n{shown}");
    }
    assert_eq!(swappiness(root.path()), "60");
    assert!(!root.path().join("undo.json").exists());
}

#[test]
fn it_asks_for_each_applies_what_is_agreed_to_and_takes_it_back() {
    let root = machine();
    let (code, shown, _) = doctor(root.path(), &["--apply"], "y\nn\n");
    assert_eq!(code, 1, "one was declined");
    assert!(shown.contains("set vm.swappiness from 60 to 10? [y/N] vm.swappiness is 10 now"), "{shown}");
    assert_eq!(swappiness(root.path()), "10");
    let huge =
        std::fs::read_to_string(root.path().join("sys/kernel/mm/transparent_hugepage/enabled")).unwrap();
    assert_eq!(huge, "[always] madvise never\n");
    let (code, shown, _) = doctor(root.path(), &["--undo"], "");
    assert_eq!((code, shown.trim()), (0, "1 settings are as they were"));
    assert_eq!(swappiness(root.path()), "60");
    let (code, _, error) = doctor(root.path(), &["--undo"], "");
    assert_eq!(code, 2);
    assert!(error.contains("nothing to take back"), "{error}");
}

#[test]
fn the_end_of_the_input_is_a_no() {
    let root = machine();
    assert_eq!(doctor(root.path(), &["--apply"], "").0, 1);
    assert_eq!(swappiness(root.path()), "60");
}

#[test]
fn json_is_for_programs_and_bad_input_says_what_to_do() {
    let root = machine();
    let (_, shown, _) = doctor(root.path(), &["--json"], "");
    let findings: Vec<serde_json::Value> = serde_json::from_str(&shown).unwrap();
    assert!(
        findings.iter().any(|finding| finding["name"] == "vm.swappiness" && finding["status"] == "advice")
    );
    assert_eq!(doctor(root.path(), &["--json", "--apply"], "").0, 2);
    assert_eq!(doctor(root.path(), &["--yes"], "").0, 2);
    std::fs::write(root.path().join("undo.json"), "{}").unwrap();
    let (code, _, error) = doctor(root.path(), &["--undo"], "");
    assert_eq!(code, 2);
    assert!(error.contains("is no undo file of this program"), "{error}");
    let (code, _, error) = doctor(&root.path().join("nowhere"), &[], "");
    assert_eq!(code, 2);
    assert!(error.contains("is no folder"), "{error}");
}
