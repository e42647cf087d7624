//! Layers, origins, masks and errors of the configuration.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::*;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    collector: Collector,
    provider: Vec<Provider>,
    labels: BTreeMap<String, u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Collector {
    data: String,
    workers: u16,
    ratio: f64,
    paused: bool,
    #[serde(serialize_with = "shown", deserialize_with = "read")]
    timeout: Duration,
    listen: Option<String>,
}

impl Default for Collector {
    fn default() -> Self {
        let (data, timeout) = ("data".to_owned(), Duration::from_secs(30));
        Self { data, workers: 8, ratio: 0.5, paused: false, timeout, listen: None }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Provider {
    name: String,
    base_url: String,
    // As the house has it: secrets do not serialize.
    #[serde(skip_serializing)]
    keys: Vec<String>,
    #[serde(skip_serializing)]
    keys_env: Option<String>,
    model: Model,
    limit: Vec<Limit>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limit {
    requests: u32,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Model {
    #[default]
    Unknown,
    SlidingLog,
    Leaky {
        burst: u32,
    },
}

fn shown<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{}s", value.as_secs()))
}

fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse().ok());
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is no duration; write \"30s\"")))
}

const FILE: &str = r#"config_version = 1

[collector]
workers = 4
timeout = "5s"

[[provider]]
name = "vendor"
base_url = "http://127.0.0.1:1"
keys = ["K-ONE", "K-TWO"]
model = { leaky = { burst = 7 } }
[[provider.limit]]
requests = 75

[labels]
a = 1
"#;

struct File(tempfile::TempDir);

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::File::create(folder.path().join("c.toml")).unwrap().write_all(text.as_bytes()).unwrap();
        Self(folder)
    }

    fn load(&self, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded<Config>, String> {
        let mut sources = Sources::new(own(env)).file(self.0.path().join("c.toml"));
        sources.flags = flags.iter().map(|(path, value)| Flag::new(*path, *value)).collect();
        sources.not_fields = vec!["TIDEMILL_LOG"];
        sources.aliases = vec![Alias::new("WORKERS", "collector.workers")];
        let folder = format!("{}/", self.0.path().display());
        load(sources).map_err(|error| error.to_string().replace(&folder, ""))
    }
}

fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn failed(text: &str, env: &[(&str, &str)]) -> String {
    File::new(text).load(env, &[]).map(|loaded| format!("{:?}", loaded.value)).unwrap_err()
}

#[test]
fn a_variable_that_a_field_names_is_no_field() {
    let set = [("TIDEMILL_VENDOR_KEYS", "k1,k2")];
    assert!(failed("", &set).contains("TIDEMILL_VENDOR_KEYS"), "the control: nothing names it");
    let file = File::new("[[provider]]\nname = \"a\"\nkeys_env = \"TIDEMILL_VENDOR_KEYS\"\n");
    let loaded = file.load(&set, &[]).unwrap();
    assert_eq!(loaded.value.provider[0].keys_env.as_deref(), Some("TIDEMILL_VENDOR_KEYS"));
}

#[test]
fn nothing_given_is_the_default() {
    let loaded = load::<Config>(Sources::new([])).unwrap();
    assert_eq!((loaded.value.collector.workers, loaded.origin("collector.workers")), (8, Origin::Default));
}

#[test]
fn the_stronger_layer_wins_and_is_named() {
    let file = File::new(FILE);
    let line = |loaded: &Loaded<Config>, path: &str| {
        let all = loaded.effective();
        let found =
            all.iter().find(|one| one.path == path).unwrap_or_else(|| panic!("{path} not in {all:?}"));
        found.to_string().replace(&format!("{}/", file.0.path().display()), "")
    };
    let loaded = file.load(&[], &[]).unwrap();
    assert_eq!(line(&loaded, "collector.workers"), "collector.workers = 4  # c.toml:4");
    assert_eq!(line(&loaded, "collector.data"), "collector.data = \"data\"  # default");
    assert_eq!(line(&loaded, "collector.listen"), "collector.listen = unset  # default");
    assert_eq!(line(&loaded, "provider.0.limit.0.requests"), "provider.0.limit.0.requests = 75  # c.toml:13");
    assert_eq!(line(&loaded, "provider.0.keys"), "provider.0.keys = ***  # c.toml:10");
    assert_eq!(
        line(&loaded, "provider.0.model.leaky.burst"),
        "provider.0.model.leaky.burst = 7  # c.toml:11"
    );

    let env = [("TIDEMILL_COLLECTOR__WORKERS", "5"), ("HOME", "/"), ("TIDEMILL_LOG", "debug")];
    let loaded = file.load(&env, &[]).unwrap();
    assert_eq!(line(&loaded, "collector.workers"), "collector.workers = 5  # TIDEMILL_COLLECTOR__WORKERS");
    let loaded = file.load(&[("WORKERS", "6")], &[]).unwrap();
    assert_eq!(line(&loaded, "collector.workers"), "collector.workers = 6  # WORKERS");
    let loaded = file.load(&[("WORKERS", "6"), env[0]], &[]).unwrap();
    assert_eq!(loaded.value.collector.workers, 5, "our own name is stronger than an alias");
    let loaded = file.load(&env, &[("collector.workers", "9")]).unwrap();
    assert_eq!(line(&loaded, "collector.workers"), "collector.workers = 9  # collector.workers");
}

#[test]
fn a_variable_becomes_what_its_field_wants() {
    let env = [
        ("TIDEMILL_COLLECTOR__PAUSED", "yes"),
        ("TIDEMILL_COLLECTOR__RATIO", "2"),
        ("TIDEMILL_COLLECTOR__TIMEOUT", "7s"),
        ("TIDEMILL_COLLECTOR__LISTEN", "127.0.0.1:0"),
        ("TIDEMILL_COLLECTOR__DATA", "5"),
        ("TIDEMILL_COLLECTOR__WORKERS", " 1_000 "),
        ("TIDEMILL_PROVIDER__0__KEYS", "k1, k2"),
        ("TIDEMILL_PROVIDER__0__MODEL", "sliding-log"),
        ("TIDEMILL_LABELS", "{ x = 3 }"),
    ];
    let value = File::new(FILE).load(&env, &[]).unwrap().value;
    let collector = &value.collector;
    assert!(collector.paused && collector.ratio == 2.0 && collector.timeout.as_secs() == 7);
    assert_eq!((collector.data.as_str(), collector.workers), ("5", 1000));
    assert_eq!(collector.listen.as_deref(), Some("127.0.0.1:0"));
    assert_eq!(
        (value.provider[0].keys.join("+"), &value.provider[0].model),
        ("k1+k2".to_owned(), &Model::SlidingLog)
    );
    assert_eq!(value.labels["x"], 3);
    let env = [("TIDEMILL_PROVIDER__0__KEYS", r#"["a,b", 'c']"#), ("TIDEMILL_LABELS__B", "4")];
    let value = File::new(FILE).load(&env, &[]).unwrap().value;
    assert_eq!(value.provider[0].keys, ["a,b", "c"]);
    assert_eq!((value.labels["a"], value.labels["b"]), (1, 4));
}

#[test]
fn tables_grow_by_index_in_numeric_order_and_without_holes() {
    let named: Vec<(String, String)> =
        (0..12).rev().map(|n| (format!("TIDEMILL_PROVIDER__{n}__NAME"), format!("p{n}"))).collect();
    let loaded = load::<Config>(Sources::new(named)).unwrap();
    let names: Vec<_> = loaded.value.provider.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11"]);

    let env = [
        ("TIDEMILL_PROVIDER__1__LIMIT__0__REQUESTS", "3"),
        ("TIDEMILL_PROVIDER__0__LIMIT__1__REQUESTS", "4"),
    ];
    let value = File::new(FILE).load(&env, &[]).unwrap().value;
    assert_eq!((value.provider[1].limit[0].requests, value.provider[0].limit[1].requests), (3, 4));
    assert_eq!(
        failed(FILE, &[("TIDEMILL_PROVIDER__3__NAME", "x")]),
        "TIDEMILL_PROVIDER__3__NAME: provider: has 1 elements, so the next index is 1, not 3"
    );
}

#[test]
fn errors_name_place_field_and_remedy() {
    let cases = [
        (
            "[collector]\nworker = 3\n",
            "c.toml:2:1: collector.worker: unknown field; did you mean \"workers\"?",
        ),
        ("\n[colector]\n", "c.toml:2:2: colector: unknown field; did you mean \"collector\"?"),
        (
            "[collector]\nworkers = \"4\"\n",
            "c.toml:2:11: collector.workers: expected u16, found string \"4\"",
        ),
        (
            "[collector]\nworkers = 70000\n",
            "c.toml:2:11: collector.workers: integer `70000` is not allowed; write u16",
        ),
        (
            "[collector]\ntimeout = \"5\"\n",
            "c.toml:2:11: collector.timeout: \"5\" is no duration; write \"30s\"",
        ),
        (
            "[[provider]]\n[[provider.limit]]\nrequests = 1\nper = 2\n",
            "c.toml:4:1: provider.0.limit.0.per: unknown field; known are \"requests\"",
        ),
        (
            "[[provider]]\nmodel = \"bukket\"\n",
            "c.toml:2:9: provider.0.model: unknown value \"bukket\"; known are \"unknown\", \"sliding-log\", \"leaky\"",
        ),
        (
            "config_version = 2\n",
            "c.toml:1:18: config_version: is 2, but this build reads version 1; write config_version = 1",
        ),
        (
            "config_version = \"one\"\n",
            "c.toml:1:18: config_version: expected an integer; write config_version = 1",
        ),
        (
            "[collector]\nworkers = 99999999999999999999\n",
            "c.toml:2:11: the integer 99999999999999999999 does not fit 64 bits",
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(failed(text, &[]), wanted);
    }
    let broken = failed("[collector]\ndata = \"a\nx = 1\n", &[]);
    assert!(broken.starts_with("c.toml:2:") && broken.contains("not valid TOML"), "{broken}");
}

#[test]
fn errors_of_the_environment_name_the_variable() {
    let cases = [
        (
            "TIDEMILL_COLLECTOR__WORKERS",
            "many",
            "collector.workers: expected an integer from 0 to 65535, found \"many\"",
        ),
        ("TIDEMILL_COLLECTOR__PAUSED", "maybe", "collector.paused: expected true or false, found \"maybe\""),
        ("TIDEMILL_COLLECTOR__DTA", "x", "collector.dta: unknown field; did you mean \"data\"?"),
        ("TIDEMILL_COLLECTOR__DATA__X", "x", "collector.data.x: unknown field; remove it"),
        (
            "TIDEMILL_COLLECTOR__WORKERS__X",
            "x",
            "collector.workers.x: collector.workers is an integer, so it has no field x",
        ),
        ("TIDEMILL_PROVIDER__NAME", "x", "provider.name: \"name\" is no index of an array"),
        ("TIDEMILL_", "x", ": the path has an empty part; write section.field"),
    ];
    for (name, value, wanted) in cases {
        let error = failed(FILE, &[(name, value)]);
        if name == "TIDEMILL_COLLECTOR__DATA__X" {
            // The file does not set data, so the variable makes a table where a string is wanted.
            assert!(error.starts_with(&format!("{name}: collector.data: ")), "{error}");
            continue;
        }
        assert!(
            error.starts_with(&format!("{name}: ")) && error.contains(wanted.trim_start_matches(": ")),
            "{error}"
        );
    }
}

#[test]
fn no_error_and_no_listing_shows_a_secret() {
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Login {
        password: u8,
        pin: u8,
        #[serde(default)]
        tokens: Vec<u8>,
    }
    let fail = |pairs: &[(&str, &str)]| {
        let mut sources = Sources::new(own(pairs));
        sources.secrets = vec!["pin".to_owned()];
        load::<Login>(sources).unwrap_err().to_string()
    };
    let error = fail(&[("TIDEMILL_PASSWORD", "S3CRET"), ("TIDEMILL_PIN", "1")]);
    assert!(
        error.starts_with("TIDEMILL_PASSWORD: password: ")
            && error.contains("***")
            && !error.contains("S3CRET"),
        "{error}"
    );
    let error = fail(&[("TIDEMILL_PASSWORD", "1"), ("TIDEMILL_PIN", "S3\"CRET")]);
    assert!(!error.contains("CRET"), "{error}");
    let error = fail(&[("TIDEMILL_PASSWORD", "1"), ("TIDEMILL_PIN", "1"), ("TIDEMILL_TOKENS", "5,S3CRET")]);
    assert!(error.contains("tokens.1") && !error.contains("S3CRET"), "{error}");

    let text = "[[provider]]\nkeys = \"K-ONE\"\n";
    let error = failed(text, &[]);
    assert!(error.contains("provider.0.keys") && !error.contains("K-ONE"), "{error}");
    let listed: Vec<_> =
        File::new(FILE).load(&[], &[]).unwrap().effective().iter().map(ToString::to_string).collect();
    assert!(!listed.join("\n").contains("K-"), "{listed:?}");
}

#[test]
fn own_checks_are_placed_where_the_value_was_set() {
    let file = File::new(FILE);
    let loaded = file.load(&[("TIDEMILL_COLLECTOR__DATA", "/x")], &[]).unwrap();
    let error = loaded.error("collector.data", "cannot be written; choose another folder");
    assert_eq!(
        error.to_string(),
        "TIDEMILL_COLLECTOR__DATA: collector.data: cannot be written; choose another folder"
    );
    assert!(matches!(loaded.origin("provider.0.limit.0.requests"), Origin::File { line: 13, .. }));
    assert_eq!(loaded.origin("provider.4.name"), Origin::Default);
}

#[test]
fn a_missing_file_and_a_flag_by_its_name() {
    let error = load::<Config>(Sources::new([]).file("/nowhere/c.toml")).unwrap_err().to_string();
    assert!(
        error.starts_with("/nowhere/c.toml: cannot be read: ") && error.ends_with("check --config"),
        "{error}"
    );
    let flag = Flag::new("collector.workers", "x").named("--workers");
    let error = load::<Config>(Sources::new([]).flag(flag)).unwrap_err().to_string();
    assert!(error.starts_with("--workers: collector.workers: expected an integer"), "{error}");
}
