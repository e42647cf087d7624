//! A server that answers as its script says: at once, in stalls, wrongly, or not at all.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A server on a free port of loopback; it lives as long as the test's process.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Seen>,
}

/// What it saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicU64,
    pub(crate) requests: AtomicU64,
    /// Heads and bodies, as long as there are fewer than a thousand.
    pub(crate) texts: Mutex<Vec<String>>,
    /// When the first request came: what the script's times count from.
    first: Mutex<Option<Instant>>,
}

/// What to do with a request.
pub(crate) enum Act {
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Sends these bytes and closes.
    SayAndClose(Vec<u8>),
    /// Resets the connection after these bytes.
    Reset(Vec<u8>),
    /// Keeps silent for ever.
    Silence,
}

/// A whole answer.
pub(crate) fn ok(body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

impl Server {
    /// Serves each connection on a thread of its own; the script gets the request's text and the time since the first.
    pub(crate) fn start(script: impl Fn(&str, Duration) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let (script, shared) = (Arc::new(script), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let (script, seen) = (Arc::clone(&script), Arc::clone(&shared));
                thread::spawn(move || serve(stream, &seen, &*script));
            }
        });
        Self { port, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.seen.texts.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, seen: &Seen, script: &dyn Fn(&str, Duration) -> Act) {
    stream.set_nodelay(true).unwrap();
    let mut held = Vec::new();
    while let Some(text) = request(&mut stream, &mut held) {
        seen.requests.fetch_add(1, Ordering::Relaxed);
        let since = seen.first.lock().unwrap().get_or_insert_with(Instant::now).elapsed();
        {
            let mut texts = seen.texts.lock().unwrap();
            if texts.len() < 1000 {
                texts.push(text.clone());
            }
        }
        let done = match script(&text, since) {
            Act::Say(bytes) => stream.write_all(&bytes).is_err(),
            Act::SayAndClose(bytes) => {
                _ = stream.write_all(&bytes);
                _ = stream.shutdown(Shutdown::Both);
                true
            }
            Act::Reset(bytes) => {
                _ = stream.write_all(&bytes);
                // What is unread when a socket closes makes the kernel send a reset.
                _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                true
            }
            Act::Silence => {
                _ = stream.read(&mut [0]);
                true
            }
        };
        if done {
            return;
        }
    }
}

/// One request with its body; `None` at the end of the connection.
fn request(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<String> {
    let mut buffer = [0; 65_536];
    loop {
        if let Some(head) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&held[..head]).to_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            let whole = head + 4 + length.unwrap_or(0);
            if held.len() >= whole {
                let request = held.drain(..whole).collect();
                return String::from_utf8(request).ok();
            }
        } else if let Some(line) = held
            .iter()
            .position(|byte| *byte == b'\n')
            .filter(|_| !held.starts_with(b"GET") && !held.starts_with(b"POST") && !held.starts_with(b"HEAD"))
        {
            // No HTTP: a line is a request.
            let request = held.drain(..=line).collect();
            return String::from_utf8(request).ok();
        }
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        held.extend_from_slice(&buffer[..read]);
    }
}
