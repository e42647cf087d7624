//! The real servers the tests talk to: found or installed, started on free ports, stopped by recorded pid.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::Workspace;

mod bars;
mod counts;
mod haproxy;
mod install;
mod launch;
mod nginx;
mod ports;
mod postgres;
pub(crate) mod python;
mod record;
mod s3;
#[cfg(test)]
mod tests;

pub(crate) use ports::Ports;
use record::Record;

/// How many symbols the providers serve when nobody says.
const SYMBOLS: usize = 1000;

/// Where a person's servers are recorded; those of a test run stand under `test-PID`.
const UP: &str = "up";

/// One kind of server. Stopping needs no method: [`Record::stop`] ends the pid that was written down.
pub(crate) trait Server {
    /// `nginx`; the variables of its ports are `TIDEMILL_TEST_PROVIDER_NGINX_…`.
    fn name(&self) -> &'static str;

    /// What the variables of its ports begin with.
    fn prefix(&self) -> String {
        format!("TIDEMILL_TEST_PROVIDER_{}", self.name().to_uppercase())
    }

    /// Debian packages that hold its programs.
    fn packages(&self) -> &'static [&'static str];

    /// Its programs, or the name of the one that is missing.
    fn find(&self) -> Result<PathBuf, String>;

    /// The names of its ports.
    fn ports(&self) -> &'static [&'static str];

    /// What the address of a port begins with.
    fn scheme(&self, port: &str) -> &'static str {
        if port == "tls" { "https" } else { "http" }
    }

    /// Servers that must run before it, by name.
    fn needs(&self) -> &'static [&'static str] {
        &[]
    }

    /// Writes its files into `dir` and starts it in the foreground; `needed` are the ports of [`Server::needs`].
    fn start(&self, dir: &Path, ports: &Ports, needed: &Ports) -> Result<Child>;

    /// Whether it answers.
    fn ready(&self, ports: &Ports) -> bool {
        ports.accept()
    }

    /// Further variables the tests may read, beside one per port.
    fn extras(&self, _dir: &Path) -> Vec<(String, String)> {
        Vec::new()
    }

    /// What the server itself admitted and refused.
    fn counts(&self, dir: &Path, ports: &Ports) -> Result<Vec<counts::Count>>;
}

/// What a person may ask for.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Task {
    /// Starts a server and leaves it running: nginx, haproxy, s3, postgres or all
    Up {
        /// nginx, haproxy, s3, postgres or all
        name: String,
        /// How many symbols it serves
        #[arg(long, default_value_t = SYMBOLS)]
        symbols: usize,
    },
    /// Stops what `up` started
    Down,
    /// Shows what runs and on which ports
    List,
    /// What the servers themselves admitted and refused, per port and key
    Count,
    /// Installs what is missing: Debian packages (as root) and the readers' Python
    Install,
}

/// `cargo xtask servers`.
pub(crate) fn run(workspace: &Workspace, task: &Task) -> Result<()> {
    let records = record::folder(workspace, UP);
    match task {
        Task::Up { name, symbols } => up(workspace, name, *symbols),
        Task::Down => {
            for record in record::read_all(&records)? {
                record.stop()?;
                println!("{} stopped", record.name);
            }
            Ok(())
        }
        Task::List => {
            for record in record::read_all(&records)? {
                let state = if record.is_alive() { "runs" } else { "is gone" };
                println!("{} {state}, pid {}, in {}", record.name, record.pid, record.dir.display());
                record.variables.iter().for_each(|(name, value)| println!("  {name}={value}"));
            }
            Ok(())
        }
        Task::Count => {
            let all = all(workspace, SYMBOLS);
            for record in record::read_all(&records)? {
                let Some(server) = all.iter().find(|server| server.name() == record.name) else { continue };
                for count in server.counts(&record.dir, &record.ports)? {
                    println!("{} {count}", record.name);
                }
            }
            Ok(())
        }
        Task::Install => {
            for server in all(workspace, SYMBOLS) {
                install::present(server.as_ref()).map_err(anyhow::Error::msg)?;
            }
            for (program, package) in install::PROGRAMS {
                install::program_present(program, package).map_err(anyhow::Error::msg)?;
            }
            let python = python::ready(workspace).map_err(anyhow::Error::msg)?;
            println!("every server is here; the readers' Python is {}", python.display());
            Ok(())
        }
    }
}

/// In the order in which they may be started.
fn all(workspace: &Workspace, symbols: usize) -> Vec<Box<dyn Server>> {
    let mut all = providers(symbols);
    all.push(Box::new(s3::S3 { target: workspace.target().to_owned() }));
    all.push(Box::new(postgres::Postgres));
    all
}

/// Those that stand for an API.
fn providers(symbols: usize) -> Vec<Box<dyn Server>> {
    vec![Box::new(nginx::Nginx { symbols }), Box::new(haproxy::HaProxy)]
}

fn up(workspace: &Workspace, name: &str, symbols: usize) -> Result<()> {
    let all = all(workspace, symbols);
    let names: Vec<&str> = all.iter().map(|server| server.name()).collect();
    let wanted: Vec<&str> = match all.iter().find(|server| server.name() == name) {
        Some(server) => server.needs().iter().copied().chain([name]).collect(),
        None if name == "all" => names,
        None => bail!("no server is called `{name}`; there are: {}, all", names.join(", ")),
    };
    let records = record::folder(workspace, UP);
    let (running, gone): (Vec<Record>, Vec<Record>) =
        record::read_all(&records)?.into_iter().partition(Record::is_alive);
    for record in gone {
        record.stop()?;
    }
    let mut ports = Ports::default();
    for record in &running {
        ports.merge(&record.ports);
    }
    for server in all.iter().filter(|server| wanted.contains(&server.name())) {
        if running.iter().any(|record| record.name == server.name()) {
            println!("{} runs already", server.name());
            continue;
        }
        install::present(server.as_ref()).map_err(anyhow::Error::msg)?;
        let launched = launch::launch(server.as_ref(), &records, &ports, launch::Life::Detached)?;
        ports.merge(&launched.record.ports);
        println!("{} runs, pid {}", server.name(), launched.record.pid);
        launched.record.variables.iter().for_each(|(name, value)| println!("  {name}={value}"));
    }
    Ok(())
}

/// The servers of one test run; dropping it stops them.
pub(crate) struct Running {
    launched: Vec<launch::Launched>,
    python: Option<PathBuf>,
    /// Servers that could neither be found nor installed, and why.
    pub(crate) missing: Vec<(String, String)>,
    /// The variables those would have set.
    pub(crate) missing_variables: Vec<String>,
}

impl Running {
    pub(crate) fn none() -> Self {
        Self { launched: Vec::new(), python: None, missing: Vec::new(), missing_variables: Vec::new() }
    }

    /// What the tests read.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let python = self.python.iter().map(|path| (python::VARIABLE.to_owned(), path.display().to_string()));
        let servers = self.launched.iter().flat_map(|launched| launched.record.variables.clone());
        servers.chain(python).collect()
    }

    fn lacks(&mut self, what: &str, why: String, variables: Vec<String>, in_ci: bool) -> Result<()> {
        if in_ci {
            bail!("CI is set and {what} is missing: {why}");
        }
        eprintln!("warning: {what} is missing, its tests are skipped: {why}");
        self.missing.push((what.to_owned(), why));
        self.missing_variables.extend(variables);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Backwards: who needs another goes first.
        while let Some(mut launched) = self.launched.pop() {
            if let Err(error) = launched.stop() {
                eprintln!("warning: {} was not stopped: {error:#}", launched.record.name);
            }
        }
    }
}

/// Everything the tests need; with `CI=true` a missing server is an error.
pub(crate) fn for_tests(workspace: &Workspace) -> Result<Running> {
    with_symbols(workspace, SYMBOLS)
}

/// The same with another number of symbols.
pub(crate) fn with_symbols(workspace: &Workspace, symbols: usize) -> Result<Running> {
    let mut running = started(workspace, all(workspace, symbols))?;
    for (program, package) in install::PROGRAMS {
        if let Err(why) = install::program_present(program, package) {
            running.lacks(program, why, Vec::new(), process::in_ci())?;
        }
    }
    match python::ready(workspace) {
        Ok(python) => running.python = Some(python),
        Err(why) => running.lacks("python", why, vec![python::VARIABLE.to_owned()], process::in_ci())?,
    }
    Ok(running)
}

/// PostgreSQL alone.
pub(crate) fn database(workspace: &Workspace) -> Result<Running> {
    started(workspace, vec![Box::new(postgres::Postgres)])
}

fn started(workspace: &Workspace, servers: Vec<Box<dyn Server>>) -> Result<Running> {
    record::sweep(&record::root(workspace))?;
    let mut running = Running::none();
    let records = record::folder(workspace, &format!("test-{}", std::process::id()));
    let mut ports = Ports::default();
    for server in servers {
        let absent = server.needs().iter().find(|name| running.missing.iter().any(|(lost, _)| lost == *name));
        let found = match absent {
            Some(name) => Err(format!("it needs {name}")),
            None => install::present(server.as_ref()),
        };
        if let Err(why) = found {
            running.lacks(server.name(), why, launch::variable_names(server.as_ref()), process::in_ci())?;
            continue;
        }
        let launched = launch::launch(server.as_ref(), &records, &ports, launch::Life::WithUs)?;
        ports.merge(&launched.record.ports);
        running.launched.push(launched);
    }
    Ok(running)
}
