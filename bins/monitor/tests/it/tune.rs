//! Knobs of a target, moved from afar: each rule, harm undone, a trial, restarts, and a target that tunes itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tidemill_autotune::{Decision, Knob};
use tidemill_monitor::event::Events;
use tidemill_monitor::http::Client;
use tidemill_monitor::tune::{Around, Config, Notify, Steering, Target, Tuning};
use tokio::sync::broadcast;

pub(crate) type Knobs = BTreeMap<&'static str, (f64, f64, f64)>;

/// A program with knobs: what its signals are depends on them.
#[derive(Clone)]
pub(crate) struct Plant(Arc<Mutex<Inner>>);

struct Inner {
    knobs: Knobs,
    enabled: Option<bool>,
    behave: fn(&Knobs, u64) -> Value,
    reads: u64,
    sets: Vec<BTreeMap<String, f64>>,
    refuse: bool,
}

impl Plant {
    pub(crate) async fn start(
        knobs: &[(&'static str, f64, f64, f64)],
        behave: fn(&Knobs, u64) -> Value,
    ) -> (Self, String) {
        let knobs = knobs.iter().map(|(name, value, low, high)| (*name, (*value, *low, *high))).collect();
        let (sets, enabled) = (Vec::new(), None);
        let plant =
            Self(Arc::new(Mutex::new(Inner { knobs, enabled, behave, reads: 0, sets, refuse: false })));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/api/v2/knobs", get(knobs_of).put(turn))
            .route("/api/v2/tuning", get(status).put(switch))
            .with_state(plant.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (plant, url)
    }

    /// How often it was looked at.
    pub(crate) fn reads(&self) -> u64 {
        self.0.lock().unwrap().reads
    }

    pub(crate) fn value(&self, knob: &str) -> f64 {
        self.0.lock().unwrap().knobs[knob].0
    }
}

async fn knobs_of(State(plant): State<Plant>) -> Json<Value> {
    let inner = plant.0.lock().unwrap();
    let knob = |(name, (value, low, high)): (&&str, &(f64, f64, f64))| json!({ "name": name, "value": value, "unit": "", "low": low, "high": high, "step": 1.0, "tried_by": "split", "trial": null });
    Json(json!({ "knobs": inner.knobs.iter().map(knob).collect::<Vec<_>>() }))
}

async fn turn(
    State(plant): State<Plant>,
    Json(wanted): Json<BTreeMap<String, f64>>,
) -> (StatusCode, Json<Value>) {
    let mut inner = plant.0.lock().unwrap();
    if inner.refuse {
        return (StatusCode::CONFLICT, Json(json!({ "error": "an emergency holds it" })));
    }
    for (name, value) in &wanted {
        let Some(knob) = inner.knobs.get_mut(name.as_str()) else {
            return (StatusCode::NOT_FOUND, Json(json!({ "error": "no such knob" })));
        };
        knob.0 = *value;
    }
    inner.sets.push(wanted);
    (StatusCode::OK, Json(json!({ "knobs": [] })))
}

async fn status(State(plant): State<Plant>) -> (StatusCode, Json<Value>) {
    let mut inner = plant.0.lock().unwrap();
    inner.reads += 1;
    let signals = (inner.behave)(&inner.knobs, inner.reads);
    let signals: serde_json::Map<String, Value> = signals
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), json!({ "value": value, "age_s": 0.1, "count": 1 })))
        .collect();
    (StatusCode::OK, Json(json!({ "enabled": inner.enabled, "signals": signals })))
}

async fn switch(State(plant): State<Plant>, Json(wanted): Json<Value>) -> Json<Value> {
    plant.0.lock().unwrap().enabled = wanted["enabled"].as_bool();
    Json(json!({}))
}

fn target(url: &str, tuner: &str) -> Target {
    toml::from_str(&format!("name = \"c\"\nurl = \"{url}\"\ninterval = \"10ms\"\n{tuner}")).unwrap()
}

async fn start(target: Target, enabled: bool, data: &Path) -> Tuning {
    let (send, rounds) = broadcast::channel(16);
    // Nothing is told here; the plant tells its signals itself.
    std::mem::forget(send);
    let around = Around {
        data: data.to_owned(),
        client: Client::new(1 << 20).unwrap(),
        rounds,
        derive: Box::new(|_| Vec::new()),
        notify: Notify { events: Events::new(100), alerts: None },
    };
    Tuning::start(&Config { target: vec![target] }, enabled, around, &|_| None).await.unwrap()
}

async fn until(mut look: impl FnMut() -> bool, what: &str) {
    let begin = Instant::now();
    while !look() {
        assert!(begin.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The journal at `/api/tuning` has such words.
async fn journal(tuning: &Tuning, words: &str) -> Value {
    let begin = Instant::now();
    loop {
        let view = tuning.handle().view().await;
        let all = view["targets"][0]["journal"].as_array().unwrap().clone();
        if let Some(found) = all.iter().find(|one| one["words"].as_str().is_some_and(|is| is.contains(words)))
        {
            return found.clone();
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{words:?} is not in {all:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_harmful_change_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    // Much waits; with more than six workers the provider refuses.
    let (plant, url) = Plant::start(&[("workers", 5.0, 2.0, 16.0)], |knobs, _| {
        let refused = if knobs["workers"].0 > 6.0 { 1.0 } else { 0.0 };
        json!({ "queue.waiting": 80.0, "cpu.percent": 40.0, "memory.percent": 60.0, "refused": refused })
    })
    .await;
    let tuner = "[tuner]\n[[tuner.guard]]\nsignal = \"refused\"\nabove = 0.0\nsteps = 1\n";
    let tuning = start(target(&url, tuner), true, folder.path()).await;
    until(|| plant.0.lock().unwrap().sets.iter().any(|set| set["workers"] == 7.0), "two workers more").await;
    until(|| plant.value("workers") == 5.0, "the way back").await;
    let undone = journal(&tuning, "was undone").await;
    assert!(undone["words"].as_str().unwrap().contains("refused"), "{undone}");
    tuning.close(Duration::from_secs(10)).await;
    assert_eq!(plant.value("workers"), 5.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_that_helps_is_kept_and_one_that_was_open_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, url) = Plant::start(&[("cache.a.ttl", 100.0, 1.0, 1000.0)], |knobs, reads| {
        json!({ "cache.hit_percent": 40.0 + knobs["cache.a.ttl"].0 / 10.0 + (reads % 7) as f64 * 0.1 })
    })
    .await;
    let tuner = "[tuner]\nblock_steps = 3\nwashout_steps = 1\nmax_block_steps = 6\n";
    let tuning = start(target(&url, tuner), true, folder.path()).await;
    journal(&tuning, "tries cache.a.ttl 100 -> 150").await;
    // Ended in the middle of a trial: the old value is back.
    tuning.close(Duration::from_secs(10)).await;
    assert_eq!(plant.value("cache.a.ttl"), 100.0);

    let mut target = target(&url, tuner);
    // The rule has just fired; a rule of another name has no cooldown to wait for.
    target.tuner.off = vec!["cache-misses".to_owned()];
    target.tuner.rule = toml::from_str::<tidemill_autotune::Config>(
        "[[rule]]\nname = \"again\"\nwhen = \"cache.hit_percent < 60 for 3\"\ndo = [\"cache.*.ttl * 1.5\"]\n\
         objective = \"cache.hit_percent higher\"\n",
    )
    .unwrap()
    .rule;
    let tuning = start(target, true, folder.path()).await;
    let kept = journal(&tuning, "kept").await;
    assert_eq!(kept["what"], "trial_ended");
    until(|| plant.value("cache.a.ttl") == 150.0, "the new value stays").await;
    tuning.close(Duration::from_secs(10)).await;
    assert_eq!(plant.value("cache.a.ttl"), 150.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_tunes_itself_is_left_alone_unless_it_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, url) = Plant::start(
        &[("workers", 5.0, 2.0, 16.0)],
        |_, _| json!({ "queue.waiting": 80.0, "cpu.percent": 40.0 }),
    )
    .await;
    plant.0.lock().unwrap().enabled = Some(true);
    let tuning = start(target(&url, ""), true, folder.path()).await;
    until(|| plant.0.lock().unwrap().reads > 20, "looks").await;
    let view = tuning.handle().view().await;
    assert_eq!(
        (view["targets"][0]["steered"].as_bool(), view["targets"][0]["tunes_itself"].as_bool()),
        (Some(false), Some(true))
    );
    tuning.close(Duration::from_secs(10)).await;
    assert!(plant.0.lock().unwrap().sets.is_empty());

    let tuning = start(Target { take_over: true, ..target(&url, "") }, true, folder.path()).await;
    until(|| plant.value("workers") > 5.0, "two workers more").await;
    assert_eq!(plant.0.lock().unwrap().enabled, Some(false));
    // One that is killed cannot give it back; the next one does.
    drop(tuning);
    assert_eq!(plant.0.lock().unwrap().enabled, Some(false));
    let tuning = start(Target { take_over: true, ..target(&url, "") }, true, folder.path()).await;
    let reads = plant.reads();
    until(|| plant.reads() > reads + 5, "looks").await;
    tuning.close(Duration::from_secs(10)).await;
    assert_eq!(plant.0.lock().unwrap().enabled, Some(true), "given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_off_it_shows_and_sets_by_hand_only() {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    let folder = tempfile::tempdir().unwrap();
    let (plant, url) = Plant::start(
        &[("workers", 5.0, 2.0, 16.0)],
        |_, _| json!({ "queue.waiting": 80.0, "cpu.percent": 40.0 }),
    )
    .await;
    let tuning = start(target(&url, ""), false, folder.path()).await;
    until(|| plant.0.lock().unwrap().reads > 10, "looks").await;
    let handle = tuning.handle();
    let routes =
        tidemill_monitor::tune::router(handle.clone()).merge(tidemill_monitor::tune::changes(handle));
    let ask = |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        let routes = routes.clone();
        async move {
            let answer = routes.oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            (status, serde_json::from_slice::<Value>(&bytes).unwrap_or_default())
        }
    };
    let (_, view) = ask("GET", "/api/tuning", "").await;
    assert_eq!(
        (view["enabled"].as_bool(), view["targets"][0]["knobs"][0]["value"].as_f64()),
        (Some(false), Some(5.0))
    );
    let (status, knobs) = ask("PUT", "/api/tuning/c/knobs", "{\"workers\": 8}").await;
    assert_eq!((status, knobs["knobs"][0]["value"].as_f64(), plant.value("workers")), (200, Some(8.0), 8.0));
    assert_eq!(ask("PUT", "/api/tuning/c/knobs", "{\"wokers\": 8}").await.0, 404);
    assert_eq!(ask("PUT", "/api/tuning/other/knobs", "{\"workers\": 8}").await.0, 404);
    let (status, refused) = ask("PUT", "/api/tuning/c/knobs", "{}").await;
    assert_eq!((status, refused["do"].as_str().is_some()), (400, true));
    plant.0.lock().unwrap().refuse = true;
    assert_eq!(ask("PUT", "/api/tuning/c/knobs", "{\"workers\": 9}").await.0, 409);
    tuning.close(Duration::from_secs(10)).await;
    assert_eq!(plant.0.lock().unwrap().sets.len(), 1, "nothing by itself");
}

/// Guards that what a target refuses was never decided: the steering believed it, and told it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_refuses_by_hand_was_never_decided() {
    let folder = tempfile::tempdir().unwrap();
    let (plant, url) = Plant::start(&[("workers", 5.0, 2.0, 16.0)], |_, _| json!({})).await;
    let tuning = start(target(&url, "[tuner]\nbuiltin = false\n"), true, folder.path()).await;
    let handle = tuning.handle();
    until(|| plant.reads() > 5, "looks").await;
    let set = async |value: f64| handle.set("c", &BTreeMap::from([("workers".to_owned(), value)])).await;
    plant.0.lock().unwrap().refuse = true;
    let (status, why) = set(9.0).await.unwrap_err();
    assert_eq!((status, why.as_str()), (409, "an emergency holds it"));
    assert_eq!(set(99.0).await.unwrap_err().0, 400, "what it would never take is not asked for");
    let reads = plant.reads();
    until(|| plant.reads() > reads + 5, "steps after the refusal").await;
    let view = handle.view().await;
    let target = &view["targets"][0];
    assert_eq!((&target["journal"], &target["knobs"][0]["value"]), (&json!([]), &json!(5.0)), "{target:#}");
    plant.0.lock().unwrap().refuse = false;
    set(9.0).await.unwrap();
    journal(&tuning, "a person changed workers 5 -> 9").await;
    let reads = plant.reads();
    until(|| plant.reads() > reads + 5, "steps after the change").await;
    assert_eq!(plant.value("workers"), 9.0);
    tuning.close(Duration::from_secs(10)).await;
}

/// The knobs that the rules of the specification turn.
const KNOBS: [(&str, f64); 9] = [
    ("background.share", 0.2),
    ("batch", 100.0),
    ("buffer.rows.capacity", 100.0),
    ("cache.prices.capacity", 1000.0),
    ("cache.prices.ttl", 60.0),
    ("concurrency", 10.0),
    ("flush.interval", 10.0),
    ("pace", 1.0),
    ("workers", 8.0),
];

/// What each knob is turned to first when these signals stay so.
fn turned(signals: &[(&str, f64)], steps: u64) -> BTreeMap<String, f64> {
    let knobs: Vec<(Knob, f64)> = KNOBS
        .iter()
        .map(|(name, value)| {
            let knob = match *name {
                "workers" => Knob::new(name, 2.0, 16.0).step(1.0),
                "pace" | "background.share" => Knob::new(name, 0.1, 1.0),
                name => Knob::new(name, 1.0, 10_000.0),
            };
            (knob, *value)
        })
        .collect();
    let (mut steering, back) = Steering::new(
        target("http://127.0.0.1:1", "").rules().unwrap(),
        Duration::from_secs(1000),
        &knobs,
        Vec::new(),
    )
    .unwrap();
    assert!(back.is_empty());
    let (mut knobs, mut turned) = (knobs, BTreeMap::new());
    for step in 0..steps {
        let now = Duration::from_secs(1000) + Duration::from_millis(10) * u32::try_from(step).unwrap();
        let wanted = steering.step(now, &knobs, signals.iter().copied());
        for (knob, value) in &mut knobs {
            *value = wanted.get(&knob.name).copied().unwrap_or(*value);
        }
        // Which side of a trial comes first is a coin's.
        let trials = steering.trials();
        let tried = trials.iter().flat_map(|trial| &trial.turns).map(|turn| (turn.knob.clone(), turn.to));
        for (name, value) in tried.chain(wanted) {
            turned.entry(name).or_insert(value);
        }
    }
    turned
}

#[test]
fn each_rule_of_the_specification_turns_what_it_says() {
    let set = |pairs: &[(&str, f64)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect::<BTreeMap<_, _>>()
    };
    for (what, signals, expected) in [
        (
            "T1 memory",
            &[("memory.percent", 90.0)][..],
            set(&[("buffer.rows.capacity", 70.0), ("cache.prices.capacity", 700.0)]),
        ),
        ("T2 response", &[("response.ms", 2000.0)], set(&[("background.share", 0.3), ("concurrency", 12.0)])),
        ("T3 hits", &[("cache.hit_percent", 50.0)], set(&[("cache.prices.ttl", 90.0)])),
        ("T5 queue", &[("queue.waiting", 60.0), ("cpu.percent", 60.0)], set(&[("workers", 10.0)])),
        ("T5 idle", &[("queue.waiting", 5.0), ("cpu.percent", 20.0)], set(&[("workers", 7.0)])),
        ("T5 room", &[("cpu.percent", 40.0), ("memory.percent", 40.0)], set(&[("workers", 9.0)])),
        ("T5 full", &[("cpu.percent", 85.0)], set(&[("workers", 7.0)])),
        ("T11 processor", &[("cpu.percent", 75.0)], set(&[("batch", 80.0), ("concurrency", 9.0)])),
        ("T11 disk", &[("disk.wait_percent", 30.0)], set(&[("batch", 150.0), ("flush.interval", 15.0)])),
        ("T11 network", &[("network.percent", 95.0)], set(&[("pace", 0.8)])),
        ("nothing", &[("cpu.percent", 60.0), ("memory.percent", 60.0), ("response.ms", 100.0)], set(&[])),
    ] {
        let wanted = turned(signals, 20);
        assert!(!expected.is_empty() || wanted.is_empty(), "{what}: {wanted:?}");
        for (name, value) in &expected {
            assert!((wanted[name] - value).abs() < 1e-6, "{what}: {wanted:?}");
        }
    }
}

#[test]
fn five_bad_steps_are_an_emergency_and_somebody_else_s_hand_is_respected() {
    let workers = || vec![(Knob::new("workers", 2.0, 16.0).step(1.0), 8.0)];
    let config = target("http://127.0.0.1:1", "").rules().unwrap();
    let (mut steering, _) = Steering::new(config, Duration::from_secs(1000), &workers(), Vec::new()).unwrap();
    let mut knobs = workers();
    for step in 0..8 {
        let now = Duration::from_secs(1000 + step);
        for (name, value) in steering.step(now, &knobs, [("memory.percent", 99.0)]) {
            assert_eq!(name, "workers");
            knobs[0].1 = value;
        }
        assert_eq!(steering.is_emergency(), step >= 4, "step {step}");
    }
    assert!(steering.records().any(|record| matches!(record.decision, Decision::EmergencyBegan { .. })));

    let config = target("http://127.0.0.1:1", "").rules().unwrap();
    let (mut steering, _) = Steering::new(config, Duration::from_secs(1000), &workers(), Vec::new()).unwrap();
    let mut knobs = workers();
    knobs[0].1 = 3.0;
    assert!(steering.step(Duration::from_secs(1001), &knobs, []).is_empty(), "what a person set stays");
    assert!(steering.records().any(|record| record.words().contains("workers 8 -> 3")));
    let busy = BTreeMap::from([("workers".to_owned(), 4.0), ("no-such".to_owned(), 1.0)]);
    assert!(steering.set(Duration::from_secs(1002), &busy).is_err());
    assert!(steering.step(Duration::from_secs(1003), &knobs, []).is_empty(), "all of them or none");
}
