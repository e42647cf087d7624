//! What happened, beside numbers: alerts, changes of knobs, restarts. Bounded, and told to whoever listens.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::broadcast;

/// Something that happened at a moment: a mark on every chart, and a line in the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// `alert`, `change` (a knob, a configuration), `target` (gone, back) or `monitor` (started, stopped).
    pub kind: &'static str,
    /// In a few words.
    pub title: String,
    /// `info`, `warning`, `error` or `critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<&'static str>,
    /// Of an alert: the object that `/api/alerts` shows. It is sent to `/ws` and left out of `/api/events`.
    #[serde(skip)]
    pub detail: Option<serde_json::Value>,
}

/// The last events, and the way to those that follow. Clones share them.
#[derive(Clone, Debug)]
pub struct Events {
    kept: Arc<Mutex<VecDeque<Arc<Event>>>>,
    bound: usize,
    to_all: broadcast::Sender<Arc<Event>>,
}

impl Events {
    /// Keeps the last `bound` events.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        Self { kept: Arc::default(), bound: bound.max(1), to_all: broadcast::Sender::new(256) }
    }

    /// Keeps it and tells everybody.
    pub fn publish(&self, event: Event) {
        let event = Arc::new(event);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(Arc::clone(&event));
        if kept.len() > self.bound {
            kept.pop_front();
        }
        drop(kept);
        // Nobody listens: it is kept all the same.
        self.to_all.send(event).ok();
    }

    /// Those that follow. A listener that falls behind by 256 misses the oldest.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.to_all.subscribe()
    }

    /// Those kept from `from_ms` on, oldest first.
    #[must_use]
    pub fn since(&self, from_ms: i64) -> Vec<Arc<Event>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|event| event.at_ms >= from_ms).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_and_the_oldest_leave() {
        let events = Events::new(2);
        let event =
            |at_ms| Event { at_ms, kind: "change", title: String::new(), severity: None, detail: None };
        let mut told = events.subscribe();
        for at_ms in 1..=3 {
            events.publish(event(at_ms));
        }
        assert_eq!(events.since(0).iter().map(|event| event.at_ms).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(events.since(3).len(), 1);
        assert_eq!(told.try_recv().unwrap().at_ms, 1);
    }
}
