//! The name of this process as an owner of leases, by which others on its machine can tell that it is gone.

use std::fmt;

/// A process: host, boot, number and start, so that a number used again is not mistaken for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    host: String,
    boot: String,
    pid: u32,
    /// In clock ticks since the boot.
    started: u64,
}

impl Process {
    /// The one that runs this.
    pub fn this() -> Self {
        let pid = std::process::id();
        let host = read("/proc/sys/kernel/hostname").unwrap_or_else(|| "host".into());
        let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { host, boot, pid, started: started(pid).unwrap_or(0) }
    }

    /// What [`to_string`](ToString::to_string) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut word = || words.next();
        let (host, boot) = (word()?.to_owned(), word()?.to_owned());
        Some(Self { host, boot, pid: word()?.parse().ok()?, started: word()?.parse().ok()? })
    }

    /// Whether it is certain that it has ended: it ran on this machine since its last start, or before that, and does
    /// not run any more.
    pub fn is_gone(&self) -> bool {
        let here = Self::this();
        // A process in a container of its own has another table of processes: only a known number proves anything.
        self.host == here.host
            && !self.boot.is_empty()
            && (self.boot != here.boot || started(self.pid) != Some(self.started))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, boot, pid, started } = self;
        write!(f, "{host} {boot} {pid} {started}")
    }
}

fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let text: String = text.trim().chars().filter(char::is_ascii_graphic).take(64).collect();
    (!text.is_empty()).then_some(text)
}

/// When a process was started; none when there is no such process.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks and brackets; the start is the 20th word behind it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ended_is_told_from_one_that_runs() {
        let this = Process::this();
        assert_eq!(Process::parse(&this.to_string()).as_ref(), Some(&this));
        assert!(!this.is_gone());
        assert!(Process { started: this.started + 1, ..this.clone() }.is_gone(), "its number was used again");
        assert!(Process { boot: "another".into(), ..this.clone() }.is_gone());
        assert!(!Process { host: "another".into(), started: 1, ..this.clone() }.is_gone(), "who knows?");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = Process { pid: child.id(), started: 1, ..this };
        child.wait().unwrap();
        assert!(ended.is_gone());
        assert_eq!(Process::parse("somebody else's format"), None);
    }
}
