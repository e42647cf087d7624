//! Backups and exports: made, verified, brought back, and refused when they are damaged.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::running::{Monitor, ask, configured, end, means};

fn folders(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(prefix);
    let mut found: Vec<PathBuf> = entries.filter(named).collect();
    found.sort();
    found
}

/// A folder with a little history, and what its last answer was.
fn kept(dir: &Path) -> Value {
    let monitor = Monitor::start(dir, &["--interval", "1"], &[]);
    let path = "/api/metrics/history?metric=system_memory_percent&points=3600";
    let answer = monitor.until(path, |answer| means(answer).len() >= 2);
    assert_eq!(monitor.stop().0, 0);
    answer
}

#[test]
fn what_is_backed_up_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let before = kept(&data);
    let text = data.to_str().unwrap();
    let (code, said, error) = end(&["backup", "--data", text], &[]);
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("stores verified") && said.contains("everything committed is in it"), "{said}");
    let backups = data.join("backups");
    let made = folders(&backups, "backup_");
    assert_eq!(made.len(), 1);
    let (code, _, error) = end(&["restore", made[0].to_str().unwrap(), "--data", text], &[]);
    assert_eq!(code, 2);
    assert!(error.contains("restore into an empty folder"), "{error}");
    // The folder of backups means the newest.
    let elsewhere = dir.path().join("elsewhere");
    let (code, said, error) =
        end(&["restore", backups.to_str().unwrap(), "--data", elsewhere.to_str().unwrap()], &[]);
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("stores verified"), "{said}");
    let again = Monitor::start(&elsewhere, &["--interval", "60"], &[]);
    let after = again.json("/api/metrics/history?metric=system_memory_percent&points=3600&hours=2");
    let t = |answer: &Value| answer["series"][0]["t"].as_array().unwrap().clone();
    assert!(t(&after).starts_with(&t(&before)), "{before} {after}");
}

#[test]
fn a_damaged_backup_is_refused_and_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    kept(&data);
    assert_eq!(end(&["backup", "--data", data.to_str().unwrap()], &[]).0, 0);
    let made = folders(&data.join("backups"), "backup_").remove(0);
    let target = dir.path().join("back");
    let restore = || end(&["restore", made.to_str().unwrap(), "--data", target.to_str().unwrap()], &[]);
    let file = made.join("state/baselines.json");
    let sound = std::fs::read(&file).unwrap();
    let mut damaged = sound.clone();
    damaged[0] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let (code, _, error) = restore();
    assert!(code == 2 && error.contains("no sound backup") && error.contains("baselines.json"), "{error}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(restore().0, 2);
    std::fs::write(&file, sound).unwrap();
    // A list that leads out of the folder.
    let list = std::fs::read_to_string(made.join("backup.json")).unwrap();
    std::fs::write(made.join("backup.json"), list.replace("state/baselines.json", "../outside")).unwrap();
    let (code, _, error) = restore();
    assert!(code == 2 && error.contains("leads out of the backup"), "{error}");
    std::fs::write(made.join("backup.json"), list).unwrap();
    assert!(!target.join("history").exists());
    assert_eq!(restore().0, 0);
}

#[test]
fn backups_are_made_on_a_schedule_while_it_runs_and_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copies) = (dir.path().join("data"), dir.path().join("copies"));
    let config = format!("[backup]\nevery = \"1h\"\nkeep = 2\ndir = {copies:?}\n");
    let file = configured(dir.path(), &config);
    for stamp in ["20200101_000000", "20210101_000000", "20220101_000000"] {
        let old = copies.join(format!("backup_{stamp}"));
        std::fs::create_dir_all(&old).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
        std::fs::File::open(&old).unwrap().set_modified(long_ago).unwrap();
    }
    let monitor = Monitor::start(&data, &["--interval", "1", "--config", &file], &[]);
    let begun = std::time::Instant::now();
    while folders(&copies, "backup_2").iter().all(|path| !path.join("backup.json").exists()) {
        assert!(begun.elapsed() < crate::running::PATIENCE, "{:?}", folders(&copies, ""));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (status, _, body) = ask("POST", &format!("{}/api/backup", monitor.url), &[]);
    // Within the second of the scheduled one its name is taken; it says so.
    assert!(status == 200 || body.contains("wait a second"), "{status} {body}");
    assert_eq!(monitor.stop().0, 0);
    assert_eq!(folders(&copies, "backup_").len(), 2);
    let newest = folders(&copies, "backup_").pop().unwrap();
    let back = dir.path().join("back");
    let (code, _, error) = end(&["restore", newest.to_str().unwrap(), "--data", back.to_str().unwrap()], &[]);
    assert_eq!(code, 0, "{error}");
}

#[test]
fn history_is_written_as_a_file_from_a_running_monitor_and_from_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let monitor = Monitor::start(&data, &["--interval", "1"], &[]);
    monitor.until("/api/metrics/history?metric=up", |answer| means(answer).len() >= 2);
    let to = dir.path().to_str().unwrap();
    let read = |said: &str| -> Value {
        let path = Path::new(said.trim());
        let name = path.file_name().unwrap().to_str().unwrap();
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let stamp = name.strip_prefix("history_").unwrap().strip_suffix(".json").unwrap();
        let (day, time) = stamp.split_once('_').unwrap();
        assert!(day.len() == 8 && time.len() == 6 && digits(day) && digits(time), "{name}");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let (code, said, error) = end(&["export", "--url", &monitor.url, "--to", to], &[]);
    assert_eq!(code, 0, "{error}");
    let live = read(&said);
    assert_eq!(live["format"], "tidemill-history-1");
    assert!(live["series"].as_array().unwrap().len() > 20);
    let (code, _, error) = end(&["export", "--data", data.to_str().unwrap(), "--to", to], &[]);
    assert!(code == 1 && error.contains("give its address with --url"), "{error}");
    assert_eq!(monitor.stop().0, 0);
    let (code, said, error) = end(&["export", "--data", data.to_str().unwrap(), "--to", to], &[]);
    assert_eq!(code, 0, "{error}");
    let names = |value: &Value| -> Vec<String> {
        value["series"].as_array().unwrap().iter().map(|s| format!("{}{}", s["name"], s["labels"])).collect()
    };
    assert_eq!(names(&read(&said)), names(&live));
    assert_eq!(end(&["export", "--hours", "0"], &[]).0, 2);
}
