//! What is still to be told: notifications in order, one queue a receiver, each with a key that outlives a restart.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::active::Event;
use super::config::Config;
use super::matcher::Labels;
use super::receiver::{ReceiverConfig, ReceiverKind};

/// What one receiver is told at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The same at every attempt, and never used again: by it a receiver knows a repetition.
    pub key: String,
    /// Name of the receiver.
    pub receiver: String,
    /// When it came up, in milliseconds since 1970.
    pub at_ms: i64,
    /// The labels that its alerts share.
    pub group: Labels,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// The queues. At least once: a notification stays until its receiver has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outbox {
    waiting: BTreeMap<String, VecDeque<Notification>>,
    /// Notifications that were given up: too many waited, too long, or refused.
    pub lost: u64,
}

impl Outbox {
    /// Puts events into the queues of those who want them. `identity` is of this monitor's data.
    pub fn put(&mut self, config: &Config, identity: &str, events: &[Event]) {
        let queued = config.receiver.iter().filter(|receiver| receiver.kind != ReceiverKind::Alertmanager);
        for receiver in queued {
            for notification in group(receiver, config.max_in_one, identity, events) {
                let queue = self.waiting.entry(receiver.name.clone()).or_default();
                queue.push_back(notification);
                if queue.len() > config.max_waiting {
                    queue.pop_front();
                    self.lost += 1;
                }
            }
        }
    }

    /// What this receiver is told next.
    #[must_use]
    pub fn next(&self, receiver: &str) -> Option<&Notification> {
        self.waiting.get(receiver)?.front()
    }

    /// The receiver has it.
    pub fn done(&mut self, receiver: &str, key: &str) {
        if let Some(queue) = self.waiting.get_mut(receiver) {
            queue.retain(|one| one.key != key);
        }
    }

    /// The receiver will never have it.
    pub fn give_up(&mut self, receiver: &str, key: &str) {
        self.done(receiver, key);
        self.lost += 1;
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the queues of receivers that are no longer configured.
    pub fn keep_only(&mut self, config: &Config) {
        self.waiting.retain(|name, _| config.receiver.iter().any(|receiver| receiver.name == *name));
    }
}

/// Events that one receiver wants, by the labels it groups by, in the order in which each group came up.
fn group(
    receiver: &ReceiverConfig,
    max_in_one: usize,
    identity: &str,
    events: &[Event],
) -> Vec<Notification> {
    let mut groups: Vec<(Labels, Vec<Event>)> = Vec::new();
    for event in events.iter().filter(|event| receiver.wants(event)) {
        let by = |name: &String| Some((name.clone(), event.alert.labels.get(name)?.clone()));
        let labels: Labels = receiver.group_by.iter().filter_map(by).collect();
        match groups.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, of)) => of.push(event.clone()),
            None => groups.push((labels, vec![event.clone()])),
        }
    }
    let mut notifications = Vec::new();
    for (group, events) in groups {
        for events in events.chunks(max_in_one) {
            let Some(first) = events.first() else { continue };
            notifications.push(Notification {
                // An event is in one notification of a receiver only, so its number names it.
                key: format!("{identity}-{}-{}", first.seq, receiver.name),
                receiver: receiver.name.clone(),
                at_ms: first.at_ms,
                group: group.clone(),
                events: events.to_vec(),
            });
        }
    }
    notifications
}
