//! How far the work is: a bar on a terminal, a plain line now and then elsewhere, nothing when asked.

mod line;
mod rate;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::logs::Redactor;
use line::Line;
use rate::Rate;

/// How progress is shown, on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Style {
    /// A bar that is drawn over.
    Bar,
    /// A line each so often, and one at the end.
    Plain {
        /// At least this long between two lines.
        every: Duration,
    },
    /// Nothing.
    Silent,
}

impl Style {
    /// A bar when stderr is a terminal, else a line every 10 s.
    pub fn auto() -> Self {
        if io::stderr().is_terminal() { Self::Bar } else { Self::Plain { every: Duration::from_secs(10) } }
    }
}

/// A progress display. Updates may come as often as they like; what is drawn is bounded (bar: 10 a second).
pub struct Progress {
    total: u64,
    shown: Mutex<Shown>,
    redactor: Redactor,
}

struct Shown {
    started: Instant,
    rate: Rate,
    target: Target,
}

enum Target {
    Bar(ProgressBar),
    Plain { every: Duration, next: Option<Instant>, to: Box<dyn Write + Send> },
    Silent,
}

impl Progress {
    /// Progress towards `total` pieces, on stderr.
    pub fn new(total: u64, style: Style) -> Self {
        let target = match style {
            Style::Silent => Target::Silent,
            Style::Plain { every } => Target::Plain { every, next: None, to: Box::new(io::stderr()) },
            Style::Bar => Target::Bar(bar(total)),
        };
        Self::with(total, target, Instant::now())
    }

    /// Plain lines to a writer of the caller's.
    pub fn plain(total: u64, every: Duration, to: impl Write + Send + 'static) -> Self {
        Self::with(total, Target::Plain { every, next: None, to: Box::new(to) }, Instant::now())
    }

    fn with(total: u64, target: Target, started: Instant) -> Self {
        let shown = Shown { started, rate: Rate::default(), target };
        Self { total, shown: Mutex::new(shown), redactor: Redactor::default() }
    }

    /// Masks the redactor's secrets in every field; logs of the same redactor stand above the bar until it is finished.
    #[must_use]
    pub fn redacted(mut self, redactor: Redactor) -> Self {
        if let Target::Bar(bar) = &self.lock().target {
            redactor.screen().set_bar(Some(bar.clone()));
        }
        self.redactor = redactor;
        self
    }

    /// `done` pieces are ready. `fields` are shown as `name value`; `eta` is the caller's, who knows the quotas.
    pub fn update(&self, done: u64, fields: &[(&str, &dyn Display)], eta: Option<Duration>) {
        self.draw(done, fields, eta, Instant::now(), false);
    }

    /// The last state: drawn whatever the time, the bar left standing.
    pub fn finish(&self, done: u64, fields: &[(&str, &dyn Display)]) {
        self.draw(done, fields, None, Instant::now(), true);
    }

    /// Runs `print` with the bar out of the way, so that what it prints to the terminal stands above.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        let bar = match &self.lock().target {
            Target::Bar(bar) => Some(bar.clone()),
            Target::Plain { .. } | Target::Silent => None,
        };
        match bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn draw(
        &self,
        done: u64,
        fields: &[(&str, &dyn Display)],
        eta: Option<Duration>,
        now: Instant,
        last: bool,
    ) {
        let mut shown = self.lock();
        let Shown { started, rate, target } = &mut *shown;
        let elapsed = now.saturating_duration_since(*started);
        rate.record(elapsed, done);
        let per_minute = if last { rate::overall(elapsed, done) } else { rate.per_minute() };
        let line = || {
            let line = Line { done, total: self.total, per_minute, elapsed, eta, fields };
            self.redactor.redact(&line.to_string()).into_owned()
        };
        match target {
            Target::Silent => {}
            Target::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(line());
                if last {
                    bar.abandon();
                    self.redactor.screen().set_bar(None);
                }
            }
            Target::Plain { every, next, to } => {
                if last || next.is_none_or(|next| now >= next) {
                    *next = Some(now + *every);
                    // A display that cannot be written to must not stop the work.
                    writeln!(to, "{}", line()).and_then(|()| to.flush()).ok();
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template("[{bar:28}] {percent:>3}% {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

#[cfg(test)]
mod tests;
