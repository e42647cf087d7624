//! Runs a plan on threads of its own and says what became of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::client::{HostTicks, ThreadUse, peak_memory};
use crate::desk::Desk;
use crate::engine::Engine;
#[cfg(feature = "tls")]
use crate::engine::dial::Opened;
use crate::engine::dial::{Dialer, Plain};
use crate::engine::http1::Http1;
#[cfg(feature = "http2")]
use crate::engine::http2::Http2;
use crate::engine::tcp::Bytes;
#[cfg(feature = "tls")]
use crate::engine::tls::Tls;
#[cfg(feature = "websocket")]
use crate::engine::websocket::WebSockets;
use crate::error::Error;
use crate::lane::{Lane, Stage};
use crate::plan::{HttpVersion, Model, Plan};
use crate::probe::Probe;
use crate::recorder::{Moment, Recorder};
use crate::sample::round;
use crate::schedule::{Schedule, Source};
use crate::script::Script;
use crate::slice::Progress;
use crate::stop::StopWatch;
use crate::summary::{ClientUse, Ended, Summary};
use crate::tally::Tally;
use crate::target::{Endpoint, Scheme};
use crate::verdict::{Evidence, Verdict};

/// Ends a run from elsewhere: what is under way may end within the plan's drain time, and the summary says `cancelled`.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A handle that has not been used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the runs that were given this handle or a clone of it; they look at least four times a second.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody did.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs a plan to its end. It blocks: it starts `load.threads` threads, calls `progress` once a second from the calling
/// thread, and joins all before it returns.
///
/// # Errors
/// Only what makes the plan impossible to run, before the first request; what goes wrong later is in the summary.
pub fn run(plan: &Plan, progress: &mut dyn FnMut(&Progress<'_>), cancel: &Cancel) -> Result<Summary, Error> {
    plan.check()?;
    let endpoint = Endpoint::of(&plan.target)?;
    let script = Script::new(plan, &endpoint)?;
    let head = plan.limits.head as usize;
    let dialer = dialers(plan, &endpoint)?;
    let run = Run { plan, endpoint: &endpoint, progress, cancel };
    match (endpoint.scheme, plan.target.version, endpoint.tls) {
        (Scheme::Http, HttpVersion::Http1, false) => run.drive(script, || Plain {
            dialer: dialer(),
            wrap: Box::new(move |stream| Http1::new(stream, head)),
        }),
        (Scheme::Tcp, ..) => run.drive(script, || Plain { dialer: dialer(), wrap: Box::new(Bytes::new) }),
        #[cfg(feature = "tls")]
        (Scheme::Http, HttpVersion::Http1, true) => run.drive(script, || Opened {
            dialer: dialer(),
            wrap: Box::new(move |stream| Http1::new(stream, head)),
        }),
        #[cfg(feature = "http2")]
        (Scheme::Http, HttpVersion::Http2, tls) => run.drive(script, || Http2 {
            dialer: dialer(),
            streams: plan.load.streams,
            origin: format!("{}://{}", if tls { "https" } else { "http" }, endpoint.authority),
            newest: tokio::sync::Mutex::new(None),
        }),
        #[cfg(feature = "websocket")]
        (Scheme::Ws, ..) => run.drive(script, || WebSockets {
            dialer: dialer(),
            endpoint: endpoint.clone(),
            opened: AtomicU64::new(0),
        }),
        #[cfg(not(all(feature = "tls", feature = "http2", feature = "websocket")))]
        (scheme, version, _) => {
            let missing = match (scheme, version) {
                (Scheme::Ws, _) => "websocket",
                (_, HttpVersion::Http2) => "http2",
                _ => "tls",
            };
            Err(Error::feature(plan.target.url.clone(), missing))
        }
    }
}

/// What makes each thread its dialer.
fn dialers(plan: &Plan, endpoint: &Endpoint) -> Result<impl Fn() -> Dialer, Error> {
    let addresses = endpoint.addresses.clone();
    #[cfg(feature = "tls")]
    {
        let tls = Tls::new(&plan.target, endpoint)?;
        Ok(move || Dialer::new(addresses.clone()).with(tls.clone()))
    }
    #[cfg(not(feature = "tls"))]
    {
        if endpoint.tls {
            return Err(Error::feature(plan.target.url.clone(), "tls"));
        }
        Ok(move || Dialer::new(addresses.clone()))
    }
}

/// A run whose engine is known.
struct Run<'a> {
    plan: &'a Plan,
    endpoint: &'a Endpoint,
    progress: &'a mut dyn FnMut(&Progress<'_>),
    cancel: &'a Cancel,
}

/// The threads of a run and what they share with the one that counts.
struct Threads {
    stage: Arc<Stage>,
    desks: Vec<Arc<Mutex<Desk>>>,
    handles: Vec<JoinHandle<std::io::Result<ThreadUse>>>,
    /// All threads' counts of a second.
    sum: Tally,
    /// Empty, to be swapped for a thread's.
    spare: Tally,
}

/// How often the counting thread looks whether it is cancelled or all others have ended.
const LOOK: Duration = Duration::from_millis(50);

/// Longer than any preparation of connections.
const READY: Duration = Duration::from_secs(15);

impl Run<'_> {
    fn drive<E: Engine>(self, script: Script, engine: impl Fn() -> E) -> Result<Summary, Error> {
        let plan = self.plan;
        let source = Source::of(plan)?;
        let mut probe = Probe::new(&plan.server, self.endpoint, &plan.target)?;
        let mut recorder = Recorder::new(plan, &script)?;
        let mut watch = StopWatch::new(plan.stop.clone());
        let (main_before, ticks_before) = (ThreadUse::now(), HostTicks::now());
        let mut threads = Threads::start(plan, script, &source, engine)?;
        let (started, start) = threads.begin();

        let end_s = plan.duration().as_secs_f64();
        let (mut at_s, mut how) = (0.0, Ended::Finished);
        let (mut taken, mut lost) = (0u64, 0u64);
        loop {
            let is_drain = at_s >= end_s || how != Ended::Finished;
            let next_s = if at_s < end_s { (at_s.floor() + 1.0).min(end_s) } else { at_s + 1.0 };
            let over =
                threads.wait(start + Duration::from_secs_f64(next_s), self.cancel, how == Ended::Cancelled);
            let now_s = if over { start.elapsed().as_secs_f64().min(next_s) } else { next_s };
            let server = probe.as_mut().and_then(|probe| {
                taken += 1;
                let sample = probe.sample(now_s);
                lost += u64::from(sample.is_none());
                sample
            });
            let (in_flight, backlog) = threads.collect(Duration::from_secs_f64(now_s));
            let middle = Duration::from_secs_f64((at_s + now_s) / 2.0);
            let moment = Moment {
                at_s,
                width_s: now_s - at_s,
                level: if is_drain { 0.0 } else { threads.stage.users.level(middle) },
                in_flight,
                backlog,
                server,
                is_drain,
            };
            let slice = recorder.take(&mut threads.sum, &moment, plan);
            (self.progress)(&Progress {
                elapsed_s: now_s,
                planned_s: end_s,
                slice: &slice,
                totals: &recorder.totals,
                errors: &recorder.errors,
            });
            if over {
                at_s = now_s;
                break;
            }
            at_s = now_s;
            if how == Ended::Finished && at_s < end_s {
                if self.cancel.is_cancelled() {
                    how = Ended::Cancelled;
                } else if let Some(rule) = watch.push(&slice) {
                    how = Ended::Stopped { rule };
                }
                if how != Ended::Finished {
                    threads.halt(start, plan.load.drain);
                }
            }
        }

        let stage = Arc::clone(&threads.stage);
        let used = threads.join()?;
        let main_used = ThreadUse::now().since(main_before);
        let (_, steal_share) = HostTicks::now().shares(ticks_before);
        let client = ClientUse {
            cpu_s: round((used.cpu_ns + main_used.cpu_ns) as f64 / 1e9),
            memory_bytes: peak_memory(),
            waited_share: round(used.waited_ns as f64 / 1e9 / (at_s.max(1e-9) * plan.load.threads as f64)),
            steal_share: round(steal_share),
        };
        let counted_s = recorder.finish();
        let late = recorder.times.late.percentiles();
        let verdict = Verdict::of(
            &Evidence {
                totals: &recorder.totals,
                errors: &recorder.errors,
                late: &late,
                steal: steal_share,
                samples: (taken, lost),
            },
            &plan.limits,
        );
        let mut summary = Summary {
            version: Summary::VERSION,
            name: plan.name.clone(),
            started_unix_ms: started,
            elapsed_s: round(at_s),
            counted_s,
            ended: how,
            verdict,
            thresholds: Vec::new(),
            totals: recorder.totals,
            errors: recorder.errors,
            response: recorder.times.response.percentiles(),
            service: recorder.times.service.percentiles(),
            lag: recorder.times.lag.percentiles(),
            late,
            connect: recorder.times.connect.percentiles(),
            delivery: recorder.times.delivery.percentiles(),
            response_curve: recorder.times.response.curve(),
            steps: recorder.steps(&stage.script),
            levels: recorder.levels(plan),
            slices: std::mem::take(&mut recorder.slices),
            server: std::mem::take(&mut recorder.samples),
            client,
            unrecorded: recorder.unrecorded.take(),
            plan: plan.clone(),
        };
        summary.thresholds = plan.pass.judge(&summary);
        Ok(summary)
    }
}

impl Threads {
    /// Starts all threads and waits until their connections stand.
    fn start<E: Engine>(
        plan: &Plan,
        script: Script,
        source: &Source,
        engine: impl Fn() -> E,
    ) -> Result<Self, Error> {
        let steps = script.steps();
        let end_ns = plan.duration().as_nanos() as u64;
        let users = plan.load.shape.curve()?;
        let all = match plan.model() {
            Model::Open => plan.load.connections,
            Model::Closed => users.peak().round() as usize,
        };
        let count = plan.load.threads.min(all).max(1);
        let mut load = plan.load.clone();
        load.threads = count;
        load.model = plan.model();
        let stage = Arc::new(Stage {
            script,
            load,
            users,
            subscribe: plan.subscribe.clone(),
            message_limit: plan.limits.body,
            end_ns,
            last_ns: AtomicU64::new(end_ns + plan.load.drain.as_nanos() as u64),
            halted: AtomicBool::new(false),
            start: watch::Sender::new(None),
        });
        let (ready, all_ready) = mpsc::channel();
        let (mut desks, mut handles) = (Vec::new(), Vec::new());
        for thread in 0..count {
            let seats = all / count + usize::from(thread < all % count);
            let schedule = Schedule::new(source.clone(), thread, count);
            let desk = Arc::new(Mutex::new(Desk::new(schedule, seats, Tally::new(steps))));
            desks.push(Arc::clone(&desk));
            let lane = Lane { stage: Arc::clone(&stage), engine: engine(), desk, thread, seats };
            let ready = ready.clone();
            let builder = std::thread::Builder::new().name(format!("load-{thread}"));
            let handle = builder.spawn(move || lane.run(&ready));
            handles.push(handle.map_err(|error| Error::system("start a thread", error))?);
        }
        // With the last sender gone, a thread that failed to start ends the wait.
        drop(ready);
        let until = Instant::now() + READY;
        for _ in 0..count {
            _ = all_ready.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
        Ok(Self { stage, desks, handles, sum: Tally::new(steps), spare: Tally::new(steps) })
    }

    /// Sets the moment 0 and gives it, with the wall clock's milliseconds.
    fn begin(&self) -> (u64, Instant) {
        let start = Instant::now() + Duration::from_millis(2);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.stage.start.send_replace(Some(start));
        (wall.as_millis() as u64, start)
    }

    /// Waits until a moment, or less when the run is cancelled; true when all threads have ended.
    fn wait(&self, until: Instant, cancel: &Cancel, cancelled: bool) -> bool {
        loop {
            if self.handles.iter().all(JoinHandle::is_finished) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            if !cancelled && cancel.is_cancelled() {
                self.stage.halted.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// Takes what all threads counted into `sum`, and gives what is under way and what waits.
    fn collect(&mut self, now: Duration) -> (u64, u64) {
        self.sum.clear();
        let (mut in_flight, mut first_waiting) = (0, u64::MAX);
        for desk in &self.desks {
            {
                let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
                in_flight += desk.busy();
                if let Some(arrival) = desk.waiting_since(now.as_nanos() as u64) {
                    first_waiting = first_waiting.min(arrival.number);
                }
                std::mem::swap(&mut desk.tally, &mut self.spare);
            }
            self.sum.add(&self.spare);
            self.spare.clear();
        }
        let due = self.stage.users.arrivals(now.min(Duration::from_nanos(self.stage.end_ns)));
        (in_flight, (due as u64).saturating_sub(first_waiting))
    }

    /// Ends the run early: nothing new is begun, what is under way has the drain's time.
    fn halt(&self, start: Instant, drain: Duration) {
        let last = start.elapsed() + drain;
        self.stage.last_ns.store(last.as_nanos() as u64, Ordering::Relaxed);
        self.stage.halted.store(true, Ordering::Relaxed);
    }

    fn join(self) -> Result<ThreadUse, Error> {
        let mut sum = ThreadUse::default();
        for handle in self.handles {
            let used = match handle.join() {
                Ok(used) => used.map_err(|error| Error::system("pace a thread", error))?,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            sum.cpu_ns += used.cpu_ns;
            sum.waited_ns += used.waited_ns;
        }
        Ok(sum)
    }
}
