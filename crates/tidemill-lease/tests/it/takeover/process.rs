//! One owner in the world: what it remembers, and the smallest limiter whose slots are anchored on the answer.

use std::collections::BTreeMap;
use std::time::Duration;

use tidemill_lease::{Epoch, Handover, Held, Owner};

use super::world::{Break, QUOTA, WINDOW};

/// One owner: its memory is gone when it is killed.
pub(super) struct Process {
    pub(super) life: u32,
    pub(super) owner: Owner,
    pub(super) paused: Duration,
    pub(super) cut: Duration,
    pub(super) mute: Duration,
    pub(super) asleep: Duration,
    pub(super) held: Option<Held>,
    pub(super) renew: Duration,
    pub(super) releasing: bool,
    pub(super) asking: Option<Duration>,
    pub(super) reserved: u32,
    /// When each slot is free, by the owner's clock; `MAX` while its request is in the air.
    pub(super) slots: Vec<Duration>,
    pub(super) flights: BTreeMap<Epoch, u32>,
    pub(super) unconfirmed: Vec<Epoch>,
}

impl Process {
    pub(super) fn born(who: usize, life: u32, same_name: bool) -> Self {
        let name = if same_name { format!("owner {who}") } else { format!("owner {who}, life {life}") };
        Self {
            life,
            owner: Owner::try_new(name).unwrap(),
            paused: Duration::ZERO,
            cut: Duration::ZERO,
            mute: Duration::ZERO,
            asleep: Duration::ZERO,
            held: None,
            renew: Duration::ZERO,
            releasing: false,
            asking: None,
            reserved: 0,
            slots: Vec::new(),
            flights: BTreeMap::new(),
            unconfirmed: Vec::new(),
        }
    }

    /// It is ours no more: the guard is stopped, and what is in the air is to be confirmed when it has ended.
    pub(super) fn forget(&mut self) {
        self.releasing = false;
        if let Some(held) = self.held.take() {
            held.stop();
            self.unconfirmed.push(held.epoch());
        }
    }

    /// How long each slot is taken yet, in milliseconds rounded up: what a successor must know.
    pub(super) fn last_word(&self, local: Duration, guard_too: bool) -> Vec<u8> {
        let guard = self.held.as_ref().map_or(local, |held| held.clear_at(guarded_window()));
        let left = self.slots.iter().filter(|free| guard_too || **free != guard);
        let left = left.map(|free| free.saturating_sub(local).as_nanos().div_ceil(1_000_000) as u64);
        left.flat_map(u64::to_le_bytes).collect()
    }
}

/// When the slots of a new owner are free.
pub(super) fn slots(held: &Held, local: Duration, breaks: Break) -> Vec<Duration> {
    let mut slots = vec![held.clear_at(guarded_window()); QUOTA];
    match held.handover() {
        Handover::Clean { since } => {
            slots = vec![Duration::ZERO; QUOTA];
            for (slot, left) in slots.iter_mut().zip(held.inherited().chunks_exact(8)) {
                let left = Duration::from_millis(u64::from_le_bytes(left.try_into().unwrap()));
                *slot = local + left.saturating_sub(*since);
            }
        }
        Handover::Again { .. } if breaks == Break::GuardAgainstFormerLife => slots.fill(local),
        Handover::Expired { .. } if breaks == Break::GuardAtTakeover => slots.fill(local),
        _ => {}
    }
    slots
}

/// The window, and what clocks may be wrong in it.
pub(super) fn guarded_window() -> Duration {
    WINDOW + WINDOW * 4 / 10_000 + Duration::from_millis(5)
}
