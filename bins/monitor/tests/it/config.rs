//! Every flag, variable and field: where it counts, which wins, and how a mistake is told.

use crate::running::{configured, end};

const VARIABLES: [(&str, &str); 5] = [
    ("MONITORING_INTERVAL", "7"),
    ("AUTO_TUNING_ENABLED", "false"),
    ("MEMORY_THRESHOLD", "81"),
    ("CPU_THRESHOLD", "71.5"),
    ("RESPONSE_TIME_THRESHOLD", "1001"),
];

fn effective(args: &[&str], env: &[(&str, &str)]) -> String {
    let mut all = vec!["check", "--effective"];
    all.extend(args);
    let (code, shown, error) = end(&all, env);
    assert_eq!(code, 0, "{error}");
    shown
}

fn holds(shown: &str, wanted: &[&str]) {
    for line in wanted {
        assert!(shown.lines().any(|shown| shown == *line), "{line}\n{shown}");
    }
}

#[test]
fn defaults_are_those_of_the_documents() {
    let shown = effective(&[], &[]);
    for line in [
        "monitor.interval = \"10s\"",
        "monitor.port = 8080",
        "monitor.listen = \"127.0.0.1\"",
        "monitor.memory_threshold = 80.0",
        "monitor.cpu_threshold = 70.0",
        "monitor.response_threshold = 1000.0",
        "monitor.auto_tuning = true",
        "monitor.host_detail = \"summary\"",
        "history.values = 1000",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
}

#[test]
fn the_five_variables_of_the_specification_count() {
    let shown = effective(&[], &VARIABLES);
    holds(
        &shown,
        &[
            "monitor.interval = \"7s\"  # MONITORING_INTERVAL",
            "monitor.auto_tuning = false  # AUTO_TUNING_ENABLED",
            "monitor.memory_threshold = 81.0  # MEMORY_THRESHOLD",
            "monitor.cpu_threshold = 71.5  # CPU_THRESHOLD",
            "monitor.response_threshold = 1001.0  # RESPONSE_TIME_THRESHOLD",
        ],
    );
}

#[test]
fn flags_beat_variables_and_variables_beat_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = configured(dir.path(), "[monitor]\ninterval = \"20s\"\nport = 9001\ncpu_threshold = 60.0\n");
    let shown = effective(&["--config", &file], &[]);
    assert!(shown.contains("monitor.interval = \"20s\"") && shown.contains("monitor.port = 9001"), "{shown}");
    let shown = effective(&["--config", &file], &VARIABLES);
    holds(&shown, &["monitor.interval = \"7s\"  # MONITORING_INTERVAL"]);
    let both = [("MONITORING_INTERVAL", "7"), ("TIDEMILL_MONITOR__INTERVAL", "8s")];
    holds(
        &effective(&["--config", &file], &both),
        &["monitor.interval = \"8s\"  # TIDEMILL_MONITOR__INTERVAL"],
    );
    let flags = [
        "--config",
        &file,
        "--interval",
        "9",
        "--memory-threshold",
        "82",
        "--cpu-threshold",
        "72",
        "--response-threshold",
        "1002",
        "--no-auto-tuning",
        "--port",
        "9002",
        "--listen",
        "0.0.0.0",
        "--data",
        "elsewhere",
        "--host-detail",
        "full",
    ];
    let shown = effective(&flags, &[("AUTO_TUNING_ENABLED", "true"), ("MONITORING_INTERVAL", "7")]);
    holds(
        &shown,
        &[
            "monitor.interval = \"9s\"  # --interval",
            "monitor.memory_threshold = 82.0  # --memory-threshold",
            "monitor.cpu_threshold = 72.0  # --cpu-threshold",
            "monitor.response_threshold = 1002.0  # --response-threshold",
            "monitor.auto_tuning = false  # --no-auto-tuning",
            "monitor.port = 9002  # --port",
            "monitor.listen = \"0.0.0.0\"  # --listen",
            "monitor.data = \"elsewhere\"  # --data",
            "monitor.host_detail = \"full\"  # --host-detail",
        ],
    );
    holds(
        &effective(&[], &[("TIDEMILL_MONITOR__HOST_DETAIL", "full")]),
        &["monitor.host_detail = \"full\"  # TIDEMILL_MONITOR__HOST_DETAIL"],
    );
    holds(&effective(&["--listen", "[::1]:9003"], &[]), &["monitor.port = 9003  # --listen"]);
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_to_write() {
    let dir = tempfile::tempdir().unwrap();
    for (text, says) in [
        (
            "[monitor]\nintervall = \"5s\"\n",
            "monitor.toml:2:1: monitor.intervall: unknown field; did you mean \"interval\"?",
        ),
        ("[monitor]\ninterval = \"0s\"\n", "monitor.toml:2:12: monitor.interval: is 0ns; choose 1s to 60s"),
        ("[monitor]\ninterval = \"61s\"\n", "choose 1s to 60s"),
        ("[monitor]\ncpu_threshold = 170\n", "monitor.cpu_threshold: is 170; choose above 0 to 100"),
        ("[monitor]\nprefix = \"x/\"\n", "must begin with /"),
        ("[[target]]\nname = \"a\"\nurl = \"ftp://x\"\n", "target.0.url: \"ftp://x\" must be http://"),
        (
            "[[target]]\nname = \"host\"\nurl = \"http://x\"\n",
            "target.0.name: \"host\" is used twice or is one of",
        ),
        ("[[metric]]\nname = \"m\"\n", "give one of command, file and url, not 0"),
        ("[[metric]]\nname = \"m-x\"\nfile = \"/x\"\n", "must be a metric name"),
        ("[[business]]\nname = \"b\"\ntarget = \"gone\"\nmetric = \"m\"\n", "is not watched; there are: "),
        ("[[probe]]\nname = \"p\"\n", "give url or tcp"),
        ("[[probe]]\nname = \"p\"\ntcp = \"x\"\n", "must be host:port"),
        ("[[probe]]\nname = \"p\"\ntcp = \"x:1\"\nobjective = 100.0\n", "above 0 and below 100"),
        ("[history]\nvalues = 3\n", "history.values: is 3; choose 10 to 100000"),
        ("[history]\nraw = \"1m\"\n", "must be at least 1h"),
        ("[backup]\nkeep = 0\n", "backup.keep: is 0"),
        ("[health]\nconsecutive = 0\n", "0 times in a row is never"),
        ("config_version = 2\n", "write config_version = 1"),
    ] {
        let file = configured(dir.path(), text);
        let (code, _, error) = end(&["run", "--config", &file], &[]);
        assert_eq!(code, 2, "{text}{error}");
        assert!(error.contains(says), "{text}{says}\n{error}");
    }
    let (code, _, error) = end(&["run"], &[("CPU_THRESHOLD", "hot")]);
    assert_eq!(code, 2);
    assert!(error.contains("CPU_THRESHOLD") && error.contains("monitor.cpu_threshold"), "{error}");
    let (code, _, error) = end(&["run", "--interval", "soon"], &[]);
    assert!(code == 2 && error.contains("--interval"), "{error}");
    let (code, _, error) = end(&["run", "--listen", "here"], &[]);
    assert!(code == 2 && error.contains("is no address"), "{error}");
}

#[test]
fn what_is_saved_is_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("saved.toml");
    let path = file.to_str().unwrap();
    let (code, said, error) = end(
        &["run", "--interval", "5", "--cpu-threshold", "66", "--no-auto-tuning", "--save-config", path],
        &[],
    );
    assert_eq!((code, said.trim()), (0, format!("written to {path}").as_str()), "{error}");
    let shown = effective(&["--config", path], &[]);
    for line in ["monitor.interval = \"5s\"", "monitor.cpu_threshold = 66.0", "monitor.auto_tuning = false"] {
        assert!(shown.contains(&format!("{line}  # {path}")), "{line}\n{shown}");
    }
}

#[test]
fn the_sample_is_sound_and_says_the_defaults() {
    let (code, sample, _) = end(&["config-init"], &[]);
    assert_eq!(code, 0);
    let dir = tempfile::tempdir().unwrap();
    let of = |shown: String| -> Vec<String> {
        shown.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    let file = configured(dir.path(), &sample);
    assert_eq!(of(effective(&["--config", &file], &[])), of(effective(&[], &[])));
    // What stands behind a # is sound too.
    let uncommented: String = sample
        .lines()
        .skip_while(|line| !line.starts_with("# Prometheus endpoints"))
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let file = configured(dir.path(), &uncommented);
    let shown = effective(&["--config", &file], &[]);
    assert!(shown.contains("target.1.name = \"node\"") && shown.contains("probe.1.tcp"), "{shown}");
}
