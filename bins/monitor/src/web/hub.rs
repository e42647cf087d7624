//! The hub of live values: each frame is made once and shared, and every client takes the newest when it can.
//!
//! Nothing is queued for a client. It holds a [`Cursor`], three numbers, into what the hub holds anyway: the series known,
//! the newest round of each target, the last events. A client that does not read holds one frame and delays nobody;
//! when it reads again it is sent the newest of each.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use super::config::Config;
use super::frame;
use super::rate::Rate;
use crate::event::Event;
use crate::series::{BySeries, Kind, Reading, Round, Series};

/// Events that a client which was busy still gets.
const EVENTS: usize = 64;
/// A series that was silent for so long makes room for others.
const SILENT_MS: i64 = 300_000;

/// Where rounds come in and clients read. Clones share it.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    feed: Mutex<Feed>,
    state: watch::Sender<State>,
    clients: AtomicUsize,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    clients: AtomicU64,
    refused: AtomicU64,
    frames: AtomicU64,
    series_left_out: AtomicU64,
}

/// What the hub did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Clients connected now.
    pub open: u64,
    /// Clients connected since the start.
    pub clients: u64,
    /// Clients turned away because `live_clients` were connected.
    pub refused: u64,
    /// Messages sent.
    pub frames: u64,
    /// Values not sent live because `live_series` were known.
    pub series_left_out: u64,
}

/// How the hub ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Clients that had not taken their good-bye at the deadline.
    pub cut: usize,
}

/// What clients read: all of it shared bytes.
#[derive(Debug)]
pub(super) struct State {
    /// Rises when indices begin anew.
    generation: u64,
    hello: Bytes,
    series: Vec<Bytes>,
    rounds: Vec<Newest>,
    events: VecDeque<(u64, Bytes)>,
    sequence: u64,
    pub(super) closed: bool,
}

/// One piece of the newest round of one target.
#[derive(Debug)]
struct Newest {
    target: Arc<str>,
    sequence: u64,
    frame: Bytes,
}

/// What the rounds leave behind: the index and the last total of each series.
#[derive(Debug, Default)]
struct Feed {
    known: BySeries<Known>,
    cleared_ms: i64,
    /// The newest values of targets that no frame was made of, because nobody was there.
    unseen: BTreeMap<Arc<str>, Unseen>,
}

/// When, and the values by index.
type Unseen = (i64, Vec<(usize, f64)>);

#[derive(Debug)]
struct Known {
    index: usize,
    rate: Rate,
    at_ms: i64,
}

/// How far one client has read.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// 0: nothing yet.
    generation: u64,
    series: usize,
    rounds: u64,
    events: Option<u64>,
}

impl Hub {
    /// A hub for rounds every `interval`; the page learns `prefix` from it.
    #[must_use]
    pub fn new(config: &Config, interval: Duration, prefix: &str) -> Self {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let state = State {
            generation: 1,
            hello: frame::hello(interval_ms, prefix),
            series: Vec::new(),
            rounds: Vec::new(),
            events: VecDeque::new(),
            sequence: 0,
            closed: false,
        };
        let shared = Shared {
            config: config.clone(),
            feed: Mutex::default(),
            state: watch::Sender::new(state),
            clients: AtomicUsize::new(0),
            counts: Counts::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes rounds and events until both have ended. One that it missed is replaced by the next.
    pub async fn follow(
        &self,
        mut rounds: broadcast::Receiver<Arc<Round>>,
        mut events: broadcast::Receiver<Arc<Event>>,
    ) {
        use broadcast::error::RecvError::{Closed, Lagged};
        let (mut some_rounds, mut some_events) = (true, true);
        while some_rounds || some_events {
            tokio::select! {
                round = rounds.recv(), if some_rounds => match round {
                    Ok(round) => self.round(&round),
                    Err(Lagged(_)) => {}
                    Err(Closed) => some_rounds = false,
                },
                event = events.recv(), if some_events => match event {
                    Ok(event) => self.event(&event),
                    Err(Lagged(_)) => {}
                    Err(Closed) => some_events = false,
                },
            }
        }
    }

    /// Takes a round: totals become rates, and what clients read is replaced.
    pub fn round(&self, round: &Round) {
        if round.readings.is_empty() {
            return;
        }
        let mut feed = self.shared.feed.lock().unwrap_or_else(PoisonError::into_inner);
        let feed = &mut *feed;
        let bound = self.shared.config.live_series;
        if feed.known.len() >= bound && round.at_ms - feed.cleared_ms >= 60_000 {
            let fresh = |reading: &Reading| !feed.known.contains_key(&reading.series);
            if round.readings.iter().any(fresh) {
                self.clear(feed, round.at_ms);
            }
        }
        let mut values = feed.unseen.remove(&round.target).map(|(_, values)| values).unwrap_or_default();
        values.clear();
        let (mut added, mut left_out) = (Vec::new(), 0);
        for reading in &round.readings {
            let index = feed.known.len();
            if index < bound && !feed.known.contains_key(&reading.series) {
                added.push(Arc::clone(&reading.series));
                let known = Known { index, rate: Rate::default(), at_ms: 0 };
                feed.known.insert(Arc::clone(&reading.series), known);
            }
            let Some(known) = feed.known.get_mut(&reading.series) else {
                left_out += 1;
                continue;
            };
            known.at_ms = round.at_ms;
            let value = match reading.series.kind {
                Kind::Counter => known.rate.next(round.at_ms, reading.value),
                _ => Some(reading.value),
            };
            values.extend(value.map(|value| (known.index, value)));
        }
        self.shared.counts.series_left_out.fetch_add(left_out, Ordering::Relaxed);
        let series = match added.len() {
            0 => Vec::new(),
            count => frame::series(feed.known.len() - count, &added),
        };
        if !series.is_empty() {
            self.shared.state.send_modify(|state| state.series.extend(series));
        }
        if self.shared.clients.load(Ordering::Acquire) > 0 {
            self.show(&round.target, round.at_ms, &values);
        } else {
            // A frame for nobody: it is made when somebody comes.
            feed.unseen.insert(Arc::clone(&round.target), (round.at_ms, values));
        }
    }

    /// Makes the frames of a target's newest values.
    fn show(&self, target: &Arc<str>, at_ms: i64, values: &[(usize, f64)]) {
        let frames = frame::round(target, at_ms, values);
        self.shared.state.send_modify(|state| {
            state.rounds.retain(|newest| newest.target != *target);
            for frame in frames {
                state.sequence += 1;
                state.rounds.push(Newest { target: Arc::clone(target), sequence: state.sequence, frame });
            }
        });
    }

    /// Somebody has come: what came while nobody was there is made into frames.
    fn show_unseen(&self) {
        let mut feed = self.shared.feed.lock().unwrap_or_else(PoisonError::into_inner);
        for (target, (at_ms, values)) in std::mem::take(&mut feed.unseen) {
            self.show(&target, at_ms, &values);
        }
    }

    /// Takes an event.
    pub fn event(&self, event: &Event) {
        let frames = frame::event(event);
        self.shared.state.send_modify(|state| {
            for frame in frames {
                state.sequence += 1;
                state.events.push_back((state.sequence, frame));
                if state.events.len() > EVENTS {
                    state.events.pop_front();
                }
            }
        });
    }

    /// Forgets what has been silent, and numbers the rest anew when that makes room.
    fn clear(&self, feed: &mut Feed, now_ms: i64) {
        feed.cleared_ms = now_ms;
        let before = feed.known.len();
        feed.known.retain(|_, known| now_ms - known.at_ms < SILENT_MS);
        if feed.known.len() == before {
            return;
        }
        let mut kept: Vec<(&Arc<Series>, &mut Known)> = feed.known.iter_mut().collect();
        kept.sort_by_key(|(_, known)| known.index);
        let mut order = Vec::with_capacity(kept.len());
        for (index, (series, known)) in kept.into_iter().enumerate() {
            known.index = index;
            order.push(Arc::clone(series));
        }
        feed.unseen.clear();
        let series = frame::series(0, &order);
        self.shared.state.send_modify(|state| {
            state.generation += 1;
            state.series = series;
            state.rounds.clear();
        });
    }

    /// A place for one more client, unless all are taken.
    pub(super) fn enter(&self) -> Option<Guest> {
        let bound = self.shared.config.live_clients;
        let taken = self
            .shared
            .clients
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < bound).then_some(open + 1));
        if taken.is_err() {
            self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.shared.counts.clients.fetch_add(1, Ordering::Relaxed);
        self.show_unseen();
        let hub = self.clone();
        Some(Guest { state: hub.shared.state.subscribe(), cursor: Cursor::default(), hub })
    }

    /// What a client with this cursor is to be sent next.
    #[must_use]
    pub fn next(&self, cursor: &mut Cursor) -> Option<Bytes> {
        self.show_unseen();
        cursor.next(&self.shared.state.borrow())
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counts = &self.shared.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Stats {
            open: self.shared.clients.load(Ordering::Relaxed) as u64,
            clients: of(&counts.clients),
            refused: of(&counts.refused),
            frames: of(&counts.frames),
            series_left_out: of(&counts.series_left_out),
        }
    }

    /// Says good-bye to every client and waits for them until the deadline.
    pub async fn close(&self, deadline: Duration) -> Report {
        self.shared.state.send_modify(|state| state.closed = true);
        let gone = async {
            while self.shared.clients.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(deadline, gone).await.ok();
        Report { cut: self.shared.clients.load(Ordering::Acquire) }
    }
}

/// A connected client's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Guest {
    hub: Hub,
    state: watch::Receiver<State>,
    cursor: Cursor,
}

impl Guest {
    /// The next frame, whether it is the last one; `None` when the client has the newest of everything.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let frame = self.cursor.next(&self.state.borrow_and_update());
        self.hub.shared.counts.frames.fetch_add(u64::from(frame.is_some()), Ordering::Relaxed);
        frame
    }

    /// Ends when there may be something new.
    pub(super) async fn changed(&mut self) {
        // The hub is held by us, so its sender is there.
        self.state.changed().await.ok();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.borrow().closed
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.hub.shared.clients.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Cursor {
    fn next(&mut self, state: &State) -> Option<Bytes> {
        if self.generation != state.generation {
            let events = self.events.or(Some(state.sequence));
            *self = Self { generation: state.generation, series: 0, rounds: 0, events };
            return Some(state.hello.clone());
        }
        if let Some(frame) = state.series.get(self.series) {
            self.series += 1;
            return Some(frame.clone());
        }
        let seen = self.events.unwrap_or_default();
        if let Some((sequence, frame)) = state.events.iter().find(|(sequence, _)| *sequence > seen) {
            self.events = Some(*sequence);
            return Some(frame.clone());
        }
        let newer = state.rounds.iter().filter(|newest| newest.sequence > self.rounds);
        let next = newer.min_by_key(|newest| newest.sequence)?;
        self.rounds = next.sequence;
        Some(next.frame.clone())
    }
}

#[cfg(test)]
mod tests;
