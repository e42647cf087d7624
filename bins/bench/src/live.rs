//! The run while it runs: four lines drawn over on a terminal, a plain line now and then elsewhere.

use std::io::{self, Write};

use tidemill_load::Progress;

use crate::report::{bytes, milliseconds, number};
use crate::surroundings::Surroundings;

/// Seconds between two plain lines.
const EVERY_S: f64 = 5.0;
const BAR: usize = 30;

/// Shows progress on standard error.
#[derive(Debug)]
pub struct Live {
    style: Style,
    /// What is being run, when it is one of several.
    title: String,
    drawn: usize,
    next_s: f64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Style {
    Drawn,
    Plain,
    Silent,
}

impl Live {
    /// As the screen allows.
    #[must_use]
    pub fn new(surroundings: &Surroundings) -> Self {
        let style = match (surroundings.quiet, surroundings.draws()) {
            (true, _) => Style::Silent,
            (_, true) => Style::Drawn,
            _ => Style::Plain,
        };
        Self { style, title: String::new(), drawn: 0, next_s: 0.0 }
    }

    /// Names what is run from now on.
    pub fn title(&mut self, title: impl Into<String>) {
        self.title = title.into();
        self.next_s = 0.0;
    }

    /// Shows where a run stands.
    pub fn show(&mut self, progress: &Progress<'_>) {
        match self.style {
            Style::Silent => {}
            Style::Drawn => self.draw(&lines(&self.title, progress)),
            Style::Plain if progress.elapsed_s >= self.next_s => {
                self.next_s = progress.elapsed_s + EVERY_S;
                say(&(plain(&self.title, progress) + "\n"));
            }
            Style::Plain => {}
        }
    }

    /// A step of something that takes many: turns, probes.
    pub fn step(&mut self, done: usize, total: usize, left_s: f64, what: &str) {
        match self.style {
            Style::Silent => {}
            Style::Drawn => {
                let share = done as f64 / total.max(1) as f64;
                self.draw(&[format!("{} {done}/{total}  eta {}  {what}", bar(share), clock(left_s))]);
            }
            Style::Plain => say(&format!("{done}/{total}  eta {}  {what}\n", clock(left_s))),
        }
    }

    /// Takes the drawing away, so that the report stands alone.
    pub fn clear(&mut self) {
        self.draw(&[]);
    }

    fn draw(&mut self, lines: &[String]) {
        if self.style != Style::Drawn {
            return;
        }
        let mut text = String::new();
        if self.drawn > 0 {
            text += &format!("\u{1b}[{}A", self.drawn);
        }
        text += "\r\u{1b}[J";
        lines.iter().for_each(|line| text += &format!("{line}\n"));
        self.drawn = lines.len();
        say(&text);
    }
}

fn say(text: &str) {
    // A display that cannot be written to must not stop the run.
    io::stderr().write_all(text.as_bytes()).ok();
}

fn lines(title: &str, progress: &Progress<'_>) -> Vec<String> {
    let (slice, totals) = (progress.slice, progress.totals);
    let share = progress.elapsed_s / progress.planned_s.max(1e-9);
    let response = &slice.response;
    let failed: Vec<String> = progress
        .errors
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let head = if title.is_empty() { String::new() } else { format!("{title}  ") };
    vec![
        format!("{head}{} {}", bar(share), timing(progress)),
        format!(
            "  now       {} a second, level {}, {} in flight",
            number(rate(progress)),
            number(slice.level),
            slice.in_flight
        ),
        format!(
            "  response  p50 {}  p90 {}  p99 {}  max {}   lag p99 {}",
            milliseconds(response.p50_us / 1e3),
            milliseconds(response.p90_us / 1e3),
            milliseconds(response.p99_us / 1e3),
            milliseconds(response.max_us / 1e3),
            milliseconds(slice.lag.p99_us / 1e3)
        ),
        format!(
            "  so far    {} good of {}, {} received, errors {}",
            totals.ok,
            totals.ended,
            bytes(totals.bytes_in),
            if failed.is_empty() { "none".to_owned() } else { failed.join(", ") }
        ),
    ]
}

fn plain(title: &str, progress: &Progress<'_>) -> String {
    let response = &progress.slice.response;
    let head = if title.is_empty() { String::new() } else { format!("{title}  ") };
    format!(
        "{head}{}  {} a second  p50 {}  p99 {}  errors {}",
        timing(progress),
        number(rate(progress)),
        milliseconds(response.p50_us / 1e3),
        milliseconds(response.p99_us / 1e3),
        progress.errors.total()
    )
}

fn rate(progress: &Progress<'_>) -> f64 {
    progress.slice.ended as f64 / progress.slice.width_s.max(1e-9)
}

fn timing(progress: &Progress<'_>) -> String {
    let left = (progress.planned_s - progress.elapsed_s).max(0.0);
    let warming = if progress.slice.warm_up { "  warm-up" } else { "" };
    format!("{} of {}  eta {}{warming}", clock(progress.elapsed_s), clock(progress.planned_s), clock(left))
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("[{}{}] {:>3.0} %", "=".repeat(full), " ".repeat(BAR - full), 100.0 * share.clamp(0.0, 1.0))
}

/// `m:ss`, from an hour on `h:mm:ss`.
fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole / 3600 {
        0 => format!("{}:{:02}", whole / 60, whole % 60),
        hours => format!("{hours}:{:02}:{:02}", whole / 60 % 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use tidemill_load::{Errors, Slice, Totals};

    use super::*;

    #[test]
    fn a_second_of_a_run_is_four_lines_or_one() {
        let slice = Slice { width_s: 1.0, ended: 250, level: 250.0, ..Slice::default() };
        let errors = Errors { timeout: 3, ..Errors::default() };
        let totals = Totals { ok: 747, ended: 750, ..Totals::default() };
        let progress =
            Progress { elapsed_s: 3.0, planned_s: 63.0, slice: &slice, totals: &totals, errors: &errors };
        let drawn = lines("", &progress);
        assert_eq!(drawn.len(), 4);
        assert!(drawn[0].contains("0:03 of 1:03  eta 1:00") && drawn[0].contains("5 %"), "{}", drawn[0]);
        assert!(drawn[3].contains("747 good of 750") && drawn[3].contains("timeout 3"), "{}", drawn[3]);
        assert!(plain("turn 3", &progress).starts_with("turn 3  0:03 of 1:03"));
        assert_eq!([0.0, 59.6, 3661.0].map(clock), ["0:00", "1:00", "1:01:01"]);
    }
}
