//! The shell: reads the program's signals, sets its knobs, runs its actions; still without a thread or a clock.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::config::Config;
use crate::controller::Control;
use crate::decision::Record;
use crate::error::Error;
use crate::knob::Knob;
use crate::split::{Side, Split};
use crate::tuner::{Action, Builder, Tuner};

type Set = Box<dyn FnMut(f64) -> Result<(), String> + Send>;
type SetSplit = Box<dyn FnMut(f64, f64, Split) -> Result<(), String> + Send>;
type Read = Box<dyn FnMut() -> Option<f64> + Send>;
type Run = Box<dyn FnMut() -> Result<(), String> + Send>;

/// A tuner with the program's own closures: call [`tick`](Self::tick) once an interval.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// use std::time::Duration;
/// use tidemill_autotune::{Config, Driver, Knob, Rule};
///
/// let workers = Arc::new(AtomicU64::new(4));
/// let (get, set) = (Arc::clone(&workers), Arc::clone(&workers));
/// let rule = Rule::new("busy", "queue.waiting > 50 for 2", &["workers + 2"])?;
/// let mut driver = Driver::builder(Config { rule: vec![rule], builtin: false, ..Config::default() })
///     .knob(
///         Knob::new("workers", 2.0, 16.0).step(1.0),
///         move || get.load(Ordering::Relaxed) as f64,
///         move |value| { set.store(value as u64, Ordering::Relaxed); Ok(()) },
///     )
///     .signal("queue.waiting", || Some(80.0))
///     .build()?;
/// for second in 0..2 { driver.tick(Duration::from_secs(second)); }
/// assert_eq!(workers.load(Ordering::Relaxed), 6);
/// assert!(driver.take_records()[0].words().contains("busy changed workers 4 -> 6 because queue.waiting = 80"));
/// # Ok::<(), tidemill_autotune::Error>(())
/// ```
pub struct Driver {
    tuner: Tuner,
    handles: BTreeMap<String, Handle>,
    signals: Vec<(String, Read)>,
    actions: BTreeMap<String, Run>,
    failures: u64,
    last_failure: Option<Error>,
}

struct Handle {
    set: Set,
    set_split: Option<SetSplit>,
}

/// Puts a driver together.
pub struct DriverBuilder {
    tuner: Builder,
    handles: BTreeMap<String, Handle>,
    signals: Vec<(String, Read)>,
    actions: BTreeMap<String, Run>,
}

impl DriverBuilder {
    /// A knob with its getter, read once now, and its setter. The setter says in words why it did not take a value.
    #[must_use]
    pub fn knob(
        mut self,
        knob: Knob,
        mut get: impl FnMut() -> f64 + Send + 'static,
        set: impl FnMut(f64) -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.handles.insert(knob.name.clone(), Handle { set: Box::new(set), set_split: None });
        self.tuner = self.tuner.knob(knob, get());
        self
    }

    /// A knob that a controller turns.
    #[must_use]
    pub fn controlled(
        mut self,
        knob: Knob,
        mut get: impl FnMut() -> f64 + Send + 'static,
        set: impl FnMut(f64) -> Result<(), String> + Send + 'static,
        control: impl Control + 'static,
    ) -> Self {
        self.handles.insert(knob.name.clone(), Handle { set: Box::new(set), set_split: None });
        self.tuner = self.tuner.controlled(knob, get(), control);
        self
    }

    /// How a knob is set for some keys only: old value, new value, and who gets which.
    #[must_use]
    pub fn split(
        mut self,
        knob: &str,
        set: impl FnMut(f64, f64, Split) -> Result<(), String> + Send + 'static,
    ) -> Self {
        if let Some(handle) = self.handles.get_mut(knob) {
            handle.set_split = Some(Box::new(set));
        }
        self
    }

    /// A signal and how it is read; None when there is nothing new.
    #[must_use]
    pub fn signal(mut self, name: &str, read: impl FnMut() -> Option<f64> + Send + 'static) -> Self {
        self.signals.push((name.to_owned(), Box::new(read)));
        self
    }

    /// An action that rules call by name.
    #[must_use]
    pub fn action(mut self, name: &str, run: impl FnMut() -> Result<(), String> + Send + 'static) -> Self {
        self.actions.insert(name.to_owned(), Box::new(run));
        self
    }

    /// Checks everything and builds.
    ///
    /// # Errors
    /// `Config`, with the field, rule or knob; also for a knob tried by split that cannot be split.
    pub fn build(self) -> Result<Driver, Error> {
        let Self { tuner, handles, signals, actions } = self;
        // A rule may name what this program cannot do: the built-in ones are for many programs.
        let tuner = tuner.actions(actions.keys().cloned()).build()?;
        let unable = tuner.knobs().map(|(knob, _)| knob).find(|knob| {
            let can = handles.get(&knob.name).is_some_and(|handle| handle.set_split.is_some());
            knob.trial == crate::TrialBy::Split && !can
        });
        if let Some(knob) = unable {
            let why = "is tried by split: say how by `DriverBuilder::split`, or try it by switchback";
            return Err(Error::config(format!("knob {:?}", knob.name), why));
        }
        Ok(Driver { tuner, handles, signals, actions, failures: 0, last_failure: None })
    }
}

impl Driver {
    /// Starts one.
    #[must_use]
    pub fn builder(config: Config) -> DriverBuilder {
        let (handles, actions) = (BTreeMap::new(), BTreeMap::new());
        DriverBuilder { tuner: Tuner::builder(config), handles, signals: Vec::new(), actions }
    }

    /// Reads every signal, takes one step, and does what it asks.
    pub fn tick(&mut self, now: Duration) {
        for (name, read) in &mut self.signals {
            if let Some(value) = read() {
                self.tuner.read(now, name, value);
            }
        }
        let actions = self.tuner.step(now);
        self.perform(actions);
    }

    /// Takes a reading of one side of a split.
    pub fn observe(&mut self, knob: &str, side: Side, value: f64) {
        self.tuner.observe(knob, side, value);
    }

    /// Sets a knob by hand.
    ///
    /// # Errors
    /// As [`Tuner::set`]; `Apply` when the program did not take it.
    pub fn set(&mut self, now: Duration, knob: &str, value: f64) -> Result<(), Error> {
        let actions = self.tuner.set(now, knob, value)?;
        let before = self.failures;
        self.perform(actions);
        match self.last_failure.take() {
            Some(error) if self.failures > before => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends a trial by hand.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn abort(&mut self, now: Duration, trial: u64) -> Result<(), Error> {
        let actions = self.tuner.abort(now, trial)?;
        self.perform(actions);
        Ok(())
    }

    /// Switches decisions on or off.
    pub fn enable(&mut self, now: Duration, enabled: bool) {
        let actions = self.tuner.enable(now, enabled);
        self.perform(actions);
    }

    /// Takes back what an earlier run decided, and sets the knobs accordingly.
    pub fn restore<'a>(&mut self, now: Duration, records: impl IntoIterator<Item = &'a Record>) {
        let actions = self.tuner.restore(now, records);
        self.perform(actions);
    }

    /// The decisions not yet taken.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.tuner.take_records()
    }

    /// The core, to look at.
    #[must_use]
    pub fn tuner(&self) -> &Tuner {
        &self.tuner
    }

    /// How often the program did not take a value or an action failed, and the last time's error.
    #[must_use]
    pub fn failures(&self) -> (u64, Option<&Error>) {
        (self.failures, self.last_failure.as_ref())
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            let done = match action {
                Action::Set { knob, value } => {
                    let handle = self.handles.get_mut(&knob);
                    let set = handle.map_or(Ok(()), |handle| (handle.set)(value));
                    set.map_err(|why| Error::apply(&knob, value, why))
                }
                Action::Split { knob, old, new, split } => {
                    let set = self.handles.get_mut(&knob).and_then(|handle| handle.set_split.as_mut());
                    let set = set.map_or(Ok(()), |set| set(old, new, split));
                    set.map_err(|why| Error::apply(&knob, new, why))
                }
                Action::Run(name) => {
                    let run = self.actions.get_mut(&name).map_or(Ok(()), |run| run());
                    run.map_err(|why| Error::apply(&name, 0.0, why))
                }
            };
            if let Err(error) = done {
                self.failures += 1;
                self.last_failure = Some(error);
            }
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("tuner", &self.tuner)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DriverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverBuilder").field("tuner", &self.tuner).finish_non_exhaustive()
    }
}
