//! The machine this process runs on, looked at once per call.

use std::time::Duration;

use crate::config::Config;
use crate::error::Error;
use crate::reading::Reading;
use crate::sample::Sample;
use crate::system::System;

/// Takes samples; keeps the last reading for the rates.
#[derive(Debug)]
pub struct Host {
    system: System,
    last: Option<(Reading, Duration)>,
    peak_used_bytes: Option<u64>,
}

/// Builds a [`Host`].
#[derive(Clone, Debug)]
pub struct Builder {
    config: Config,
}

impl Host {
    /// Looks at everything.
    ///
    /// # Errors
    /// None today; the same as [`Builder::build`].
    pub fn new() -> Result<Self, Error> {
        Self::builder(Config::default()).build()
    }

    /// Starts from a configuration.
    #[must_use]
    pub fn builder(config: Config) -> Builder {
        Builder { config }
    }

    /// Looks at the system: its levels, and its rates since the last call. `now` is the time since any origin. It
    /// reads some twenty small files (0.1 ms of processor time on two cores) and asks each local file system for its
    /// size, which may block: call it off the async threads where that matters.
    ///
    /// # Errors
    /// [`Clock`](crate::ErrorKind::Clock) when `now` lies before the last call.
    pub fn sample(&mut self, now: Duration) -> Result<Sample, Error> {
        if let Some((_, last)) = &self.last
            && now < *last
        {
            return Err(Error::clock(now, *last));
        }
        let reading = self.system.read();
        let before = self.last.as_ref().map(|(reading, last)| (reading, now - *last));
        let mut sample = Sample::between(before, &reading);
        self.peak_used_bytes = self.peak_used_bytes.max(sample.memory.used_bytes);
        sample.memory.peak_used_bytes = self.peak_used_bytes;
        self.last = Some((reading, now));
        Ok(sample)
    }

    /// The totals and levels behind the next sample, without remembering them.
    pub fn read(&mut self) -> Reading {
        self.system.read()
    }
}

impl Builder {
    /// Opens what is read again and again. What the system does not have is `None` in each sample.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) names the field that is out of bounds.
    pub fn build(self) -> Result<Host, Error> {
        self.config.check()?;
        Ok(Host { system: System::new(self.config), last: None, peak_used_bytes: None })
    }
}
