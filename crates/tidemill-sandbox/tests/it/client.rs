//! A client that believes nothing: it reads what comes until the connection ends and says how it ended.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tidemill_sandbox::{Config, Latency, Model, QuotaConfig, Running, Sandbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What came back over a connection of its own.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lower-case head.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) reset: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(prefix.as_str()))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn announced(&self) -> usize {
        self.header("content-length").unwrap().parse().unwrap()
    }

    /// Whole, status 200, and with bars in it.
    pub(crate) fn has_data(&self) -> bool {
        self.status == 200
            && self.body.len() == self.announced()
            && serde_json::from_slice::<serde_json::Value>(&self.body)
                .is_ok_and(|json| json.get("Time Series (Daily)").is_some())
    }

    pub(crate) fn is_refusal(&self) -> bool {
        self.status == 429 || (self.status == 200 && self.text().contains("\"Information\": \"This key"))
    }
}

pub(crate) async fn get(addr: SocketAddr, target: &str) -> Answer {
    get_with(addr, target, "").await
}

pub(crate) async fn get_with(addr: SocketAddr, target: &str, headers: &str) -> Answer {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let reset = match socket.read_to_end(&mut bytes).await {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
        Err(error) => panic!("{error}"),
    };
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let body = bytes.split_off(head);
    let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
    Answer { status, head, body, reset }
}

pub(crate) fn daily(symbol: &str, key: &str) -> String {
    format!("/query?function=TIME_SERIES_DAILY&symbol={symbol}&apikey={key}")
}

pub(crate) async fn start(config: Config) -> Running {
    let sandbox = Sandbox::builder(config).build().unwrap();
    sandbox.serve(TcpListener::bind("127.0.0.1:0").await.unwrap()).await.unwrap()
}

/// No latency and room for everything, so that a test sees only what it sets.
pub(crate) fn open() -> Config {
    Config { quota: Vec::new(), latency: Latency::None, ..Config::default() }
}

pub(crate) fn limited(model: Model, requests: u32, per: Duration) -> Config {
    Config { quota: vec![QuotaConfig::new(model, requests, per)], ..open() }
}
