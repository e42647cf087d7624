//! `[web]`: how many watch the page, and what its views show.

use serde::{Deserialize, Serialize};

use super::views::View;
use crate::config::{Fault, fault};

/// Bounds and views of the page.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Pages that are sent live values at a time; default 1000. One more is answered 503.
    pub live_clients: usize,
    /// Series whose values are sent live; default 5000. The rest is shown from history only.
    pub live_series: usize,
    /// Views beside the built-in ones, or instead of those with the same id; default none.
    pub views: Vec<View>,
}

impl Default for Config {
    fn default() -> Self {
        Self { live_clients: 1000, live_series: 5000, views: Vec::new() }
    }
}

impl Config {
    /// Checks every bound; `path` is where this stands in the file.
    ///
    /// # Errors
    /// The field and what to write instead.
    pub fn check(&self, path: &str) -> Result<(), Fault> {
        let within = |field: &str, value: usize, most: usize| {
            fault(&format!("{path}.{field}"), (1..=most).contains(&value), || {
                format!("is {value}; choose 1 to {most}")
            })
        };
        within("live_clients", self.live_clients, 100_000)?;
        within("live_series", self.live_series, 100_000)?;
        fault(&format!("{path}.views"), self.views.len() <= 32, || {
            "are more than 32; choose fewer".to_owned()
        })?;
        for (at, view) in self.views.iter().enumerate() {
            view.check(&format!("{path}.views.{at}"))?;
        }
        Ok(())
    }
}
