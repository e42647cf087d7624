//! A server that we start on a port of our choice and end when the comparison is over.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::pair::words;
use crate::interrupt::Interrupt;

/// A server may take so long to listen.
const START: Duration = Duration::from_secs(30);
/// And so long to end after a SIGTERM.
const END: Duration = Duration::from_secs(5);

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Served {
    child: Child,
    port: u16,
}

impl Served {
    /// Starts the command with `{port}` replaced and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not listen within 30 s.
    pub fn start(line: &str, interrupt: &Interrupt) -> Result<Self> {
        let port = free_port()?;
        let words = words(&line.replace("{port}", &port.to_string()))?;
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", words[0]))?;
        let mut served = Self { child, port };
        let begun = Instant::now();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if let Some(status) = served.child.try_wait()? {
                bail!("{line} ended with {status} before it listened on port {port}");
            }
            if begun.elapsed() > START || interrupt.is_set() {
                bail!("{line} did not listen on 127.0.0.1:{port} within {} s", START.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(served)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
        let begun = Instant::now();
        while begun.elapsed() < END {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // It had its time; nobody is left to be told when it cannot be ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_port() -> Result<u16> {
    let probe = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(probe.local_addr()?.port())
}
