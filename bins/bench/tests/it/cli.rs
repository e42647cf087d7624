//! What the command line says to people: help, errors that name the mistake and the remedy.

use crate::program::{bench, output, said};

fn scenario(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("scenario.toml");
    std::fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap().to_owned();
    (dir, name)
}

const GOOD: &str = "[target]\nurl = \"http://127.0.0.1:9/\"\n[load]\ntimeout = \"3s\"\n[load.shape]\nkind = \"constant\"\nlevel = 10\nduration = \"30s\"\n";

#[test]
fn help_has_examples_and_every_command() {
    let help = output(["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for part in [
        "load",
        "stress",
        "spike",
        "volume",
        "endurance",
        "search",
        "run",
        "compare",
        "history",
        "report",
        "suite",
        "Exit codes",
    ] {
        assert!(said(&help).contains(part), "{part} is not in\n{}", said(&help));
    }
}

#[test]
fn bad_input_ends_with_2_and_names_the_remedy() {
    let cases: &[(&[&str], &str)] = &[
        (&["load"], "<URL>"),
        (&["load", "http://10.1.2.3/"], "--i-own-this-target 10.1.2.3"),
        (&["load", "http://localhost.example.org/"], "--i-own-this-target localhost.example.org"),
        (&["load", "http://127.0.0.1:9/", "--rate", "60000"], "--max-rate"),
        (&["load", "http://127.0.0.1:9/", "--time", "30h"], "--max-time"),
        (&["load", "http://127.0.0.1:9/", "--time", "soon"], "30s"),
        (&["load", "http://127.0.0.1:9/", "--users", "0"], "--users"),
        (&["load", "http://127.0.0.1:9/", "--pass", "p99"], "response.p99<250ms"),
        (&["load", "http://127.0.0.1:9/", "--pass", "responce.p99<1s"], "no metric"),
        (&["load", "http://127.0.0.1:9/", "--stop", "errors"], "10% over 5s"),
        (&["load", "http://127.0.0.1:9/", "-H", "nocolon"], "Name: value"),
        (&["load", "http://127.0.0.1:9/", "--server", "maybe"], "auto"),
        (&["load", "ftp://127.0.0.1/"], "is not http"),
        (&["run", "nowhere.toml"], "nowhere.toml"),
        (&["compare", "http://127.0.0.1:9/", "b.toml"], "one kind"),
        (&["compare", "--pairs", "2", "true", "true"], "4 to 1000"),
        (&["compare", "--metric", "happiness", "true", "true"], "cpu, wall"),
        (&["compare", "--turn", "20ms", "true", "no-such-program-anywhere"], "no-such-program-anywhere"),
        (&["compare", "--turn", "20ms", "true", "false"], "only commands that succeed"),
        (&["history", "no-such-folder"], "--store"),
        (&["report", "Cargo.toml"], "--json"),
        (&["suite", "--only", "api,nothing"], "before-after"),
    ];
    for (args, part) in cases {
        let run = output(*args);
        assert_eq!(run.status.code(), Some(2), "{args:?}\n{}", said(&run));
        assert!(said(&run).contains(part), "{part} is not in what {args:?} says:\n{}", said(&run));
    }
}

#[test]
fn a_mistake_in_a_scenario_names_file_line_and_field() {
    let cases = [
        (GOOD.replace("timeout", "timout"), "scenario.toml:4", "timout"),
        (GOOD.replace("\"3s\"", "\"soon\""), "scenario.toml:4", "timeout"),
        (GOOD.replace("\"constant\"", "\"flat\""), "scenario.toml:", "shape"),
        (format!("config_version = 7\n{GOOD}"), "scenario.toml:1", "config_version"),
        (format!("{GOOD}[pass]\n\"response.p99\" = \"250ms\"\n"), "scenario.toml:10", "<250ms"),
    ];
    for (text, place, part) in cases {
        let (_dir, file) = scenario(&text);
        let run = output(["run", "--check", &file]);
        assert_eq!(run.status.code(), Some(2), "{text}\n{}", said(&run));
        assert!(
            said(&run).contains(place) && said(&run).contains(part),
            "{place} and {part} are not in\n{}",
            said(&run)
        );
    }
}

#[test]
fn the_sample_scenario_is_a_sound_one() {
    let sample = output(["config-init"]);
    let (_dir, file) = scenario(&String::from_utf8(sample.stdout).unwrap());
    let check = output(["run", "--check", &file]);
    assert_eq!(check.status.code(), Some(0), "{}", said(&check));
    assert!(said(&check).contains("http://127.0.0.1:8080/ for 1m"), "{}", said(&check));
}

#[test]
fn environment_and_flags_stand_above_the_file() {
    let (_dir, file) = scenario(GOOD);
    let longer =
        bench(["run", "--check", &file]).env("TIDEMILL_LOAD__SHAPE__DURATION", "2m").output().unwrap();
    assert!(said(&longer).contains("for 2m"), "{}", said(&longer));
    let longest = bench(["run", "--check", &file, "--set", "load.shape.duration=3m"])
        .env("TIDEMILL_LOAD__SHAPE__DURATION", "2m")
        .output()
        .unwrap();
    assert!(said(&longest).contains("for 3m"), "{}", said(&longest));
    let refused = output(["run", "--check", &file, "--set", "target.url=http://10.0.0.1/"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
}
