//! Questions about the past: which tier answers, and the answer thinned to as many points as a chart can show.

use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;

use super::History;
use super::tier::{self, Tier, id_of};
use super::track::{HOUR, MINUTE, Span, thinned};
use crate::series::{BySeries, Series};

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// Name of the metric.
    pub metric: String,
    /// Of this target alone; with a `!` before it, of all others.
    pub target: Option<String>,
    /// Only series with these labels.
    pub labels: Vec<(String, String)>,
    /// From then, in milliseconds since 1970.
    pub from_ms: i64,
    /// Up to then.
    pub to_ms: i64,
    /// At most so many points a series, and one more where the end is met.
    pub points: usize,
}

/// What was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// As asked.
    pub metric: String,
    /// As asked.
    pub from_ms: i64,
    /// As asked.
    pub to_ms: i64,
    /// Length of what one point covers.
    pub step_ms: i64,
    /// Which tier answered: `raw`, `minute` or `hour`.
    pub tier: &'static str,
    /// Whether there were more series than an answer takes.
    pub truncated: bool,
    /// One each, in the order of target and labels.
    pub series: Vec<Answered>,
}

/// One series. Of a counter the numbers are rates per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answered {
    /// Whose.
    #[serde(flatten)]
    pub series: Arc<Series>,
    /// Beginning of each point, in milliseconds since 1970.
    pub t: Vec<i64>,
    /// The least in it.
    pub min: Vec<f64>,
    /// The most in it.
    pub max: Vec<f64>,
    /// The mean of it.
    pub mean: Vec<f64>,
}

/// Whether a series' target is this one, or with a `!` before it another.
fn is_meant(asked: &str, target: &str) -> bool {
    match asked.strip_prefix('!') {
        Some(other) => other != target,
        None => asked == target,
    }
}

impl Question {
    fn wants(&self, series: &Series) -> bool {
        *self.metric == *series.name
            && self.target.as_ref().is_none_or(|target| is_meant(target, &series.target))
            && self.labels.iter().all(|(name, value)| series.label(name) == Some(value))
    }

    fn step_ms(&self) -> i64 {
        let points = i64::try_from(self.points.max(1)).unwrap_or(i64::MAX);
        (self.to_ms.saturating_sub(self.from_ms) / points).max(1)
    }
}

impl History {
    /// Answers. Blocks only where memory does not reach back far enough: call it off the async threads.
    ///
    /// # Errors
    /// What the disk said.
    pub fn ask(&self, question: &Question) -> Result<Answer> {
        let step_ms = question.step_ms();
        let tier = match step_ms {
            ..MINUTE => Tier::Raw,
            MINUTE..HOUR => Tier::Minute,
            _ => Tier::Hour,
        };
        let (tier, found, truncated) = match self.in_memory(question, tier) {
            Some((tier, found, truncated)) => (tier, found, truncated),
            None => {
                let (found, truncated) = self.on_disk(question, tier)?;
                (tier, found, truncated)
            }
        };
        let answered =
            |(series, spans): (Arc<Series>, Vec<Span>)| Answered::new(series, &spans, question, step_ms);
        let mut series: Vec<Answered> = found.into_iter().map(answered).collect();
        series.sort_by(|a, b| a.series.cmp(&b.series));
        let (from_ms, to_ms) = (question.from_ms, question.to_ms);
        let metric = question.metric.clone();
        Ok(Answer { metric, from_ms, to_ms, step_ms, tier: tier.name(), truncated, series })
    }

    /// The names of all metrics in memory, each once, with their targets.
    #[must_use]
    pub fn metrics(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let tracks = self.tracks();
        let mut names: Vec<_> = tracks
            .all
            .iter()
            .map(|(series, _)| (Arc::clone(&series.name), Arc::clone(&series.target)))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// `None` when memory does not reach back as far as the disk might. Values beyond memory are answered by minutes, if
    /// those reach.
    fn in_memory(&self, question: &Question, tier: Tier) -> Option<(Tier, Found, bool)> {
        let tracks = self.tracks();
        let wanted: Vec<_> = tracks.all.iter().filter(|(series, _)| question.wants(series)).collect();
        let most = self.shared.config.answer_series;
        let truncated = wanted.len() > most;
        let wanted = &wanted[..wanted.len().min(most)];
        let (from, to) = (question.from_ms, question.to_ms);
        // A series that began later than asked is whole where its first value is not the oldest a ring could hold.
        let values = wanted.iter().all(|(_, track)| track.holds_values(from));
        let minutes = wanted.iter().all(|(_, track)| track.holds_minutes(from));
        let spans = |of: &dyn Fn(&super::Track) -> Vec<Span>| -> Found {
            wanted.iter().map(|(series, track)| (Arc::clone(series), of(track))).collect()
        };
        match tier {
            Tier::Raw if values => Some((Tier::Raw, spans(&|track| track.values(from, to)), truncated)),
            Tier::Minute if minutes => Some((
                Tier::Minute,
                spans(&|track| track.minutes(from - from.rem_euclid(MINUTE), to)),
                truncated,
            )),
            _ => None,
        }
    }

    fn on_disk(&self, question: &Question, tier: Tier) -> Result<(Found, bool)> {
        let range = (question.from_ms, question.to_ms);
        let stores = self.shared.disk.within(tier, range.0, range.1)?;
        let mut wanted: Vec<Arc<Series>> = tier::series_in(&stores)?.into_values().collect();
        wanted.retain(|series| question.wants(series));
        let mut open: BySeries<Vec<Span>> = BySeries::default();
        // What is not over, or not an hour yet, is in memory alone.
        for (series, track) in self.tracks().all.iter().filter(|(series, _)| question.wants(series)) {
            let tail = match tier {
                Tier::Raw => Vec::new(),
                Tier::Minute => track.minute().into_iter().collect(),
                Tier::Hour => track.hour().or_else(|| track.minute()).into_iter().collect(),
            };
            open.insert(Arc::clone(series), tail);
            if !wanted.contains(series) {
                wanted.push(Arc::clone(series));
            }
        }
        wanted.sort();
        let most = self.shared.config.answer_series;
        let truncated = wanted.len() > most;
        wanted.truncate(most);
        let mut found = Found::new();
        for series in wanted {
            let mut totals: Vec<Span> = Vec::new();
            tier::read(tier, &stores, range, Some(id_of(&series).as_str()), |_, span| totals.push(span))?;
            let mut spans = match (tier, series.kind) {
                (Tier::Raw, crate::series::Kind::Counter) => rates(&totals),
                _ => totals,
            };
            let last = spans.last().map_or(i64::MIN, |span| span.start_ms);
            let tail = open.remove(&series).unwrap_or_default();
            let within = |span: &Span| span.start_ms > last && (range.0..=range.1).contains(&span.start_ms);
            spans.extend(tail.into_iter().filter(within));
            found.push((series, spans));
        }
        Ok((found, truncated))
    }
}

type Found = Vec<(Arc<Series>, Vec<Span>)>;

fn rates(totals: &[Span]) -> Vec<Span> {
    let rate = |pair: &[Span]| {
        let value = super::track::rate((pair[0].start_ms, pair[0].mean), (pair[1].start_ms, pair[1].mean));
        Span { start_ms: pair[1].start_ms, min: value, max: value, mean: value }
    };
    totals.windows(2).map(rate).collect()
}

impl Answered {
    fn new(series: Arc<Series>, spans: &[Span], question: &Question, step_ms: i64) -> Self {
        // Few enough are shown as they are, at their own times.
        let spans = match spans.len() <= question.points {
            true => spans.to_vec(),
            false => thinned(spans, question.from_ms, step_ms),
        };
        Self {
            series,
            t: spans.iter().map(|span| span.start_ms).collect(),
            min: spans.iter().map(|span| span.min).collect(),
            max: spans.iter().map(|span| span.max).collect(),
            mean: spans.iter().map(|span| span.mean).collect(),
        }
    }
}
