//! What the generator itself used, and what was taken from it.

use std::fs;

/// A thread's processor time and its wait for a processor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadUse {
    pub(crate) cpu_ns: u64,
    pub(crate) waited_ns: u64,
}

impl ThreadUse {
    /// Of the calling thread, since it began; zeros where the system does not say.
    pub(crate) fn now() -> Self {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().map(|number| number.parse().unwrap_or(0));
        Self { cpu_ns: numbers.next().unwrap_or(0), waited_ns: numbers.next().unwrap_or(0) }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            waited_ns: self.waited_ns.saturating_sub(before.waited_ns),
        }
    }
}

/// The machine's processor time in ticks: all of it, what was not idle, and what other guests took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostTicks {
    pub(crate) all: u64,
    pub(crate) busy: u64,
    pub(crate) stolen: u64,
}

impl HostTicks {
    pub(crate) fn now() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
    fn parse(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let mut ticks =
            line.split_ascii_whitespace().skip(1).map(|number| number.parse::<u64>().unwrap_or(0));
        let mut fields = [0u64; 8];
        fields.iter_mut().for_each(|field| *field = ticks.next().unwrap_or(0));
        let all = fields.iter().sum();
        Self { all, busy: all - fields[3] - fields[4], stolen: fields[7] }
    }

    /// The shares of the time since `before`: busy and stolen, 0 to 1.
    pub(crate) fn shares(self, before: Self) -> (f64, f64) {
        let all = self.all.saturating_sub(before.all).max(1) as f64;
        let share = |now: u64, before: u64| now.saturating_sub(before) as f64 / all;
        (share(self.busy, before.busy), share(self.stolen, before.stolen))
    }
}

/// The most memory this process has had resident; 0 where the system does not say.
pub(crate) fn peak_memory() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    kilobytes(&text, "VmHWM:")
}

/// A line such as `VmRSS:    1234 kB`, in bytes.
pub(crate) fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_ascii_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_between() {
        let before = HostTicks::parse("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\n");
        let now = HostTicks::parse("cpu  150 0 110 870 10 0 0 60 0 0\n");
        assert_eq!(now.all - before.all, 200);
        assert_eq!(now.shares(before), (0.6, 0.3));
        assert_eq!(HostTicks::parse("nonsense").shares(HostTicks::default()), (0.0, 0.0));
        assert_eq!(kilobytes("Name: x\nVmHWM:\t 12 kB\n", "VmHWM:"), 12 * 1024);
    }
}
