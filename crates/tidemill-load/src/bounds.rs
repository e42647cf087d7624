//! Whether a plan stays within its own limits and those of this machine's sense.

use std::time::Duration;

use crate::error::Error;
use crate::plan::{Load, Model, Plan};
use crate::shape::Shape;

impl Plan {
    /// Checks everything that needs no file and no network; [`run`](crate::run) does so too.
    ///
    /// # Errors
    /// [`ErrorKind::Plan`](crate::ErrorKind::Plan) with the first field that is out of bounds.
    pub fn check(&self) -> Result<(), Error> {
        if self.config_version != 1 {
            return Err(wrong("config_version", "is not 1: this version reads no other"));
        }
        self.pass.check()?;
        self.stop.check()?;
        let peak = self.load.shape.curve()?.peak();
        let duration = self.duration();
        if duration.is_zero() || duration > self.limits.duration {
            return Err(wrong("load.shape", "lasts no time, or longer than `limits.duration`"));
        }
        if self.load.warm_up >= duration || self.load.warm_up.subsec_nanos() != 0 {
            return Err(wrong("load.warm_up", "must be whole seconds and shorter than the run"));
        }
        self.load.check(peak, self)?;
        if self.subscribe.is_some()
            && !(self.target.url.starts_with("ws://") || self.target.url.starts_with("wss://"))
        {
            return Err(wrong("subscribe", "needs a target that begins with ws:// or wss://"));
        }
        if self.limits.head < 1024 || self.limits.head > 16 << 20 {
            return Err(wrong("limits.head", "must be 1 KB to 16 MiB"));
        }
        Ok(())
    }
}

impl Load {
    fn check(&self, peak: f64, plan: &Plan) -> Result<(), Error> {
        let limits = &plan.limits;
        let most = limits.connections.min(1 << 20);
        match plan.model() {
            Model::Open if peak > limits.rate => {
                return Err(wrong("load.shape", "rises above `limits.rate`"));
            }
            Model::Open if !(1..=most).contains(&self.connections) => {
                return Err(wrong("load.connections", "must be 1 to `limits.connections`"));
            }
            Model::Closed if peak < 0.5 || peak > most as f64 => {
                return Err(wrong(
                    "load.shape",
                    "must have 1 user at least and `limits.connections` at most",
                ));
            }
            Model::Closed if matches!(self.shape, Shape::Replay { .. }) => {
                return Err(wrong("load.shape", "a replay needs the open model"));
            }
            _ => {}
        }
        if !(1..=1024).contains(&self.threads) || !(1..=10_000).contains(&self.streams) {
            return Err(wrong("load.threads", "must be 1 to 1024, and `streams` 1 to 10000"));
        }
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(3600) {
            return Err(wrong("load.timeout", "must be longer than nothing and at most an hour"));
        }
        if self.drain > Duration::from_secs(3600)
            || self.quantum.is_some_and(|quantum| quantum.as_millis() > 100)
        {
            return Err(wrong("load.drain", "must be at most an hour, and `quantum` at most 100 ms"));
        }
        if !(self.spawn_rate >= 0.0 && self.spawn_rate.is_finite()) {
            return Err(wrong("load.spawn_rate", "must be 0 or more"));
        }
        Ok(())
    }
}

fn wrong(field: &str, reason: &str) -> Error {
    Error::plan(field, reason)
}
