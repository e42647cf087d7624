//! Which waiting job is next: priority with aging first, then the group that holds the fewest workers, then turns.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::priority::Priority;
use crate::stats::Counts;

/// Jobs that wait, by group and priority. It has neither clock nor lock.
#[derive(Debug)]
pub(crate) struct Queue<J> {
    groups: Vec<Group<J>>,
    names: HashMap<Arc<str>, u32>,
    rules: Rules,
    ready: usize,
    running: usize,
    turn: u64,
}

/// The settings that decide the order; times in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) aging: u64,
    pub(crate) max_groups: usize,
    pub(crate) group_share: f64,
    pub(crate) group_memory: u64,
}

#[derive(Debug)]
pub(crate) struct Group<J> {
    pub(crate) name: Arc<str>,
    pub(crate) counts: [Counts; 3],
    lanes: [VecDeque<J>; 3],
    waiting: usize,
    running: usize,
    served: u64,
    active: u64,
}

/// What a job knows of itself, so that its entry here need not.
pub(crate) trait Waits {
    /// Nanoseconds of the pool's clock at which it began to wait.
    fn since(&self) -> u64;
    fn group(&self) -> u32;
    fn priority(&self) -> Priority;
}

/// A job that was taken; it holds one worker of its group until [`Queue::release`].
#[derive(Debug)]
pub(crate) struct Taken<J> {
    pub(crate) job: J,
    /// The turn of its group before it was taken, to be undone by [`Queue::put_back`].
    served: u64,
}

impl<J: Waits> Queue<J> {
    pub(crate) fn new(rules: Rules) -> Self {
        let mut queue =
            Self { groups: Vec::new(), names: HashMap::new(), rules, ready: 0, running: 0, turn: 0 };
        queue.group(None);
        queue
    }

    /// The number of a group; beyond the bound all further names share the group `other`.
    pub(crate) fn group(&mut self, name: Option<&str>) -> u32 {
        let Some(name) = name else {
            if self.groups.is_empty() {
                self.groups.push(Group::new("default"));
                self.names.insert(Arc::from("default"), 0);
            }
            return 0;
        };
        if let Some(&known) = self.names.get(name) {
            return known;
        }
        let name = if self.groups.len() > self.rules.max_groups { "other" } else { name };
        if let Some(&known) = self.names.get(name) {
            return known;
        }
        let number = self.groups.len() as u32;
        let group = Group::new(name);
        self.names.insert(Arc::clone(&group.name), number);
        self.groups.push(group);
        number
    }

    #[inline]
    pub(crate) fn push(&mut self, job: J) {
        let group = &mut self.groups[job.group() as usize];
        group.active = group.active.max(job.since());
        group.lanes[job.priority().index()].push_back(job);
        group.waiting += 1;
        self.ready += 1;
    }

    /// Takes the next job, as if `workers` share all jobs.
    #[inline]
    pub(crate) fn pop(&mut self, now: u64, workers: usize) -> Option<Taken<J>> {
        if self.ready == 0 {
            return None;
        }
        let (group, lane) = if self.groups.len() == 1 {
            (0, self.groups[0].only_lane().or_else(|| Some(self.urgent(0, now)?.1))?)
        } else {
            self.choose(now, workers)?
        };
        self.turn += 1;
        let chosen = &mut self.groups[group];
        let job = chosen.lanes[lane].pop_front()?;
        chosen.waiting -= 1;
        chosen.running += 1;
        let served = std::mem::replace(&mut chosen.served, self.turn);
        chosen.active = now;
        self.ready -= 1;
        self.running += 1;
        Some(Taken { job, served })
    }

    /// Puts a taken job back in front of its lane. Put back in reverse order what was taken in order.
    pub(crate) fn put_back(&mut self, taken: Taken<J>) {
        let Taken { job, served } = taken;
        self.release(job.group(), 1);
        let group = &mut self.groups[job.group() as usize];
        group.lanes[job.priority().index()].push_front(job);
        group.waiting += 1;
        group.served = served;
        self.ready += 1;
    }

    /// So many taken jobs of a group ended.
    pub(crate) fn release(&mut self, group: u32, jobs: usize) {
        self.groups[group as usize].running -= jobs;
        self.running -= jobs;
    }

    /// Everything that waits, and forgets it.
    pub(crate) fn drain(&mut self) -> Vec<J> {
        let mut all = Vec::with_capacity(self.ready);
        for group in &mut self.groups {
            group.lanes.iter_mut().for_each(|lane| all.extend(lane.drain(..)));
            group.waiting = 0;
        }
        self.ready = 0;
        all
    }

    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    pub(crate) fn running(&self) -> usize {
        self.running
    }

    #[inline]
    pub(crate) fn counts(&mut self, group: u32, priority: Priority) -> &mut Counts {
        &mut self.groups[group as usize].counts[priority.index()]
    }

    pub(crate) fn groups(&self) -> &[Group<J>] {
        &self.groups
    }

    /// The group and lane to serve: lowest aged level, then fewest workers held, then longest unserved.
    fn choose(&self, now: u64, workers: usize) -> Option<(usize, usize)> {
        let share = ((workers as f64 * self.rules.group_share) as usize).max(1);
        let remembered = |group: &Group<J>| {
            group.waiting + group.running > 0
                || (group.served > 0 && now.saturating_sub(group.active) < self.rules.group_memory)
        };
        let crowded = self.groups.iter().filter(|group| remembered(group)).take(2).count() > 1;
        let mut best: Option<((u64, usize, u64), usize, usize)> = None;
        for (number, group) in self.groups.iter().enumerate() {
            if group.waiting == 0 || (crowded && group.running >= share) {
                continue;
            }
            let Some((level, lane)) = self.urgent(number, now) else { continue };
            let key = (level, group.running, group.served);
            if best.is_none_or(|(least, ..)| key < least) {
                best = Some((key, number, lane));
            }
        }
        best.map(|(_, group, lane)| (group, lane))
    }

    /// The lowest aged level among the heads of a group and the lane it stands in; the oldest among equals.
    fn urgent(&self, group: usize, now: u64) -> Option<(u64, usize)> {
        let mut best: Option<(u64, u64, usize)> = None;
        for (lane, jobs) in self.groups[group].lanes.iter().enumerate() {
            let Some(head) = jobs.front() else { continue };
            let since = head.since();
            let level = if lane == 0 {
                0
            } else {
                (lane as u64).saturating_sub(now.saturating_sub(since) / self.rules.aging)
            };
            if best.is_none_or(|(l, oldest, _)| (level, since) < (l, oldest)) {
                best = Some((level, since, lane));
            }
        }
        best.map(|(level, _, lane)| (level, lane))
    }
}

impl<J> Group<J> {
    fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            counts: Default::default(),
            lanes: Default::default(),
            waiting: 0,
            running: 0,
            served: 0,
            active: 0,
        }
    }

    /// The lane in which all its jobs stand.
    fn only_lane(&self) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.len() == self.waiting)
    }

    pub(crate) fn waiting(&self, priority: Priority) -> usize {
        self.lanes[priority.index()].len()
    }

    pub(crate) fn running(&self) -> usize {
        self.running
    }
}

impl Rules {
    pub(crate) fn new(config: &crate::config::Config) -> Self {
        Self {
            aging: nanos(config.aging).max(1),
            max_groups: config.max_groups,
            group_share: config.group_share,
            group_memory: nanos(config.group_memory),
        }
    }
}

/// Nanoseconds, at most 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
