//! What the command line says to people: help, errors with line and field, plans, checks.

use crate::program::{output, said};

fn config(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("collector.toml");
    std::fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap().to_owned();
    (dir, name)
}

#[test]
fn help_has_examples_and_every_command() {
    let help = output(["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for part in ["run --once", "plan", "check", "verify", "status", "config-init", "sandbox", "Exit codes"] {
        assert!(said(&help).contains(part), "{part} is not in\n{}", said(&help));
    }
}

#[test]
fn a_mistake_names_file_line_and_field() {
    let cases = [
        ("[collector]\nworkres = 3\n", "collector.toml:2", "workres"),
        ("[collector]\nworkers = \"many\"\n", "collector.toml:2", "workers"),
        ("[collector]\nmax_wait = \"soon\"\n", "collector.toml:2", "max_wait"),
        ("config_version = 2\n", "collector.toml:1", "config_version"),
        (
            "[lease]\nstore = \"sqlite\"\npath = \"l.db\"\ntls_roots = \"ca.pem\"\n[[provider]]\nname = \"v\"\nadapter = \"twelve-data\"\nbase_url = \"http://x\"\n[[dataset]]\nname = \"d\"\nprovider = \"v\"\nsymbols = [\"A\"]\n",
            "collector.toml:4",
            "only store",
        ),
        (
            "[[provider]]\nname = \"v\"\nadapter = \"alpha\"\nbase_url = \"http://x\"\n[[dataset]]\nname = \"d\"\nprovider = \"v\"\nsymbols = [\"A\"]\n",
            "collector.toml:3",
            "twelve-data",
        ),
        (
            "[[provider]]\nname = \"v\"\nadapter = \"twelve-data\"\nbase_url = \"http://x\"\n[[dataset]]\nname = \"d\"\nprovider = \"w\"\nsymbols = [\"A\"]\n",
            "collector.toml:7",
            "there are: v",
        ),
        (
            "[[provider]]\nname = \"v\"\nadapter = \"twelve-data\"\nbase_url = \"ftp://x\"\n[[dataset]]\nname = \"d\"\nprovider = \"v\"\nsymbols = [\"A\"]\n",
            "collector.toml:4",
            "http://",
        ),
        (
            "[[provider]]\nname = \"v\"\nadapter = \"twelve-data\"\nbase_url = \"http://x\"\n[[provider.limit]]\nrequests = 5\nper = \"1 parsec\"\n",
            "collector.toml:7",
            "per",
        ),
    ];
    for (text, place, part) in cases {
        let (_dir, file) = config(text);
        let run = output(["check", "--config", &file]);
        assert_eq!(run.status.code(), Some(2), "{text}\n{}", said(&run));
        assert!(
            said(&run).contains(place) && said(&run).contains(part),
            "{place} and {part} are not in\n{}",
            said(&run)
        );
    }
}

#[test]
fn the_sample_configuration_is_a_sound_one() {
    let sample = output(["config-init"]);
    let (dir, file) = config(&String::from_utf8(sample.stdout).unwrap());
    let data = dir.path().join("data");
    let check = crate::program::collector(["check", "--config", &file, "--data"])
        .arg(&data)
        .env("VENDOR_KEYS", "a,b")
        .output()
        .unwrap();
    assert_eq!(check.status.code(), Some(0), "{}", said(&check));
    assert!(said(&check).contains("provider vendor: 2 keys"), "{}", said(&check));
    let missing = output(["check", "--config", &file]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("VENDOR_KEYS is not set"), "{}", said(&missing));
}

#[test]
fn every_value_is_shown_with_its_source() {
    let (_dir, file) = config(
        "[collector]\nworkers = 7\n[[provider]]\nname = \"v\"\nadapter = \"twelve-data\"\nbase_url = \"http://x\"\nkeys = [\"hush\"]\n[[dataset]]\nname = \"d\"\nprovider = \"v\"\nsymbols = [\"A\"]\n",
    );
    let shown = crate::program::collector(["check", "--effective", "--config", &file])
        .env("TIDEMILL_COLLECTOR__TRIES", "5")
        .output()
        .unwrap();
    let text = said(&shown);
    for part in [
        "collector.workers = 7",
        "collector.toml:2",
        "collector.tries = 5",
        "TIDEMILL_COLLECTOR__TRIES",
        "http.total_timeout = \"30s\"",
        "default",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn the_built_in_plan_is_four_keys_and_a_thousand_calls() {
    let dir = tempfile::tempdir().unwrap();
    let plan = output(["plan", "--data", dir.path().join("data").to_str().unwrap()]);
    assert_eq!(plan.status.code(), Some(0), "{}", said(&plan));
    assert!(said(&plan).contains("1000 calls over 4 keys"), "{}", said(&plan));
    assert!(!dir.path().join("data").exists(), "a plan leaves no trace");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let run = output(["run", "--once", "--listen", &addr, "--data", dir.path().to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(2));
    let port = addr.rsplit(':').next().unwrap();
    assert!(
        said(&run).contains(&format!("port {port}")) && said(&run).contains("--listen"),
        "{}",
        said(&run)
    );
}

#[test]
fn reading_where_nothing_was_stored_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["verify", "status"] {
        let run = output([command, "--data", dir.path().join("nothing").to_str().unwrap()]);
        assert_eq!(run.status.code(), Some(2), "{}", said(&run));
        assert!(said(&run).contains("nothing"), "{}", said(&run));
    }
}
