//! A monitor in its own process, and what a test needs around it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for what must happen; tests run on machines that do much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program with these arguments, run to its end.
pub(crate) fn end(args: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(args, env).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill-monitor"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEMILL_")) {
        command.env_remove(name);
    }
    command.args(args).envs(env.iter().copied());
    command
}

/// A running monitor; it is killed when it is dropped.
pub(crate) struct Monitor {
    pub(crate) url: String,
    child: Child,
    log: Option<std::thread::JoinHandle<String>>,
}

impl Monitor {
    /// `run` with a free port, this data folder and these arguments.
    pub(crate) fn start(data: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut all = vec!["run", "--port", "0", "--log", "info", "--data", data.to_str().unwrap()];
        all.extend(args);
        let mut child = command(&all, env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).ok();
            text
        });
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        // Before it, alerts that the last run did not get to tell.
        while output.read_line(&mut line).unwrap() > 0 && !line.starts_with("watching") {
            line.clear();
        }
        // What is told later is read too, so that nobody waits for us.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let url = line.trim().rsplit("see ").next().unwrap_or_default().to_owned();
        if !url.starts_with("http://") {
            child.kill().ok();
            child.wait().ok();
            panic!("it did not start: {line:?} {}", log.join().unwrap());
        }
        Self { url, child, log: Some(log) }
    }

    /// Asks for an end, and gives the exit code and the log.
    pub(crate) fn stop(mut self) -> (i32, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (code, self.log.take().unwrap().join().unwrap())
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The JSON at a path.
    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {status} {error}: {body}"))
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = ask("GET", &format!("{}{path}", self.url), &[]);
        (status, body)
    }

    /// The JSON at a path once it is as wanted.
    pub(crate) fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let value = self.json(path);
            if wanted(&value) {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} did not come to it: {value:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The text at a path once it is as wanted.
    pub(crate) fn until_text(&self, path: &str, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.get(path).1;
            if wanted(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} did not come to it: {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A target as `/api/health` shows it.
    pub(crate) fn target(&self, name: &str) -> Value {
        let found = |value: &Value| {
            let target = target_of(value, name);
            target.is_some_and(|target| target["at_ms"].as_i64() > Some(0))
        };
        target_of(&self.until("/api/health", found), name).unwrap()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn target_of(value: &Value, name: &str) -> Option<Value> {
    value["targets"].as_array()?.iter().find(|target| target["name"] == name).cloned()
}

/// The means of the first series of an answer about history.
pub(crate) fn means(answer: &Value) -> Vec<f64> {
    let first = &answer["series"][0]["mean"];
    first.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

/// Status, head and body.
pub(crate) fn ask(method: &str, url: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n{more}\r\n"
    )
    .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    (status, head.to_owned(), body)
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// A server of our own: what it does with a connection is the test's.
pub(crate) struct Server {
    pub(crate) url: String,
    ended: Arc<AtomicBool>,
}

impl Server {
    /// `answer` gets the number of the request and the connection, after the head was read.
    pub(crate) fn start(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (count, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (end, answer) = (Arc::clone(&ended), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let (count, answer) = (Arc::clone(&count), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut line = String::new();
                    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                        if line.trim().is_empty() {
                            answer(count.fetch_add(1, Relaxed), &mut stream);
                            return;
                        }
                        line.clear();
                    }
                });
            }
        });
        Self { url, ended }
    }

    /// Answers every request with this text.
    pub(crate) fn text(text: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        Self::start(move |number, stream| reply(stream, "200 OK", &text(number)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        TcpStream::connect(self.url.trim_start_matches("http://")).ok();
    }
}

pub(crate) fn reply(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok();
}

/// A configuration file in a folder.
pub(crate) fn configured(dir: &Path, text: &str) -> String {
    let path = dir.join("monitor.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
