//! One line of progress: done of total, rate, time gone, time left, and the caller's fields.

use std::fmt::{self, Display};
use std::time::Duration;

pub(super) struct Line<'a> {
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) per_minute: Option<f64>,
    pub(super) elapsed: Duration,
    pub(super) eta: Option<Duration>,
    pub(super) fields: &'a [(&'a str, &'a dyn Display)],
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.done, self.total)?;
        match self.per_minute {
            Some(rate) if rate >= 10.0 => write!(f, "  {rate:.0}/min")?,
            Some(rate) => write!(f, "  {rate:.1}/min")?,
            None => {}
        }
        // What must be seen on a narrow terminal comes first.
        write!(f, "  {}", Clock(self.elapsed))?;
        if let Some(left) = self.eta {
            write!(f, "  eta {}", Clock(left))?;
        }
        self.fields.iter().try_for_each(|(name, value)| write!(f, "  {name} {value}"))
    }
}

/// `m:ss`, from an hour on `h:mm:ss`; parts of a second are rounded up, so that work that is left never reads 0:00.
struct Clock(Duration);

impl Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match hours {
            0 => write!(f, "{minutes}:{seconds:02}"),
            hours => write!(f, "{hours}:{minutes:02}:{seconds:02}"),
        }
    }
}
