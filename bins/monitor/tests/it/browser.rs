//! A real Chromium opens the page of the real program. Needs Debian's `chromium`; says aloud that it is skipped without.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::get;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// The machine may be ten times as slow as it should be.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ended by its id when the test ends, however it ends.
struct Program(Child);

impl Program {
    fn end(&mut self) {
        // Its data stands in a temporary folder.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// The monitor on this port, with a metric that the test writes into a file.
struct Monitor {
    folder: PathBuf,
    port: u16,
}

impl Monitor {
    fn new(folder: &Path, more: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let monitor = Self { folder: folder.to_owned(), port };
        monitor.level(1);
        std::fs::write(folder.join("app.log"), "").unwrap();
        let config = format!(
            r#"config_version = 1
[monitor]
data = {data:?}
port = {port}
prefix = "/ops"
interval = "1s"
# Hundreds of series more; what `system_*` says already is drawn once.
host_detail = "full"
# The machine may be so busy that an emergency would hold the knobs.
auto_tuning = false

[[metric]]
name = "level"
file = {file:?}

[[web.views]]
id = "mine"
title = "Mine"

[[web.views.charts]]
id = "level"
title = "Level of the test"
tile = "Level"
lines = [{{ metric = "level" }}]
thresholds = [{{ value = 900, severity = "critical" }}]

[[alert.rule]]
name = "level-high"
metric = "level"
above = 900
severity = "critical"
summary = "the level is {{value}}"

[[logs.source]]
name = "app"
path = {log:?}
{more}"#,
            log = folder.join("app.log"),
            data = folder.join("data"),
            file = folder.join("level"),
        );
        std::fs::write(folder.join("monitor.toml"), config).unwrap();
        monitor
    }

    fn level(&self, value: u32) {
        let beside = self.folder.join("level.new");
        std::fs::write(&beside, value.to_string()).unwrap();
        std::fs::rename(beside, self.folder.join("level")).unwrap();
    }

    fn start(&self) -> Program {
        self.start_with(&[])
    }

    fn start_with(&self, env: &[(&str, &str)]) -> Program {
        let program = std::env::var("TIDEMILL_TEST_MONITOR");
        let mut child = Command::new(program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_tidemill-monitor")))
            .args(["run", "--config"])
            .arg(self.folder.join("monitor.toml"))
            // Variables of the tests are none of the program's.
            .env_clear()
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(self.folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Alerts that were open are told on the same screen, maybe first.
        let told = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("watching"));
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(told, "{}", log());
        // Read on, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Program(child)
    }
}

/// A page in a real browser, over the DevTools protocol.
struct Page {
    socket: WebSocketStream<TcpStream>,
    last_id: u64,
    /// What went wrong in the page.
    complaints: Vec<String>,
    _browser: Program,
}

impl Page {
    #[expect(clippy::print_stderr, reason = "a test that was left out says so")]
    async fn open(folder: &Path) -> Option<Self> {
        let profile = folder.join("profile");
        let started = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--window-size=1440,900", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let browser = match started {
            Ok(child) => Program(child),
            Err(error) if std::env::var("CI").as_deref() == Ok("true") => {
                panic!("chromium cannot be started: {error}")
            }
            Err(error) => {
                let why = format!("cannot start `chromium` ({error}); install Debian's package");
                eprintln!("SKIPPED browser::*: {why}");
                return None;
            }
        };
        let deadline = Instant::now() + PATIENCE;
        let port: u16 = loop {
            let told = std::fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
            if let Some(port) = told.lines().next().and_then(|line| line.parse().ok()) {
                break port;
            }
            assert!(Instant::now() < deadline, "chromium did not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let list: Value = loop {
            let answer = tokio::task::spawn_blocking(move || body(port, "/json/list")).await.unwrap();
            match serde_json::from_str::<Value>(&answer) {
                Ok(list)
                    if list.as_array().is_some_and(|list| list.iter().any(|one| one["type"] == "page")) =>
                {
                    break list;
                }
                _ => assert!(Instant::now() < deadline, "chromium has no page"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let page = list.as_array().unwrap().iter().find(|one| one["type"] == "page").unwrap();
        let url = page["webSocketDebuggerUrl"].as_str().unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let mut page = Self { socket, last_id: 0, complaints: Vec::new(), _browser: browser };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
        page.call("Emulation.setEmulatedMedia", dark).await;
        Some(page)
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let request = json!({"id": self.last_id, "method": method, "params": params});
        self.socket.send(Message::text(request.to_string())).await.unwrap();
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("chromium answers");
            let Message::Text(text) = message.unwrap().unwrap() else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.listen(&message);
        }
    }

    fn listen(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(params["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if params["type"] == "error" || params["type"] == "warning" => {
                self.complaints.push(params["args"].to_string());
            }
            "Log.entryAdded"
                if params["entry"]["level"] != "info" && params["entry"]["level"] != "verbose" =>
            {
                let entry = &params["entry"];
                self.complaints.push(format!("{} {}", entry["text"], entry["url"]));
            }
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                let ours = url.starts_with("http://127.0.0.1:") || url.starts_with("about:");
                if !ours {
                    self.complaints.push(format!("asks {url}"));
                }
            }
            _ => {}
        }
    }

    async fn eval(&mut self, script: &str) -> Value {
        let params = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", params).await;
        assert!(answer["exceptionDetails"].is_null(), "{script}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    async fn until(&mut self, script: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.eval(script).await;
            if !matches!(value, Value::Null | Value::Bool(false)) && value != "" && value != 0 {
                return value;
            }
            if Instant::now() > deadline {
                let shown = self.eval("document.body.innerText").await;
                panic!("{script} did not come true; complaints {:?}; the page: {shown}", self.complaints);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" && key.len() == 1 { key } else { "" };
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "text": text})).await;
        }
    }

    /// Looks as somebody would, for whoever wants to see it: `TIDEMILL_TEST_SCREENSHOTS` names a folder.
    async fn picture(&mut self, name: &str) {
        let Ok(folder) = std::env::var("TIDEMILL_TEST_SCREENSHOTS") else { return };
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"})).await;
        let data = picture["data"].as_str().unwrap();
        let bytes = unbase64(data);
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }

    fn must_be_content(&mut self, when: &str) {
        assert!(self.complaints.is_empty(), "{when}: {:#?}", self.complaints);
    }
}

fn unbase64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut out) = (0u32, 0, Vec::new());
    for byte in text.bytes() {
        let Some(six) = LETTERS.iter().position(|letter| *letter == byte) else { continue };
        bits = bits << 6 | six as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

/// The body of an answer of the browser itself.
fn body(port: u16, path: &str) -> String {
    use std::io::Read as _;
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // Some versions leave the connection open: what came until then is the answer.
    stream.read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

const LEVEL: &str = "document.querySelector('.tile output b')?.textContent";
const PULSE: &str = "document.querySelector('.pulse')?.className";

#[tokio::test]
async fn a_real_browser_sees_every_view_and_values_that_move() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut page) = Page::open(folder.path()).await else { return };
    let monitor = Monitor::new(folder.path(), "");
    let mut program = monitor.start();
    let home = format!("http://127.0.0.1:{}/ops/", monitor.port);

    // The first chart, from the moment the address was entered. Twice: the second time as everybody else sees it.
    for visit in ["first", "second"] {
        page.call("Page.navigate", json!({"url": "about:blank"})).await;
        page.call("Page.navigate", json!({"url": home})).await;
        page.until("document.querySelector('#chart-cpu canvas') && true").await;
        let took = page.until("performance.getEntriesByType('measure').map((m) => Math.round(m.duration)).sort((a, b) => a - b)[0]").await;
        eprintln!("first chart of the {visit} visit after {took} ms");
        assert!(took.as_f64().unwrap() < 30_000.0);
    }
    page.must_be_content("the first view");
    page.until("performance.now() > 5000 && document.querySelectorAll('#chart-load .chip').length === 3")
        .await;
    let curves = page.until("'chips: ' + document.querySelectorAll('#chart-cpu .chip').length").await;
    assert_eq!(curves.as_str(), Some("chips: 0"), "one curve has no legend");

    for (key, view) in [
        ("2", "application"),
        ("3", "business"),
        ("4", "alerts"),
        ("5", "tuning"),
        ("6", "logs"),
        ("1", "system"),
    ] {
        page.key(key).await;
        page.until(&format!("location.hash === '#/{view}' && document.querySelector('nav a[aria-current=page]')?.hash === '#/{view}'")).await;
        page.until("!document.querySelector('main .loading:not(.plot .loading)') && document.querySelector('main').innerText.length > 3").await;
        page.picture(view).await;
    }
    page.key("?").await;
    page.until("document.querySelector('dialog[open] dl.keys') && true").await;
    page.eval("document.querySelector('dialog').close()").await;
    page.key("t").await;
    assert_eq!(page.until("document.documentElement.dataset.theme === 'light' && 'light'").await, "light");
    page.picture("light").await;
    page.key("t").await;
    page.must_be_content("the views");

    // A view of the configuration, whose values are ours.
    page.eval("location.hash = '#/mine?range=5m'").await;
    for level in [111, 222] {
        monitor.level(level);
        page.until(&format!("{LEVEL} === '{level}'")).await;
    }
    monitor.level(950);
    page.until("document.querySelector('.tile.critical output b')?.textContent === '950'").await;
    page.picture("mine").await;

    // A drag zooms, Escape comes back.
    let at = page.eval("(() => { const r = document.querySelector('#chart-level .u-over').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()").await;
    let [left, top, width, height] = [0, 1, 2, 3].map(|i| at[i].as_f64().unwrap());
    for (kind, share) in [
        ("mouseMoved", 0.4),
        ("mousePressed", 0.4),
        ("mouseMoved", 0.6),
        ("mouseMoved", 0.8),
        ("mouseReleased", 0.8),
    ] {
        let event = json!({"type": kind, "x": left + width * share, "y": top + height / 2.0, "button": "left", "buttons": 1, "clickCount": 1});
        page.call("Input.dispatchMouseEvent", event).await;
    }
    page.until("location.hash.includes('from=') && !document.querySelector('.zoomed').hidden").await;
    page.key("Escape").await;
    page.until("!location.hash.includes('from=')").await;

    // A phone.
    page.call(
        "Emulation.setDeviceMetricsOverride",
        json!({"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true}),
    )
    .await;
    page.until("document.documentElement.scrollWidth <= 390").await;
    page.picture("narrow").await;
    page.must_be_content("before the restart");

    // The server goes and comes again; the page finds back by itself.
    program.end();
    page.until(&format!("({PULSE} || '').includes('down')")).await;
    page.picture("down").await;
    let program = monitor.start();
    monitor.level(333);
    page.until(&format!("({PULSE} || '').includes('up')")).await;
    page.until(&format!("{LEVEL} === '333'")).await;
    // That nobody answered meanwhile is all there is to complain of.
    page.complaints.retain(|one| !one.contains("ERR_CONNECTION") && !one.contains("WebSocket"));
    page.must_be_content("after the restart");

    // The control: what the policy forbids is refused, and complained of.
    let refused = page
        .eval("(() => { try { document.body.insertAdjacentHTML('beforeend', '<p>x</p>'); return 'let through'; } catch { return 'refused'; } })()")
        .await;
    assert_eq!(refused, "refused");
    page.eval("void fetch('https://example.invalid/').catch(() => {})").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    page.eval("1").await;
    assert!(
        page.complaints.iter().any(|one| one.contains("Content Security Policy")),
        "{:?}",
        page.complaints
    );
    drop(program);
}

/// What the first chart shows comes with the views, in one round trip; and how long that takes, from the address entered to the
/// frame after it was drawn: a measurement for a quiet machine, ten visits with an empty cache, ten of somebody who was there:
///
/// `TIDEMILL_TEST_FULL=1 cargo test --release -p tidemill-monitor --test it -- --nocapture first_chart`
///
/// `TIDEMILL_TEST_MONITOR` names another build of the program, to compare with.
#[tokio::test]
async fn the_first_chart_needs_one_round_trip_after_the_page() {
    let full = std::env::var_os("TIDEMILL_TEST_FULL").is_some();
    let folder = tempfile::tempdir().unwrap();
    let Some(mut page) = Page::open(folder.path()).await else { return };
    let monitor = Monitor::new(folder.path(), "");
    let _program = monitor.start();
    let (port, home) = (monitor.port, format!("http://127.0.0.1:{}/ops/", monitor.port));
    let begun = Instant::now();
    // There is something to draw.
    while !tokio::task::spawn_blocking(move || body(port, "/ops/api/views?first=system"))
        .await
        .unwrap()
        .contains("\"mean\":[")
    {
        assert!(begun.elapsed() < PATIENCE, "nothing was measured");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (visit, cold) in [("first", true), ("later", false)] {
        let (mut drawn, mut seen, mut requests) = (Vec::new(), Vec::new(), 0);
        for _ in 0..if full { 10 } else { 1 } {
            page.call("Page.navigate", json!({"url": "about:blank"})).await;
            if cold {
                page.call("Network.clearBrowserCache", json!({})).await;
            }
            page.call("Page.navigate", json!({"url": home})).await;
            page.until("document.querySelector('#chart-cpu canvas') && true").await;
            const FIRST: &str = "performance.getEntriesByType('measure').filter((m) => m.name.startsWith('chart-')).map((m) => m.duration).sort((a, b) => a - b)[0]";
            drawn.push(page.until(FIRST).await.as_f64().unwrap());
            if std::env::var_os("TIDEMILL_TEST_MONITOR").is_none() {
                seen.push(
                    page.until("performance.getEntriesByName('first-chart')[0]?.duration")
                        .await
                        .as_f64()
                        .unwrap(),
                );
                let asked = "performance.getEntriesByType('resource').filter((r) => r.name.includes('metric=system_cpu_percent')).length";
                assert_eq!(page.eval(asked).await, 0, "it came with the views");
            }
            let before = format!(
                "performance.getEntriesByType('resource').filter((r) => r.responseEnd <= {FIRST}).length"
            );
            requests = page.eval(&before).await.as_u64().unwrap();
        }
        for (what, times) in [("drawn", &mut drawn), ("on the screen", &mut seen)] {
            times.sort_by(f64::total_cmp);
            let Some(median) = times.get(times.len() / 2) else { continue };
            println!(
                "{visit} visit: first chart {what} after {median:.0} ms ({:.0} to {:.0}), median of {}, {requests} requests before it",
                times[0],
                times[times.len() - 1],
                times.len(),
            );
        }
    }
    page.must_be_content("all visits");
}

#[derive(Clone, Default)]
struct Knob(Arc<Mutex<f64>>);

/// A target with one knob.
async fn knobs() -> (Knob, String) {
    let knob = Knob(Arc::new(Mutex::new(8.0)));
    let show = |State(knob): State<Knob>| async move {
        let value = *knob.0.lock().unwrap();
        let knob = json!({"name": "pool.workers", "value": value, "unit": "", "low": 2.0, "high": 16.0, "step": 1.0, "tried_by": "split"});
        axum::Json(json!({ "knobs": [knob] }))
    };
    let turn = |State(knob): State<Knob>, axum::Json(wanted): axum::Json<Value>| async move {
        *knob.0.lock().unwrap() = wanted["pool.workers"].as_f64().unwrap();
        axum::Json(json!({ "knobs": [] }))
    };
    let status = || async { axum::Json(json!({"enabled": null, "signals": {}})) };
    let routes = axum::Router::new()
        .route("/api/v2/knobs", get(show).put(turn))
        .route("/api/v2/tuning", get(status))
        .route("/metrics", get(|| async { "plant_heat 1\n" }))
        .with_state(knob.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (knob, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_browser_is_asked_for_the_token_once_and_a_wrong_one_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut page) = Page::open(folder.path()).await else { return };
    let (knob, url) = knobs().await;
    let target = format!(
        "\n[[target]]\nname = \"plant\"\nurl = \"{url}/metrics\"\n\n[[tuning.target]]\nname = \"plant\"\nurl = {url:?}\ninterval = \"1s\"\n\n[tuning.target.tuner]\nbuiltin = false\n"
    );
    let monitor = Monitor::new(folder.path(), &target);
    let file = folder.path().join("monitor.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("[monitor]", "[monitor]\ntoken_env = \"PAGE_TOKEN\"")).unwrap();
    let _program = monitor.start_with(&[("PAGE_TOKEN", "open-sesame")]);
    page.call("Page.navigate", json!({"url": format!("http://127.0.0.1:{}/ops/#/tuning", monitor.port)}))
        .await;

    let turn = async |page: &mut Page, value: &str| {
        page.until("document.querySelector('.knob button') && true").await;
        page.eval("document.querySelector('.knob button').click()").await;
        page.until("document.querySelector('dialog[open] input[name=value]') && true").await;
        page.eval(&format!("({TYPE})(document.querySelector('input[name=value]'), '{value}')")).await;
        page.eval("document.querySelector('dialog button[type=submit]').click()").await;
    };
    const TOKEN: &str = "document.querySelector('dialog[open] input[name=token]')";
    let give = async |page: &mut Page, token: &str| {
        page.until(&format!("{TOKEN} && {TOKEN}.value === ''")).await;
        page.eval(&format!("({TYPE})({TOKEN}, '{token}')")).await;
        page.eval(&format!("{TOKEN}.closest('dialog').querySelector('button[type=submit]').click()")).await;
    };
    turn(&mut page, "12").await;
    page.until(&format!("{TOKEN}?.type === 'password'")).await;
    page.picture("token").await;
    give(&mut page, "wrong").await;
    give(&mut page, "open-sesame").await;
    page.until("document.querySelector('.knob header b')?.textContent === '12'").await;
    assert_eq!(*knob.0.lock().unwrap(), 12.0);
    // From now on it is known, until the tab is closed; it stands in no address.
    turn(&mut page, "10").await;
    page.until("document.querySelector('.knob header b')?.textContent === '10'").await;
    assert_eq!(page.eval(&format!("{TOKEN} === null && !location.href.includes('sesame')")).await, true);
    // That it was refused is all there is to complain of.
    page.complaints.retain(|one| !one.contains("401"));
    page.must_be_content("the token");
}

const TYPE: &str =
    "(input, text) => { input.value = text; input.dispatchEvent(new Event('input', {bubbles: true})); }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_browser_acknowledges_silences_searches_and_turns_a_knob() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut page) = Page::open(folder.path()).await else { return };
    let (knob, url) = knobs().await;
    let target = format!(
        "\n[[target]]\nname = \"plant\"\nurl = \"{url}/metrics\"\n\n[[tuning.target]]\nname = \"plant\"\nurl = {url:?}\ninterval = \"1s\"\n\n[tuning.target.tuner]\nbuiltin = false\n"
    );
    let monitor = Monitor::new(folder.path(), &target);
    let _program = monitor.start();
    let home = format!("http://127.0.0.1:{}/ops/#/alerts", monitor.port);
    page.call("Page.navigate", json!({"url": home})).await;
    page.until("document.querySelector('main h2') && true").await;

    // An alert comes by itself, is acknowledged by keys, and silenced.
    monitor.level(950);
    const CARD: &str = "[...document.querySelectorAll('.alert')].find((card) => card.textContent.includes('the level is 950'))";
    page.until(&format!("{CARD} && true")).await;
    page.picture("alert").await;
    page.eval(&format!("{CARD}.focus()")).await;
    page.key("a").await;
    page.until("document.querySelector('dialog[open] input[name=by]') && true").await;
    page.eval(&format!("({TYPE})(document.querySelector('input[name=by]'), 'Mara')")).await;
    page.eval("document.querySelector('dialog button[type=submit]').click()").await;
    page.until(&format!("{CARD}?.textContent.includes('acknowledged by Mara')")).await;
    page.eval(&format!(
        "[...{CARD}.querySelectorAll('button')].find((button) => button.textContent === 'Silence').click()"
    ))
    .await;
    page.until("document.querySelector('dialog[open] input[name=comment]') && true").await;
    page.eval(&format!("({TYPE})(document.querySelector('input[name=comment]'), 'known since noon')")).await;
    page.eval("document.querySelector('dialog button[type=submit]').click()").await;
    page.until(
        "[...document.querySelectorAll('td')].some((cell) => cell.textContent === 'known since noon')",
    )
    .await;
    page.until(&format!("{CARD}?.textContent.includes('silent for')")).await;
    page.picture("silenced").await;
    page.eval("document.querySelector('button[title=\"End this silence\"]').click()").await;
    page.until(
        "![...document.querySelectorAll('td')].some((cell) => cell.textContent === 'known since noon')",
    )
    .await;

    // A line that is written is found.
    let lines = "2026-11-21T10:00:00Z INFO all is well\n2026-11-21T10:00:01Z ERROR a needle broke\n";
    std::fs::write(folder.path().join("app.log"), lines).unwrap();
    page.key("/").await;
    page.until("document.activeElement?.id === 'search'").await;
    page.eval("[...document.querySelectorAll('[aria-label=Since] button')].at(-1).click()").await;
    page.eval(&format!("({TYPE})(document.querySelector('#search'), 'NEEDLE')")).await;
    page.until("document.querySelectorAll('.line').length === 1 && document.querySelector('.line.error mark')?.textContent === 'needle'").await;
    page.picture("needle").await;
    page.key("Escape").await;

    // A knob is turned after it was asked for.
    page.key("5").await;
    page.until("document.querySelector('.knob button') && true").await;
    page.eval("document.querySelector('.knob button').click()").await;
    page.until("document.querySelector('dialog[open] input[name=value]') && true").await;
    page.eval(&format!("({TYPE})(document.querySelector('input[name=value]'), '12')")).await;
    page.eval("document.querySelector('dialog button[type=submit]').click()").await;
    page.until("document.querySelector('.knob header b')?.textContent === '12'").await;
    assert_eq!(*knob.0.lock().unwrap(), 12.0);
    page.picture("knob").await;
    page.must_be_content("what people do");
}
