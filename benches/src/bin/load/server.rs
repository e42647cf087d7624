//! Servers with a script, each in a process of its own: stalls at known times, a known capacity, messages with a known
//! delay.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

/// The argument that makes the benchmark one of these servers.
const SERVE: &str = "--serve";

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world\n";

/// Every so often, by the wall clock, a stall of that length.
pub(crate) const STALL_EVERY: Duration = Duration::from_secs(5);
pub(crate) const STALL: Duration = Duration::from_millis(200);

/// How many answers a second the server with a knee gives.
pub(crate) const KNEE: f64 = 2000.0;

/// A server process; it ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts `stalls`, `knee` or `feed`.
    pub(crate) fn start(kind: &str) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args([SERVE, kind]).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { port: line.trim().parse()?, child })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Serves for ever when the arguments say so.
pub(crate) fn serve_if_asked() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, serve, kind, ..] = args.as_slice() else { return Ok(()) };
    if serve != SERVE {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind("127.0.0.1:0".parse()?)?;
        let listener = socket.listen(4096)?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
        std::io::stdout().flush()?;
        accept(listener, kind.clone()).await
    })
}

async fn accept(listener: TcpListener, kind: String) -> Result<(), Box<dyn Error>> {
    for number in 0u64.. {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match kind.as_str() {
            "stalls" => drop(tokio::spawn(answer(stream, stall))),
            "knee" => drop(tokio::spawn(answer(stream, slot))),
            _ => drop(tokio::spawn(feed(stream, number))),
        }
    }
    Ok(())
}

/// Answers each request after the wait that the script gives.
async fn answer(stream: TcpStream, wait: fn() -> Duration) {
    let mut held = Vec::new();
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        let mut buffer = [0; 4096];
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => held.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        }
        while let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            held.drain(..end + 4);
            let wait = wait();
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let mut sent = 0;
            while sent < ANSWER.len() {
                if stream.writable().await.is_err() {
                    return;
                }
                match stream.try_write(&ANSWER[sent..]) {
                    Ok(written) => sent += written,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        }
    }
}

/// Until the end of the stall that is now, if one is: it begins in the middle of each period of the wall clock.
fn stall() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    stall_left(now)
}

/// The rest of the stall at a time of the wall clock.
pub(crate) fn stall_left(now: Duration) -> Duration {
    let into = Duration::from_nanos((now.as_nanos() % STALL_EVERY.as_nanos()) as u64);
    let begin = STALL_EVERY / 2;
    if into >= begin && into < begin + STALL { begin + STALL - into } else { Duration::ZERO }
}

/// Until the next free slot of the capacity: a queue with one server and a constant time a request.
fn slot() -> Duration {
    static NEXT: Mutex<Option<Instant>> = Mutex::new(None);
    let now = Instant::now();
    let Ok(mut next) = NEXT.lock() else { return Duration::ZERO };
    let begin = next.map_or(now, |next| next.max(now));
    *next = Some(begin + Duration::from_secs_f64(1.0 / KNEE));
    begin - now
}

/// Delays of the feed: message n says that it was sent so long ago.
pub(crate) fn delay(n: u64) -> Duration {
    Duration::from_micros(100 * (n % 1000))
}

/// Two messages a second to each reader, at a time of its own.
async fn feed(stream: TcpStream, number: u64) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    _ = socket.next().await;
    tokio::time::sleep(Duration::from_micros(500 * (number % 1000))).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    for n in number.. {
        ticks.tick().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let sent = now.saturating_sub(delay(n.wrapping_mul(7919))).as_nanos();
        if socket.send(Message::Text(sent.to_string().into())).await.is_err() {
            return;
        }
    }
}
