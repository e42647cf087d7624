//! What a command may know of the process it runs in: environment, screen, clock, machine.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use tidemill_shell::exit::{Exit, Failure};

use crate::report::{self, Content, Document, Machine, Reports};

/// What a command may know of the process it runs in.
#[derive(Debug)]
pub struct Surroundings {
    /// Environment variables.
    pub env: HashMap<String, String>,
    /// Whether the screen stays empty.
    pub quiet: bool,
    no_colour: bool,
}

impl Surroundings {
    /// Of this environment.
    #[must_use]
    pub fn new(env: HashMap<String, String>, quiet: bool) -> Self {
        let no_colour = env.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { env, quiet, no_colour }
    }

    /// Whether standard error is a terminal that may be drawn over.
    #[must_use]
    pub fn draws(&self) -> bool {
        let dumb = self.env.get("TERM").is_some_and(|term| term == "dumb");
        std::io::stderr().is_terminal() && !dumb
    }

    /// Whether standard output takes colours.
    #[must_use]
    pub fn colours(&self) -> bool {
        !self.no_colour && std::io::stdout().is_terminal()
    }

    /// Prints what was found, now and here, and writes what is wanted of it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn publish(&self, content: Content, wanted: &Reports) -> Result<(), Failure> {
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let document = Document::new(unix_s, machine(), wanted.label.clone(), content);
        if !self.quiet {
            print(&report::text(&document, self.colours()));
        }
        report::write(&document, wanted).map_err(|error| Failure::new(Exit::BAD_INPUT, error))
    }
}

/// What a command is asked for goes to standard output.
pub fn print(text: &str) {
    // Nobody is left to be told that standard output is closed.
    std::io::stdout().write_all(text.as_bytes()).ok();
}

fn machine() -> Machine {
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    Machine {
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        load: load.and_then(|text| text.split_whitespace().next()?.parse().ok()),
    }
}
