//! `/metrics`: the monitor's own numbers, and what it measures itself: this host, custom and business metrics, probes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tidemill_metrics::{Collected, Counter, Family, Gauge, Histogram, Registry};

use crate::current::Current;
use crate::history::History;
use crate::series::{Kind, Round, Series};
use crate::web::Hub;
use crate::{alert, tune};

/// What is counted of the monitor's work.
#[derive(Clone, Debug)]
pub struct Meters {
    registry: Registry,
    rounds: Arc<Family<Counter>>,
    seconds: Arc<Family<Histogram>>,
    up: Arc<Family<Gauge>>,
    missed: Counter,
}

impl Meters {
    /// Registers everything. `ours` are the targets whose values are exposed again: those that nobody else exposes.
    ///
    /// # Errors
    /// None that a test would not show: the names are fixed.
    pub fn new(current: &Current, history: &History, ours: Vec<Arc<str>>) -> Result<Self> {
        let registry = Registry::new();
        let name = |name: &str| format!("tidemill_monitor_{name}");
        let rounds = registry.counter(&name("rounds_total"), "Times a target was asked, by outcome.");
        let seconds = registry.histogram(&name("round_duration_seconds"), "Time a target took to answer.");
        let up = registry.gauge(&name("target_up"), "Whether a target answered last.");
        let missed = registry
            .counter(&name("rounds_missed_total"), "Rounds that were told faster than they were taken.")
            .get()?;
        let (own, seen) = (history.clone(), current.clone());
        registry.collect_from(move |out: &mut Collected<'_>| {
            let stats = own.stats();
            let total = |out: &mut Collected<'_>, name: &str, help: &str, value: u64| {
                out.counter(&format!("tidemill_monitor_history_{name}"), help, &[], value as f64)
            };
            out.gauge("tidemill_monitor_history_series", "Series in memory.", &[], stats.series as f64)?;
            total(out, "values_total", "Values taken.", stats.values)?;
            total(out, "late_total", "Values that came too late.", stats.late)?;
            total(out, "refused_total", "Values without room for their series.", stats.refused)?;
            total(out, "dropped_total", "Rounds that the disk was too slow for.", stats.dropped)?;
            total(out, "failed_total", "Commits and publishes that failed.", stats.failed)?;
            for target in &ours {
                seen.each(target, |series, value, _| {
                    // A name that clashes is left out; the others are told.
                    let help = seen.help(&series.name).unwrap_or("As the monitor measures it.");
                    again(out, series, help, value).ok();
                });
            }
            Ok(())
        });
        let (rounds, seconds, up) = (Arc::new(rounds), Arc::new(seconds), Arc::new(up));
        Ok(Self { registry, rounds, seconds, up, missed })
    }

    /// Tells of alerts, of tuning and of who watches the page too, once they are there.
    pub fn tell_of(&self, hub: &Hub, alerts: alert::Handle, tuning: tune::Handle) {
        let hub = hub.clone();
        self.registry.collect_from(move |out: &mut Collected<'_>| {
            let name = |name: &str| format!("tidemill_monitor_{name}");
            let live = hub.stats();
            out.gauge(&name("live_clients"), "Pages that are open.", &[], live.open as f64)?;
            for (what, help, value) in [
                ("live_clients_total", "Pages that were opened.", live.clients),
                ("live_refused_total", "Pages turned away at the bound.", live.refused),
                ("live_frames_total", "Messages sent to pages.", live.frames),
                ("live_left_out_total", "Values beyond the series of a page.", live.series_left_out),
            ] {
                out.counter(&name(what), help, &[], value as f64)?;
            }
            let counted = alerts.counted();
            out.gauge(&name("alerts_active"), "Alerts that fire.", &[], counted.active as f64)?;
            let help = "Notifications that were not delivered yet.";
            out.gauge(&name("notifications_waiting"), help, &[], counted.waiting as f64)?;
            for (what, help, value) in [
                ("alerts_fired_total", "Alerts that fired.", counted.stats.fired),
                ("alerts_resolved_total", "Alerts that were over.", counted.stats.resolved),
                ("alerts_dropped_total", "Series and alerts beyond a bound.", counted.stats.dropped),
                ("notifications_delivered_total", "Notifications delivered.", counted.delivered),
            ] {
                out.counter(&name(what), help, &[], value as f64)?;
            }
            for (kind, count) in alerts.errors() {
                let help = "What went wrong in the monitor itself, by kind.";
                out.counter(&name("errors_total"), help, &[("kind", kind)], count as f64)?;
            }
            for (target, steers, decisions) in tuning.counted() {
                let help = "Whether the monitor moves the knobs of a target.";
                let steers = f64::from(u8::from(steers));
                out.gauge(&name("tuning_steers"), help, &[("target", target)], steers)?;
                for (what, count) in decisions {
                    let help = "Decisions about the knobs of a target, by what they did.";
                    let labels = [("target", target), ("what", what)];
                    out.counter(&name("tuning_decisions_total"), help, &labels, count as f64)?;
                }
            }
            Ok(())
        });
    }

    /// Counts a round.
    pub fn take(&self, round: &Round) {
        let outcome = if round.is_up() { "answered" } else { "failed" };
        let target = [("target", &*round.target)];
        if let Ok(rounds) = self.rounds.with(&[("target", &*round.target), ("outcome", outcome)]) {
            rounds.inc();
        }
        if let Ok(seconds) = self.seconds.with(&target) {
            seconds.observe(round.took.max(Duration::from_nanos(1)).as_secs_f64());
        }
        if let Ok(up) = self.up.with(&target) {
            up.set(f64::from(u8::from(round.is_up())));
        }
    }

    /// Counts rounds that a listener missed.
    pub fn missed(&self, rounds: u64) {
        self.missed.add(rounds);
    }

    /// All of it, as Prometheus reads it.
    #[must_use]
    pub fn expose(&self) -> String {
        self.registry.to_text()
    }
}

fn again(
    out: &mut Collected<'_>,
    series: &Series,
    help: &str,
    value: f64,
) -> Result<(), tidemill_metrics::Error> {
    let mut labels: Vec<(&str, &str)> =
        series.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    if series.name.starts_with("probe_") {
        labels.push(("probe", &series.target));
    }
    match series.kind {
        Kind::Counter => out.counter(&series.name, help, &labels, value),
        _ => out.gauge(&series.name, help, &labels, value),
    }
}
