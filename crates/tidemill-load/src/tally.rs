//! What one thread counted in the current second; handed over whole, so that the hot path never waits.

use crate::failure::Failure;
use crate::summary::Errors;
use crate::times::Times;

/// Counts and distributions.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) due: u64,
    pub(crate) sent: u64,
    pub(crate) ended: u64,
    pub(crate) errors: Errors,
    pub(crate) late: u64,
    pub(crate) connections: u64,
    pub(crate) messages: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) times: Series<u32>,
    /// By step, when there is more than one.
    pub(crate) steps: Vec<StepTally>,
}

/// The distributions of a run or a part of it.
#[derive(Clone, Debug)]
pub(crate) struct Series<C: hdrhistogram::Counter> {
    pub(crate) response: Times<C>,
    pub(crate) service: Times<C>,
    pub(crate) lag: Times<C>,
    pub(crate) late: Times<C>,
    pub(crate) connect: Times<C>,
    pub(crate) delivery: Times<C>,
}

/// One step's counts.
#[derive(Clone, Debug)]
pub(crate) struct StepTally {
    pub(crate) ended: u64,
    pub(crate) errors: Errors,
    pub(crate) service: Times<u32>,
}

/// How a request went; times in nanoseconds since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// When it was due.
    pub(crate) due_ns: u64,
    /// When a connection was free for it.
    pub(crate) free_ns: u64,
    pub(crate) sent_ns: u64,
    pub(crate) done_ns: u64,
    /// The index of the step among those of all scenarios.
    pub(crate) step: usize,
    pub(crate) failure: Option<Failure>,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    /// Whether it was due at a time of its own, not when the user was ready.
    pub(crate) scheduled: bool,
}

/// A send that is later by the generator's own fault counts as late.
const LATE_NS: u64 = 1_000_000;

impl Tally {
    pub(crate) fn new(steps: usize) -> Self {
        let step = StepTally { ended: 0, errors: Errors::default(), service: Times::with_digits(2) };
        Self {
            due: 0,
            sent: 0,
            ended: 0,
            errors: Errors::default(),
            late: 0,
            connections: 0,
            messages: 0,
            bytes_out: 0,
            bytes_in: 0,
            times: Series::new(),
            steps: if steps > 1 { vec![step; steps] } else { Vec::new() },
        }
    }

    /// Counts a request that was sent.
    pub(crate) fn ended(&mut self, ended: &Ended) {
        let service = ended.done_ns.saturating_sub(ended.sent_ns);
        self.sent += 1;
        self.bytes_out += ended.bytes_out;
        self.bytes_in += ended.bytes_in;
        self.count(ended.step, ended.failure);
        if ended.scheduled {
            let late = ended.sent_ns.saturating_sub(ended.due_ns.max(ended.free_ns));
            self.late += u64::from(late > LATE_NS);
            self.times.late.record(late);
            self.times.lag.record(ended.sent_ns.saturating_sub(ended.due_ns));
        }
        // Without an answer there is no time of one; but who gave up waiting did wait.
        if ended.failure.is_none_or(|failure| failure.answered() || failure == Failure::Timeout) {
            self.times.service.record(service);
            if let Some(step) = self.steps.get_mut(ended.step) {
                step.service.record(service);
            }
            if ended.scheduled {
                self.times.response.record(ended.done_ns.saturating_sub(ended.due_ns));
            }
        }
    }

    /// Counts a request for which there was no connection.
    pub(crate) fn unconnected(&mut self, step: usize, failure: Failure) {
        self.count(step, Some(failure));
    }

    /// Counts an arrival that was never sent.
    pub(crate) fn unsent(&mut self, waited_ns: u64) {
        self.ended += 1;
        self.errors.unsent += 1;
        self.times.response.record(waited_ns);
        self.times.lag.record(waited_ns);
    }

    fn count(&mut self, step: usize, failure: Option<Failure>) {
        self.ended += 1;
        let mut step = self.steps.get_mut(step);
        if let Some(step) = &mut step {
            step.ended += 1;
        }
        if let Some(failure) = failure {
            self.errors.count(failure);
            if let Some(step) = step {
                step.errors.count(failure);
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.due += other.due;
        self.sent += other.sent;
        self.ended += other.ended;
        self.errors.add(&other.errors);
        self.late += other.late;
        self.connections += other.connections;
        self.messages += other.messages;
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        self.times.add(&other.times);
        for (step, other) in self.steps.iter_mut().zip(&other.steps) {
            step.ended += other.ended;
            step.errors.add(&other.errors);
            step.service.add(&other.service);
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.due, self.sent, self.ended, self.late) = (0, 0, 0, 0);
        (self.connections, self.messages, self.bytes_out, self.bytes_in) = (0, 0, 0, 0);
        self.errors = Errors::default();
        self.times.clear();
        for step in &mut self.steps {
            step.ended = 0;
            step.errors = Errors::default();
            step.service.clear();
        }
    }
}

impl<C: hdrhistogram::Counter> Series<C> {
    pub(crate) fn new() -> Self {
        Self {
            response: Times::new(),
            service: Times::new(),
            lag: Times::new(),
            late: Times::new(),
            connect: Times::new(),
            delivery: Times::new(),
        }
    }

    pub(crate) fn add<D: hdrhistogram::Counter>(&mut self, other: &Series<D>) {
        let pairs = [
            (&mut self.response, &other.response),
            (&mut self.service, &other.service),
            (&mut self.lag, &other.lag),
            (&mut self.late, &other.late),
            (&mut self.connect, &other.connect),
            (&mut self.delivery, &other.delivery),
        ];
        for (sum, part) in pairs {
            if !part.is_empty() {
                sum.add(part);
            }
        }
    }

    fn clear(&mut self) {
        self.response.clear();
        self.service.clear();
        self.lag.clear();
        self.late.clear();
        self.connect.clear();
        self.delivery.clear();
    }
}
