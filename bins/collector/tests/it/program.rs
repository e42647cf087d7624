//! The shipped program, run from a shell as an operator does, and a sandbox beside it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program with these arguments.
pub(crate) fn collector<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill-collector"));
    shield(command.args(args));
    command
}

/// What tells the tests where their servers are is no setting of the program.
pub(crate) fn shield(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEMILL_")) {
        command.env_remove(name);
    }
}

/// Runs it to its end.
pub(crate) fn output<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    collector(args).output().expect("the program starts")
}

/// Arguments of one pass with this configuration, into DIR/data, with DIR/summary.json.
pub(crate) fn once(dir: &Path, config: &Path) -> Vec<String> {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (data, out) = (text(&dir.join("data")), text(&dir.join("summary.json")));
    ["run", "--once", "--config", &text(config), "--data", &data, "--summary", &out]
        .map(str::to_owned)
        .to_vec()
}

/// Standard output and error together, for messages of failed assertions.
pub(crate) fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `tidemill-collector sandbox` on a free port.
pub(crate) struct Sandbox {
    child: Child,
    addr: SocketAddr,
}

impl Sandbox {
    /// Starts it with a configuration of its own.
    pub(crate) fn start(dir: &Path, config: &str) -> Self {
        let file = dir.join("sandbox.toml");
        std::fs::write(&file, config).unwrap();
        let mut child = collector(["sandbox", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox starts");
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        let url = first
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .expect("it says where it serves");
        let addr = url.trim_start_matches("http://").trim_end_matches([';', '/']).parse().unwrap();
        Self { child, addr }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Requests the server has let through so far.
    pub(crate) fn admitted(&self) -> f64 {
        let stats: Value = serde_json::from_str(&get(self.addr, "/stats").1).unwrap();
        stats["admitted"].as_f64().unwrap()
    }

    /// What the server itself counted; with how often each symbol was asked for.
    pub(crate) fn stats(&self) -> Value {
        serde_json::from_str(&get(self.addr, "/stats?symbols=1").1).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One GET without any client library: the status and the body.
pub(crate) fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    (head.split_whitespace().nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A configuration for one provider and one dataset.
pub(crate) struct Setup<'a> {
    pub(crate) base_url: &'a str,
    pub(crate) adapter: &'a str,
    pub(crate) keys: &'a [&'a str],
    pub(crate) limit: Option<(u32, &'a str, &'a str)>,
    pub(crate) symbols: &'a [String],
    pub(crate) more: &'a str,
    /// More lines of the provider's section.
    pub(crate) of_provider: &'a str,
}

impl Setup<'_> {
    /// Writes it into `dir` and says where. The calendar is `none`, so that midnight in New York changes nothing.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        let symbols = dir.join("symbols.txt");
        std::fs::write(&symbols, self.symbols.join("\n")).unwrap();
        let limit = self.limit.map_or_else(String::new, |(requests, per, model)| {
            format!("[[provider.limit]]\nrequests = {requests}\nper = \"{per}\"\nmodel = \"{model}\"\n")
        });
        let of_provider = self.of_provider;
        let text = format!(
            "config_version = 1\n{}\n[[provider]]\n{of_provider}\nname = \"vendor\"\nadapter = \"{}\"\nbase_url = \"{}\"\nkeys = {:?}\n{limit}\n\
             [[dataset]]\nname = \"us_daily\"\nprovider = \"vendor\"\nsymbols_file = \"symbols.txt\"\ncalendar = \"none\"\n",
            self.more, self.adapter, self.base_url, self.keys
        );
        let file = dir.join("collector.toml");
        std::fs::write(&file, text).unwrap();
        file
    }
}

/// The summary that a run wrote.
pub(crate) fn summary(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("the run wrote its summary")).unwrap()
}

/// Every row received is accounted for.
pub(crate) fn assert_balanced(summary: &Value) {
    let rows = |name: &str| summary[format!("rows_{name}")].as_u64().unwrap();
    assert_eq!(rows("received"), rows("stored") + rows("quarantined") + rows("duplicate"), "{summary:#}");
}

/// Waits for the end of a process, at most so long.
pub(crate) fn wait(child: &mut Child, most: Duration) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < most, "the process did not end within {most:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Names of sandbox symbols: the five real ones, then resampled ones.
pub(crate) fn symbols(count: usize) -> Vec<String> {
    let real = ["AAPL", "FB", "GOOG", "IBM", "MSFT"];
    (0..count).map(|i| real.get(i).map_or_else(|| format!("SYM{i:04}"), |name| (*name).to_owned())).collect()
}

/// The rows of a published table as sorted text, read by the store's own verified reader.
pub(crate) fn rows(data: &Path, table: &str) -> Vec<String> {
    use tidemill_storage::arrow::arrow_array::cast::AsArray as _;
    use tidemill_storage::arrow::arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
    let store = tidemill_storage::Store::open_read_only(data).unwrap();
    let mut rows = Vec::new();
    for batch in store.scan(table, &tidemill_storage::Scan::default()).unwrap() {
        let batch = batch.unwrap();
        let price = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Float64Type>();
        let symbols = batch.column_by_name("symbol").unwrap().as_string::<i32>();
        let ts = batch.column_by_name("ts").unwrap().as_primitive::<TimestampNanosecondType>();
        let volume = batch.column_by_name("volume").unwrap().as_primitive::<Int64Type>();
        let [open, high, low, close] = ["open", "high", "low", "close"].map(price);
        for i in 0..batch.num_rows() {
            rows.push(format!(
                "{} {} {:?} {:?} {:?} {:?} {}",
                symbols.value(i),
                ts.value(i),
                open.value(i),
                high.value(i),
                low.value(i),
                close.value(i),
                volume.value(i)
            ));
        }
    }
    rows.sort_unstable();
    rows
}
