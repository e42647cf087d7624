//! One thread of a run: its connections, its pacer, its users.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::client::ThreadUse;
use crate::cookies::Jar;
use crate::curve::Curve;
use crate::deadline::Deadline;
use crate::desk::{Desk, Pace, Turn, Work};
use crate::engine::{Engine, Link};
use crate::failure::Failure;
use crate::plan::{Load, Model};
use crate::scenario::Subscribe;
use crate::schedule::Arrival;
use crate::script::Script;
use crate::tally::Ended;
use crate::timer::Timer;

/// What all threads of a run share.
pub(crate) struct Stage {
    pub(crate) script: Script,
    pub(crate) load: Load,
    /// Users over time, in the closed model.
    pub(crate) users: Curve,
    /// Readers instead of requests.
    pub(crate) subscribe: Option<Subscribe>,
    /// The largest message that a reader takes.
    pub(crate) message_limit: u64,
    pub(crate) end_ns: u64,
    /// After this nothing is sent and nothing waited for; moved when a run ends early.
    pub(crate) last_ns: AtomicU64,
    /// The run ends early: nothing new is begun.
    pub(crate) halted: AtomicBool,
    /// The moment 0, once all threads are ready.
    pub(crate) start: watch::Sender<Option<Instant>>,
}

/// One thread's part.
pub(crate) struct Lane<E> {
    pub(crate) stage: Arc<Stage>,
    pub(crate) engine: E,
    pub(crate) desk: Arc<Mutex<Desk>>,
    pub(crate) thread: usize,
    /// Connections or users of this thread.
    pub(crate) seats: usize,
}

/// Connections that are set up at once before the start, so that no backlog overflows.
const DIALING: usize = 64;

/// How long setting them up may delay the start.
const PREPARATION: Duration = Duration::from_secs(10);

/// How often those who wait look whether the run ends early.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// A user whose connection was refused tries again after this.
pub(crate) const REFUSED: Duration = Duration::from_millis(10);

impl<E: Engine> Lane<E> {
    /// Runs to the end; says on `ready` when its connections stand.
    pub(crate) fn run(self, ready: &mpsc::Sender<()>) -> io::Result<ThreadUse> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let before = ThreadUse::now();
        let lane = Arc::new(self);
        runtime.block_on(async {
            match lane.stage.load.model {
                Model::Open => lane.open(ready).await,
                Model::Closed => lane.closed(ready).await,
            }
        })?;
        Ok(ThreadUse::now().since(before))
    }

    async fn open(self: &Arc<Self>, ready: &mpsc::Sender<()>) -> io::Result<()> {
        let mut timer = Timer::new()?;
        let (dialing, connected) = (Arc::new(Semaphore::new(DIALING)), Arc::new(Semaphore::new(0)));
        let mut seats = JoinSet::new();
        for seat in 0..self.seats {
            let (lane, dialing, connected) = (Arc::clone(self), Arc::clone(&dialing), Arc::clone(&connected));
            seats.spawn(async move {
                let mut user = User::new(&lane);
                {
                    let _permit = dialing.acquire().await;
                    user.link =
                        user.deadline.within(lane.limit(), lane.engine.connect()).await.and_then(Result::ok);
                }
                connected.add_permits(1);
                lane.serve(seat, user).await;
            });
        }
        let all = u32::try_from(self.seats).unwrap_or(u32::MAX);
        _ = tokio::time::timeout(PREPARATION, connected.acquire_many(all)).await;
        _ = ready.send(());
        let start = self.started().await;
        self.pace(start, &mut timer).await?;
        self.finish(start, seats).await;
        Ok(())
    }

    async fn closed(self: &Arc<Self>, ready: &mpsc::Sender<()>) -> io::Result<()> {
        let mut seats = JoinSet::new();
        for seat in 0..self.seats {
            let lane = Arc::clone(self);
            seats.spawn(async move {
                match &lane.stage.subscribe {
                    Some(subscribe) => lane.reader(seat, subscribe).await,
                    None => lane.user(seat).await,
                }
            });
        }
        _ = ready.send(());
        let start = self.started().await;
        while elapsed_ns(start) < self.stage.end_ns && !self.halted() {
            tokio::time::sleep(LOOK).await;
        }
        self.finish(start, seats).await;
        Ok(())
    }

    /// Waits for what is under way, as long as the drain lasts.
    async fn finish(&self, start: Instant, mut seats: JoinSet<()>) {
        self.desk().close();
        loop {
            let now = elapsed_ns(start);
            let left = self.stage.last_ns.load(Ordering::Relaxed).saturating_sub(now);
            // A little more, so that who gives up at the last moment can still say so.
            let left = Duration::from_nanos(left) + LOOK;
            match tokio::time::timeout(left.min(2 * LOOK), seats.join_next()).await {
                Ok(None) => return,
                Ok(Some(_)) => {}
                Err(_) if left <= LOOK => return seats.abort_all(),
                Err(_) => {}
            }
        }
    }

    /// Hands out arrivals when they are due, until the last or until the drain ends.
    async fn pace(&self, start: Instant, timer: &mut Timer) -> io::Result<()> {
        let quantum = self.quantum();
        let mut earliest = 0;
        loop {
            let now = elapsed_ns(start);
            let last = self.stage.last_ns.load(Ordering::Relaxed);
            if self.halted() || now >= last {
                break;
            }
            let pace = poll_fn(|cx| Poll::Ready(self.desk().pace(now, cx.waker()))).await;
            let look = now + LOOK.as_nanos() as u64;
            match pace {
                Pace::Exhausted => break,
                Pace::At(due) => {
                    let at = due.max(earliest).min(look).min(last);
                    timer.until(start + Duration::from_nanos(at)).await?;
                    earliest = elapsed_ns(start) + quantum;
                }
                Pace::Full => {
                    let mut polled = false;
                    let free = poll_fn(|_| {
                        if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
                    });
                    _ = tokio::time::timeout_at((start + Duration::from_nanos(look.min(last))).into(), free)
                        .await;
                }
            }
        }
        if !self.halted() {
            self.desk().give_up(elapsed_ns(start).min(self.stage.end_ns));
        }
        Ok(())
    }

    /// One connection of the open model.
    async fn serve(self: &Arc<Self>, seat: usize, mut user: User<E::Link>) {
        let start = self.started().await;
        let mut now = elapsed_ns(start);
        loop {
            let mut waits = false;
            let turn = poll_fn(|cx| match self.desk().ask(seat, now, waits, cx.waker()) {
                Turn::Wait => {
                    waits = true;
                    Poll::Pending
                }
                turn => Poll::Ready(turn),
            });
            let Turn::Work(work) = turn.await else { return };
            // A new arrival is a new user.
            if self.stage.script.steps() > 1 {
                user.forget();
            }
            let now_or_sent = if waits { elapsed_ns(start) } else { now };
            self.iterate(start, &mut user, work, now_or_sent).await;
            self.desk().done();
            now = user.done_ns;
        }
    }

    /// One user of the closed model.
    async fn user(self: &Arc<Self>, seat: usize) {
        let start = self.started().await;
        let mut user = User::new(self);
        let number = self.thread + seat * self.stage.load.threads;
        let (mut rounds, mut now) = (0u64, elapsed_ns(start));
        loop {
            if self.halted() || now >= self.stage.end_ns {
                return;
            }
            if !self.is_active(number, now) {
                tokio::time::sleep(LOOK / 5).await;
                now = elapsed_ns(start);
                continue;
            }
            // Numbers of different users never meet.
            let number = (rounds << 24) | number as u64;
            rounds += 1;
            let work = Work { arrival: Arrival { number, due_ns: now }, free_ns: now };
            let connected = self.iterate(start, &mut user, work, now).await;
            let think = self.stage.load.think;
            now = self.pause(start, user.done_ns, if connected { think } else { think.max(REFUSED) }).await;
        }
    }

    pub(crate) fn is_active(&self, user: usize, now_ns: u64) -> bool {
        let spawn_rate = self.stage.load.spawn_rate;
        let spawned = spawn_rate <= 0.0 || (user as f64) < (now_ns as f64 / 1e9 * spawn_rate).floor() + 1.0;
        spawned && (user as f64) + 0.5 < self.stage.users.level(Duration::from_nanos(now_ns)).round()
    }

    /// Runs a scenario from `now` on, and leaves in the user when it was done; false when there was no connection for it.
    async fn iterate(&self, start: Instant, user: &mut User<E::Link>, work: Work, now: u64) -> bool {
        let script = &self.stage.script;
        let scenario = script.scenario(work.arrival.number);
        let scheduled = self.stage.load.model == Model::Open;
        let (mut due_ns, mut free_ns, mut sent_ns) = (work.arrival.due_ns, work.free_ns, now);
        for (n, ask) in scenario.steps.iter().enumerate() {
            let step = scenario.first + n;
            if !user.is_connected(sent_ns) || !self.stage.load.keep_alive {
                user.link = None;
                let begun = sent_ns;
                match self.connect(start, user).await {
                    Ok(link) => user.link = Some(link),
                    Err(failure) => {
                        self.desk().tally.unconnected(step, failure);
                        user.done_ns = elapsed_ns(start);
                        return false;
                    }
                }
                let connected = elapsed_ns(start);
                let mut desk = self.desk();
                desk.tally.connections += 1;
                desk.tally.times.connect.record(connected - begun);
                (free_ns, sent_ns) = (connected, connected);
            }
            let Some(link) = user.link.as_mut() else { return false };
            let limit = start + Duration::from_nanos(self.limit_ns(sent_ns));
            let values = script.values(work.arrival.number, Duration::from_nanos(due_ns), &user.extracted);
            user.answer.clear();
            let exchange = link.exchange(ask, &values, &user.jar, &mut user.answer);
            let result = user.deadline.within(limit.into(), exchange).await.unwrap_or(Err(Failure::Timeout));
            let done_ns = elapsed_ns(start);
            user.done_ns = done_ns;
            let result = result.and_then(|()| ask.inspection.look(&user.answer, &mut user.extracted));
            let failure = result.err();
            let ended = Ended {
                due_ns: if n == 0 { due_ns } else { sent_ns },
                free_ns,
                sent_ns,
                done_ns,
                step,
                failure,
                bytes_out: user.answer.sent,
                bytes_in: user.answer.received,
                scheduled,
            };
            self.desk().tally.ended(&ended);
            if failure.is_some_and(|failure| !failure.answered()) {
                user.link = None;
            }
            if failure.is_some() {
                return true;
            }
            for line in &user.answer.cookies {
                user.jar.take(line);
            }
            sent_ns = self.pause(start, done_ns, ask.pause).await;
            user.done_ns = sent_ns;
            (due_ns, free_ns) = (sent_ns, 0);
        }
        true
    }

    pub(crate) async fn connect(&self, start: Instant, user: &mut User<E::Link>) -> Result<E::Link, Failure> {
        let limit = start + Duration::from_nanos(self.limit_ns(elapsed_ns(start)));
        user.deadline.within(limit.into(), self.engine.connect()).await.unwrap_or(Err(Failure::Connect))
    }

    /// Waits from `now` on, but not past the end of the run, and gives the time after it.
    async fn pause(&self, start: Instant, now: u64, length: Duration) -> u64 {
        let until = (now + length.as_nanos() as u64).min(self.stage.end_ns);
        let mut now = now;
        while now < until && !self.halted() {
            tokio::time::sleep(Duration::from_nanos(until - now).min(LOOK)).await;
            now = elapsed_ns(start);
        }
        now
    }

    /// When a request that is sent now has taken too long.
    fn limit_ns(&self, now_ns: u64) -> u64 {
        let timeout = now_ns + self.stage.load.timeout.as_nanos() as u64;
        timeout.min(self.stage.last_ns.load(Ordering::Relaxed).max(now_ns + 1))
    }

    /// The same before the start.
    fn limit(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.stage.load.timeout.min(PREPARATION)
    }

    fn quantum(&self) -> u64 {
        /// Above so many arrivals a second and thread, a wake-up for each costs more than it tells.
        const EXACT: f64 = 10_000.0;
        const COARSE: Duration = Duration::from_micros(100);
        let rate = self.stage.users.peak() / self.stage.load.threads as f64;
        let quantum = self.stage.load.quantum.unwrap_or(if rate > EXACT { COARSE } else { Duration::ZERO });
        quantum.as_nanos() as u64
    }

    pub(crate) fn halted(&self) -> bool {
        self.stage.halted.load(Ordering::Relaxed)
    }

    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn started(&self) -> Instant {
        let mut start = self.stage.start.subscribe();
        let start = start.wait_for(Option::is_some).await.ok().and_then(|start| *start);
        // The sender lives in the stage that is borrowed here.
        start.unwrap_or_else(Instant::now)
    }
}

/// What one connection or user carries along.
pub(crate) struct User<L> {
    link: Option<L>,
    jar: Jar,
    extracted: Vec<String>,
    pub(crate) answer: Answer,
    pub(crate) deadline: Deadline,
    /// When its last request was done.
    done_ns: u64,
}

/// A connection that was used so short a time ago is not looked at again.
const FRESH_NS: u64 = 1_000_000;

impl<L: Link> User<L> {
    pub(crate) fn new<E>(lane: &Lane<E>) -> Self {
        Self {
            link: None,
            jar: Jar::default(),
            extracted: vec![String::new(); lane.stage.script.extracted],
            answer: Answer::default(),
            deadline: Deadline::new(),
            done_ns: 0,
        }
    }

    /// Whether its connection can be used; one that a peer has closed meanwhile cannot.
    fn is_connected(&mut self, now_ns: u64) -> bool {
        let fresh = now_ns.saturating_sub(self.done_ns) < FRESH_NS;
        self.link.as_mut().is_some_and(|link| link.keeps() && (fresh || link.is_silent()))
    }

    fn forget(&mut self) {
        self.jar.clear();
        self.extracted.iter_mut().for_each(String::clear);
    }
}

/// Nanoseconds since the start; 0 before it.
pub(crate) fn elapsed_ns(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}
