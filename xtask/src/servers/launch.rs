//! Starting a server: a folder, free ports, a process that answers, a record.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Server;
use super::ports::Ports;
use super::record::Record;

/// How long a server may take to answer; a Python that imports its libraries on a loaded machine takes longest.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between choosing a free port and binding it somebody may take it: then all are chosen again.
const ATTEMPTS: u32 = 3;

/// How long the server lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// As long as this process.
    WithUs,
    /// Until somebody stops it by its record.
    Detached,
}

/// A running server and the means to end it.
pub(super) struct Launched {
    pub(super) record: Record,
    child: Child,
}

impl Launched {
    /// Ends it and waits for it.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.record.stop()?;
        self.child.wait()?;
        Ok(())
    }
}

/// Starts `server` and waits until it answers; `needed` are the ports of the servers before it.
pub(super) fn launch(server: &dyn Server, records: &Path, needed: &Ports, life: Life) -> Result<Launched> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match attempt(server, records, needed, life) {
            Ok(launched) => return Ok(launched),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("no attempt")?.context(format!("{} does not start", server.name())))
}

fn attempt(server: &dyn Server, records: &Path, needed: &Ports, life: Life) -> Result<Launched> {
    let dir = tempfile::Builder::new().prefix("tidemill-").tempdir()?;
    let ports = Ports::free(server.ports())?;
    let mut child = server.start(dir.path(), &ports, needed)?;
    if let Err(error) = wait_until_ready(server, &mut child, &ports) {
        let _ = child.kill();
        let _ = child.wait();
        let log = std::fs::read_to_string(dir.path().join(OUTPUT)).unwrap_or_default();
        return Err(error.context(log));
    }
    let dir = dir.keep();
    let record = Record {
        name: server.name().to_owned(),
        pid: i32::try_from(child.id())?,
        owner: (life == Life::WithUs).then(std::process::id),
        variables: variables(server, &dir, &ports),
        file: records.join(format!("{}.json", server.name())),
        ports,
        dir,
    };
    let mut launched = Launched { record, child };
    if let Err(error) = launched.record.write() {
        launched.stop()?;
        return Err(error);
    }
    Ok(launched)
}

fn wait_until_ready(server: &dyn Server, child: &mut Child, ports: &Ports) -> Result<()> {
    let start = Instant::now();
    while !server.ready(ports) {
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status}");
        }
        if start.elapsed() > PATIENCE {
            bail!("it did not answer within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// What a server prints goes here, inside its folder.
pub(super) const OUTPUT: &str = "output.log";

/// The process of a server: no stdin, its output in its folder, the folder's name among its arguments.
pub(super) fn spawn(program: &Path, args: &[&str], dir: &Path) -> Result<Child> {
    command(program, args, dir)?.spawn().with_context(|| format!("cannot start {}", program.display()))
}

/// The same, not started yet.
pub(super) fn command(program: &Path, args: &[&str], dir: &Path) -> Result<Command> {
    let output = std::fs::File::create(dir.join(OUTPUT))?;
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    Ok(command)
}

fn variables(server: &dyn Server, dir: &Path, ports: &Ports) -> Vec<(String, String)> {
    let prefix = server.prefix();
    let by_port = ports.iter().map(|(name, port)| {
        (format!("{prefix}_{}", name.to_uppercase()), format!("{}://127.0.0.1:{port}", server.scheme(name)))
    });
    by_port.chain(server.extras(dir)).collect()
}

/// The variables [`launch`] would set.
pub(super) fn variable_names(server: &dyn Server) -> Vec<String> {
    let prefix = server.prefix();
    let by_port = server.ports().iter().map(|name| format!("{prefix}_{}", name.to_uppercase()));
    by_port.chain(server.extras(Path::new("")).into_iter().map(|(name, _)| name)).collect()
}
