//! What a rule sees in a round: one value a series, or one a group, as a level or as growth per second.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::matcher::{Labels, like};
use super::rule::{Fold, Kind, Rule};
use crate::series::{self, Reading, Series};

/// Points that one meter keeps for a window.
const POINTS: usize = 128;

/// Meters that nobody read for so many rounds of their target are forgotten.
const FORGOTTEN: u32 = 100;

/// Totals and how fast they grow, for the rules that look at growth. Bounded.
#[derive(Debug, Default)]
pub(super) struct Meters {
    meters: HashMap<(usize, Arc<Series>), Meter>,
}

#[derive(Debug, Default)]
struct Meter {
    last: f64,
    /// Adds up over restarts of the counter.
    total: f64,
    points: VecDeque<(i64, f64)>,
    unread: u32,
}

/// The readings of a round that some rule asks for, by name.
pub(super) struct Asked<'a> {
    by_name: HashMap<&'a str, Vec<&'a Reading>>,
}

impl<'a> Asked<'a> {
    /// Looks at every reading once.
    pub(super) fn of(readings: impl Iterator<Item = &'a Reading>, names: &HashMap<String, ()>) -> Self {
        let mut by_name: HashMap<&str, Vec<&Reading>> = HashMap::new();
        for reading in readings {
            if names.contains_key(&*reading.series.name) {
                by_name.entry(&reading.series.name).or_default().push(reading);
            }
        }
        Self { by_name }
    }

    fn named(&self, name: &str) -> &[&'a Reading] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether any series is there that the rule means.
    pub(super) fn has(&self, rule: &Rule) -> bool {
        self.named(&rule.metric).iter().any(|reading| is_meant(rule, &reading.series))
    }
}

impl Meters {
    /// The rule's values in this round, each with the labels it stands for.
    pub(super) fn values(
        &mut self,
        at: usize,
        rule: &Rule,
        asked: &Asked<'_>,
        now_ms: i64,
        bound: usize,
    ) -> Vec<(Labels, f64)> {
        let top = self.levels(at, rule, asked.named(&rule.metric), now_ms, bound);
        let top = fold(rule, top);
        let Some(per) = &rule.per else {
            return top.into_iter().map(|(labels, all)| (labels, rule.fold.of(&all))).collect();
        };
        let below = fold(rule, self.levels(at, rule, asked.named(per), now_ms, bound));
        let share = |(labels, all): (Labels, Vec<f64>)| {
            let part = rule.fold.of(&all);
            let whole = below.get(&labels).map(|all| rule.fold.of(all)).filter(|whole| *whole > 0.0)?;
            Some((labels, rule.scale.unwrap_or(100.0) * part / whole))
        };
        top.into_iter().filter_map(share).collect()
    }

    fn levels<'a>(
        &mut self,
        at: usize,
        rule: &Rule,
        readings: &[&'a Reading],
        now_ms: i64,
        bound: usize,
    ) -> Vec<(&'a Series, f64)> {
        let meant = readings.iter().filter(|reading| is_meant(rule, &reading.series));
        let level = |reading: &&'a Reading| {
            let series = &*reading.series;
            let grows = rule.kind == Kind::Rate
                || rule.kind == Kind::Degradation && series.kind == series::Kind::Counter;
            if !grows {
                return Some((series, reading.value));
            }
            let key = (at, Arc::clone(&reading.series));
            if self.meters.len() >= bound && !self.meters.contains_key(&key) {
                return None;
            }
            let meter = self.meters.entry(key).or_default();
            meter.unread = 0;
            meter.read(now_ms, reading.value, rule.window).map(|rate| (series, rate))
        };
        meant.filter_map(level).collect()
    }

    /// One round of a target is over: what it no longer tells is forgotten in time.
    pub(super) fn age(&mut self, target: &str) {
        self.meters.retain(|(_, series), meter| {
            if &*series.target == target {
                meter.unread += 1;
            }
            meter.unread <= FORGOTTEN
        });
    }
}

impl Meter {
    /// Growth per second; none at the first reading.
    fn read(&mut self, now_ms: i64, value: f64, window: Option<Duration>) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        if let Some((latest, _)) = self.points.back() {
            if now_ms <= *latest {
                return None;
            }
            // A total that falls began anew at zero.
            self.total += if value >= self.last { value - self.last } else { value.max(0.0) };
        }
        self.last = value;
        self.points.push_back((now_ms, self.total));
        let span_ms = window.map_or(0, |window| i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
        // The point at the window's edge or just before it stays: the rate is over at least the window once that is there.
        while self.points.len() > 2 && (now_ms - self.points[1].0 >= span_ms || self.points.len() > POINTS) {
            self.points.pop_front();
        }
        let (from_ms, from) = *self.points.front()?;
        (now_ms > from_ms).then(|| (self.total - from) * 1000.0 / (now_ms - from_ms) as f64)
    }
}

/// Whether the rule means this series.
fn is_meant(rule: &Rule, series: &Series) -> bool {
    rule.labels.iter().all(|(name, value)| like(value, series.label(name).unwrap_or("")))
}

fn fold(rule: &Rule, values: Vec<(&Series, f64)>) -> BTreeMap<Labels, Vec<f64>> {
    let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for (series, value) in values {
        let wanted = |name: &str| rule.fold == Fold::Each || rule.by.iter().any(|by| by == name);
        let labels = series.labels.iter().filter(|(name, _)| wanted(name));
        let labels = labels.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        groups.entry(labels).or_default().push(value);
    }
    groups
}

impl Fold {
    fn of(self, values: &[f64]) -> f64 {
        match self {
            Self::Each => values.first().copied().unwrap_or(f64::NAN),
            Self::Sum => values.iter().sum(),
            Self::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Mean => values.iter().sum::<f64>() / values.len().max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Round;

    type Pairs<'a> = &'a [(&'a str, &'a str)];
    type Told<'a> = (&'a str, Pairs<'a>, f64);

    fn asked(values: &[Told<'_>]) -> Round {
        let target: Arc<str> = "t".into();
        let reading = |(name, labels, value): &Told<'_>| Reading {
            series: Arc::new(Series::new(&target, name, labels, series::Kind::Counter)),
            value: *value,
        };
        let readings = values.iter().map(reading).collect();
        Round { target: Arc::clone(&target), at_ms: 0, took: Duration::ZERO, error: None, readings }
    }

    fn one(meters: &mut Meters, rule: &Rule, now_ms: i64, values: &[Told<'_>]) -> Vec<(Labels, f64)> {
        let names = [&rule.metric].into_iter().chain(&rule.per).map(|name| (name.clone(), ())).collect();
        let round = asked(values);
        meters.values(0, rule, &Asked::of(round.readings.iter(), &names), now_ms, 100)
    }

    #[test]
    fn a_total_that_falls_began_anew() {
        let rule = Rule { kind: Kind::Rate, ..Rule::above("r", "n", 0.0) };
        let mut meters = Meters::default();
        assert!(one(&mut meters, &rule, 0, &[("n", &[], 100.0)]).is_empty());
        assert_eq!(one(&mut meters, &rule, 1000, &[("n", &[], 110.0)])[0].1, 10.0);
        assert_eq!(one(&mut meters, &rule, 2000, &[("n", &[], 4.0)])[0].1, 4.0);
    }

    #[test]
    fn a_window_looks_back_at_least_that_far_and_keeps_few_points() {
        let rule =
            Rule { kind: Kind::Rate, window: Some(Duration::from_secs(10)), ..Rule::above("r", "n", 0.0) };
        let mut meters = Meters::default();
        for second in 0..1000_i64 {
            let total = if second < 990 { 0.0 } else { (second - 989) as f64 * 5.0 };
            let seen = one(&mut meters, &rule, second * 1000, &[("n", &[], total)]);
            if second == 994 {
                assert_eq!(seen[0].1, 2.5, "five seconds of ten");
            }
        }
        assert!(meters.meters.values().all(|meter| meter.points.len() <= POINTS));
        let rule = Rule { window: Some(Duration::from_secs(86_400)), ..rule };
        for second in 1000..3000_i64 {
            one(&mut meters, &rule, second * 1000, &[("n", &[], 0.0)]);
        }
        assert!(meters.meters.values().all(|meter| meter.points.len() <= POINTS + 1));
    }

    #[test]
    fn a_share_is_of_the_same_labels_or_of_the_group() {
        let (a, b): (Pairs<'_>, Pairs<'_>) = (&[("m", "a")], &[("m", "b")]);
        let values = [("e", a, 1.0), ("e", b, 3.0), ("r", a, 10.0), ("r", b, 10.0)];
        let each = Rule { per: Some("r".to_owned()), ..Rule::above("r", "e", 0.0) };
        let seen = one(&mut Meters::default(), &each, 0, &values);
        assert_eq!(seen.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [10.0, 30.0]);
        let all = Rule { fold: Fold::Sum, ..each };
        assert_eq!(one(&mut Meters::default(), &all, 0, &values), [(Labels::new(), 20.0)]);
        assert!(
            one(&mut Meters::default(), &all, 0, &[("e", a, 1.0), ("r", a, 0.0)]).is_empty(),
            "of nothing"
        );
    }

    #[test]
    fn meters_are_bounded_and_forgotten() {
        let rule = Rule { kind: Kind::Rate, ..Rule::above("r", "n", 0.0) };
        let mut meters = Meters::default();
        for series in 0..1000 {
            let label = series.to_string();
            one(&mut meters, &rule, 0, &[("n", &[("s", &label)], 1.0)]);
        }
        assert_eq!(meters.meters.len(), 100);
        (0..=FORGOTTEN).for_each(|_| meters.age("t"));
        assert!(meters.meters.is_empty());
    }
}
