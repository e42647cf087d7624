//! What a scrape of node_exporter costs: CPU time of its process, with all collectors and with those that we have.
//!
//! Needs Debian's `prometheus-node-exporter`; says aloud that it is skipped without.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tidemill_measure::{Better, Rounds, Row, Samples, UnitKind};

/// Scrapes in a round; CPU time is counted in ticks of 10 ms.
const SCRAPES: u64 = 100;

/// What `tidemill_host` tells too.
const SAME: [&str; 12] = [
    "cpu",
    "stat",
    "loadavg",
    "meminfo",
    "vmstat",
    "diskstats",
    "netdev",
    "sockstat",
    "filesystem",
    "pressure",
    "filefd",
    "time",
];

/// Ended by its id.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> std::io::Result<()> {
    let rounds = Rounds::from_args(15).count();
    let same: Vec<String> = std::iter::once("--collector.disable-defaults".to_owned())
        .chain(SAME.map(|name| format!("--collector.{name}")))
        .collect();
    for (case, rival, flags) in [
        ("full sample", "node_exporter, same collectors", same),
        ("all facts", "node_exporter, all collectors", Vec::new()),
    ] {
        match scrapes(rounds, &flags) {
            Ok(samples) => Row::new("host", case, "us", UnitKind::Cpu, Better::Lower)
                .rival(rival)
                .theirs(&samples)
                .emit()?,
            Err(error) => eprintln!("SKIPPED {rival}: {error}; install Debian's prometheus-node-exporter"),
        }
    }
    Ok(())
}

/// Microseconds of CPU time a scrape.
fn scrapes(rounds: u32, flags: &[String]) -> std::io::Result<Samples> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let server = Server(
        Command::new("prometheus-node-exporter")
            .arg(format!("--web.listen-address={address}"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    while scrape(address).is_err() {
        if Instant::now() > deadline {
            return Err(std::io::Error::other("it does not answer"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut samples = Samples::new();
    for _ in 0..rounds {
        let before = cpu_us(server.0.id())?;
        for _ in 0..SCRAPES {
            scrape(address)?;
        }
        samples.push((cpu_us(server.0.id())? - before) / SCRAPES as f64);
    }
    Ok(samples)
}

fn scrape(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.contains("node_") { Ok(()) } else { Err(std::io::Error::other("no metrics in its answer")) }
}

/// Processor time of a process, from utime and stime in ticks of 10 ms.
fn cpu_us(pid: u32) -> std::io::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: f64 =
        fields.split_ascii_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
    Ok(ticks * 10_000.0)
}
