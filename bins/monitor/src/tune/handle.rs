//! The way to tuning that runs: what is shown of it, and what a person sets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tidemill_autotune::{Error, ErrorKind};

use super::service::{DECISIONS, Steered, now};
use super::view::knob;

/// The way to tuning that runs. Clones share it.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) enabled: bool,
    pub(super) steered: Arc<Vec<Arc<Steered>>>,
}

impl Handle {
    /// What is shown at `/api/tuning`.
    pub async fn view(&self) -> Value {
        let mut targets = Vec::new();
        for one in self.steered.iter() {
            targets.push(one.view(self.enabled).await);
        }
        json!({ "enabled": self.enabled, "targets": targets })
    }

    /// Of each target: its name, whether its knobs are moved, and how often what was decided, for `/metrics`.
    pub fn counted(&self) -> impl Iterator<Item = (&str, bool, [(&'static str, u64); DECISIONS.len()])> {
        self.steered.iter().map(|one| {
            let of = |at: usize| (DECISIONS[at], one.counted.decisions[at].load(Ordering::Relaxed));
            (one.target.name.as_str(), one.counted.steers.load(Ordering::Relaxed), std::array::from_fn(of))
        })
    }

    /// A person sets knobs of a target, all of them or none.
    ///
    /// # Errors
    /// The status to answer with, and why.
    pub async fn set(&self, target: &str, wanted: &BTreeMap<String, f64>) -> Result<Value, (u16, String)> {
        let Some(one) = self.steered.iter().find(|one| one.target.name == target) else {
            return Err((404, "no such target is tuned".to_owned()));
        };
        let mut inner = one.inner.lock().await;
        if let Some(steering) = &inner.steering {
            steering.check(wanted).map_err(refused)?;
        }
        // The target has the last word: what it refuses was never decided here.
        one.remote.set(wanted).await.map_err(|refusal| {
            let status = refusal
                .status
                .map_or(502, |status| if status.is_client_error() { status.as_u16() } else { 502 });
            // Its 401 is about our token, not about the asker's.
            (if status == 401 { 502 } else { status }, refusal.why)
        })?;
        if let Some(steering) = &mut inner.steering {
            steering.set(now(), wanted).map_err(refused)?;
            let fresh = steering.take_fresh();
            one.tell(&mut inner, &fresh).await;
        }
        inner.owed.retain(|knob, _| !wanted.contains_key(knob));
        for (knob, value) in &mut inner.shown.knobs {
            *value = wanted.get(&knob.name).copied().unwrap_or(*value);
        }
        let knobs: Vec<Value> = inner.shown.knobs.iter().map(|(one, value)| knob(one, *value, &[])).collect();
        Ok(json!({ "knobs": knobs }))
    }
}

/// A refusal of our own, as a status and why.
fn refused(error: Error) -> (u16, String) {
    let status = match error.kind() {
        ErrorKind::Unknown => 404,
        ErrorKind::Busy => 409,
        _ => 400,
    };
    (status, error.to_string())
}
