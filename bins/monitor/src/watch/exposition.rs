//! Reads what a Prometheus target exposes: the text format and OpenMetrics, within bounds.
//!
//! Buckets of a histogram become quantiles of what was observed since the round before, as `histogram_quantile` would
//! give them, and `NAME_mean`. Times that a target writes behind its values are ignored: it may lie about them.

use std::fmt;
use std::sync::Arc;

use super::intern::{Interner, Part, Role};
use super::line::{end_of_series, is_name, labels_of, name_of, number_of};
use crate::series::{BySeries, Kind, Reading, Series};

/// The quantiles that buckets become, and their labels.
pub const QUANTILES: [(f64, &str); 4] = [(0.5, "0.5"), (0.9, "0.9"), (0.95, "0.95"), (0.99, "0.99")];

/// What one answer may contain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Lines with a value.
    pub(super) series: usize,
    /// Labels of a series.
    pub(super) labels: usize,
    /// Bytes of a series: its name and labels.
    pub(super) series_bytes: usize,
}

/// Why an answer is no exposition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    line: usize,
    problem: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the answer {}", self.line, self.problem)
    }
}

/// Reads the answers of one target, and remembers its histograms from round to round.
#[derive(Debug)]
pub(super) struct Parser {
    limits: Limits,
    interner: Interner,
    histograms: Vec<Histogram>,
    by_name: BySeries<usize>,
    /// Readings of the last round, about as many as of the next.
    told: usize,
    round: u64,
}

/// One histogram, by its labels without `le`.
#[derive(Debug)]
struct Histogram {
    quantiles: Vec<Arc<Series>>,
    mean: Arc<Series>,
    before: Option<Observed>,
    now: Observed,
    seen: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Observed {
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

/// The last `# TYPE`, read when that is needed.
#[derive(Clone, Copy, Default)]
struct Declared<'a> {
    comment: &'a [u8],
    place: Option<usize>,
}

/// What the last `# TYPE` said.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    declared: &'a str,
}

impl Parser {
    pub(super) fn new(interner: Interner, limits: Limits) -> Self {
        Self { limits, interner, histograms: Vec::new(), by_name: BySeries::default(), told: 0, round: 0 }
    }

    /// The readings of an answer, each series once: of two lines that say the same series the first counts. Values that
    /// are no finite number are left out.
    pub(super) fn parse(&mut self, answer: &[u8]) -> Result<Vec<Reading>, Malformed> {
        self.round += 1;
        self.interner.begin();
        let mut readings = Vec::with_capacity(self.told);
        let parsed = self.lines(answer, &mut readings);
        if parsed.is_ok() {
            self.observe(&mut readings);
            self.interner.end();
            if self.histograms.iter().any(|histogram| histogram.seen != self.round) {
                self.forget();
            }
            self.told = readings.len();
        }
        parsed.map(|()| readings)
    }

    fn lines(&mut self, answer: &[u8], readings: &mut Vec<Reading>) -> Result<(), Malformed> {
        let mut declared = Declared::default();
        let (mut start, mut number, mut values) = (0, 0, 0);
        while start < answer.len() {
            let end = memchr::memchr(b'\n', &answer[start..]).map_or(answer.len(), |at| start + at);
            let line = answer[start..end].trim_ascii();
            start = end + 1;
            number += 1;
            let wrong = |problem: &str| Malformed { line: number, problem: problem.to_owned() };
            if let Some(comment) = line.strip_prefix(b"#") {
                let comment = comment.trim_ascii_start();
                if comment.starts_with(b"TYPE") {
                    declared = self.declaration(comment).unwrap_or(declared);
                } else if comment == b"EOF" {
                    return Ok(());
                }
                continue;
            }
            if line.is_empty() {
                continue;
            }
            values += 1;
            if values > self.limits.series {
                return Err(Malformed {
                    line: number,
                    problem: format!(
                        "is one series more than {}; leave some out at the target, or raise max_series",
                        self.limits.series
                    ),
                });
            }
            let expected = self.interner.expects(line);
            let cut = expected.or_else(|| end_of_series(line)).ok_or_else(|| wrong("has no value"))?;
            if cut > self.limits.series_bytes {
                return Err(wrong("names a series that is too long; raise max_series_bytes"));
            }
            let (text, rest) = line.split_at(cut);
            let value = rest.split(u8::is_ascii_whitespace).find(|piece| !piece.is_empty());
            let value = value.and_then(number_of).ok_or_else(|| wrong("has a value that is no number"))?;
            self.line(text, value, declared, readings).map_err(|problem| wrong(&problem))?;
        }
        Ok(())
    }

    /// A comment that declares a kind; `None` when it does not say which.
    fn declaration<'a>(&mut self, comment: &'a [u8]) -> Option<Declared<'a>> {
        let place = match self.interner.look(comment) {
            Some((place, _)) => Some(place),
            None => {
                Family::read(comment)?;
                self.interner.put(comment, Kind::Unknown, Role::Declaration)
            }
        };
        Some(Declared { comment, place })
    }

    fn line(
        &mut self,
        text: &[u8],
        value: f64,
        declared: Declared<'_>,
        readings: &mut Vec<Reading>,
    ) -> Result<(), String> {
        let place = match self.interner.look(text) {
            Some((_, true)) => return Ok(()),
            Some((place, false)) => Some(place).filter(|place| self.still(*place, declared)),
            None => None,
        };
        let learnt;
        let role = match place {
            Some(place) => &self.interner.at(place).role,
            None => {
                learnt = self.learn(text, declared)?;
                &learnt
            }
        };
        let (at, part) = match role {
            Role::None | Role::Declaration => return Ok(()),
            Role::Reading(series) => {
                push(readings, series, value);
                return Ok(());
            }
            Role::Bucket(at, le) => (*at, Err(*le)),
            Role::Part(series, at, part) => {
                push(readings, series, value);
                (*at, Ok(*part))
            }
        };
        let now = self.touch(at);
        match part {
            Ok(Part::Sum) => now.sum = Some(value),
            Ok(Part::Count) => now.count = Some(value),
            Err(le) => now.buckets.push((le, value)),
        }
        Ok(())
    }

    /// Whether what stands at this place is still declared as it was when it was learnt.
    fn still(&mut self, place: usize, declared: Declared<'_>) -> bool {
        let known = self.interner.at(place);
        if declared.place.is_some() && known.declared == declared.place {
            return true;
        }
        let name = name_of(known.text());
        let same = name.is_ok_and(|name| declared.family().kind_of(name) == known.kind);
        if same {
            known.declared = declared.place;
        }
        same
    }

    /// What a series that was not there before stands for.
    fn learn(&mut self, text: &[u8], declared: Declared<'_>) -> Result<Role, String> {
        let whole = std::str::from_utf8(text).map_err(|_| "is no UTF-8")?;
        let (name, family) = (name_of(text)?, declared.family());
        let kind = family.kind_of(name);
        let mut unescaped = Vec::new();
        let labels = labels_of(whole[name.len()..].trim(), self.limits.labels, &mut unescaped)?;
        if !is_name(name) {
            return Err(format!("begins with {name:?}, which is no metric name"));
        }
        let pairs: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let role = if !self.interner.wants(name) && !self.interner.wants(family.name) {
            Role::None
        } else if family.is("histogram") && name.strip_suffix("_bucket") == Some(family.name) {
            let le =
                pairs.iter().find(|(name, _)| *name == "le").and_then(|(_, le)| number_of(le.as_bytes()));
            let le = le.ok_or("is a bucket without le")?;
            let others: Vec<_> = pairs.iter().copied().filter(|(name, _)| *name != "le").collect();
            Role::Bucket(self.histogram(family.name, &others), le)
        } else if name.ends_with("_created") && !family.name.is_empty() && name.starts_with(family.name) {
            Role::None
        } else {
            let series = self.interner.series(name, &pairs, kind);
            let part = match name.strip_prefix(family.name) {
                Some("_sum") if family.is("histogram") => Some(Part::Sum),
                Some("_count") if family.is("histogram") => Some(Part::Count),
                _ => None,
            };
            match part {
                Some(part) => Role::Part(series, self.histogram(family.name, &pairs), part),
                None => Role::Reading(series),
            }
        };
        if let Some(place) = self.interner.put(text, kind, role.clone()) {
            self.interner.at(place).declared = declared.place;
        }
        Ok(role)
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)]) -> usize {
        let key = self.interner.series(name, labels, Kind::Histogram);
        if let Some(at) = self.by_name.get(&key) {
            return *at;
        }
        let quantile = |(_, text): &(f64, &'static str)| {
            let with: Vec<_> = labels.iter().copied().chain([("quantile", *text)]).collect();
            self.interner.series(name, &with, Kind::Histogram)
        };
        let quantiles = QUANTILES.iter().map(quantile).collect();
        let mean = self.interner.series(&format!("{name}_mean"), labels, Kind::Histogram);
        let now = Observed::default();
        self.histograms.push(Histogram { quantiles, mean, before: None, now, seen: 0 });
        self.by_name.insert(key, self.histograms.len() - 1);
        self.histograms.len() - 1
    }

    /// What is observed of a histogram in this round.
    fn touch(&mut self, at: usize) -> &mut Observed {
        let histogram = &mut self.histograms[at];
        if histogram.seen != self.round {
            histogram.seen = self.round;
            let last = std::mem::take(&mut histogram.now);
            histogram.before = Some(last).filter(|last| *last != Observed::default());
        }
        &mut histogram.now
    }

    fn observe(&mut self, readings: &mut Vec<Reading>) {
        let round = self.round;
        for histogram in self.histograms.iter_mut().filter(|histogram| histogram.seen == round) {
            let Histogram { quantiles, mean, before, now, .. } = histogram;
            now.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let Some(before) = before else { continue };
            let fresh = now.since(before);
            for ((q, _), series) in QUANTILES.iter().zip(quantiles) {
                if let Some(value) = quantile(*q, &fresh.buckets) {
                    push(readings, series, value);
                }
            }
            if let (Some(sum), Some(count)) = (fresh.sum, fresh.count.filter(|count| *count > 0.0)) {
                push(readings, mean, sum / count);
            }
        }
    }

    /// Histograms that left the target leave here; their places change, so the lines are learnt anew.
    fn forget(&mut self) {
        self.histograms.clear();
        self.by_name.clear();
        self.interner.begin();
        self.interner.end();
    }
}

impl Observed {
    /// What was observed since; all of it when the process behind the target began anew.
    fn since(&self, before: &Self) -> Self {
        let same = self.buckets.len() == before.buckets.len()
            && self.buckets.iter().zip(&before.buckets).all(|(now, then)| now.0 == then.0 && now.1 >= then.1);
        if !same || self.count < before.count {
            return self.clone();
        }
        let buckets = self.buckets.iter().zip(&before.buckets).map(|(now, then)| (now.0, now.1 - then.1));
        let less = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        Self {
            buckets: buckets.collect(),
            sum: less(self.sum, before.sum),
            count: less(self.count, before.count),
        }
    }
}

impl<'a> Declared<'a> {
    fn family(&self) -> Family<'a> {
        Family::read(self.comment).unwrap_or_default()
    }
}

impl<'a> Family<'a> {
    /// From a comment without its `#`.
    fn read(comment: &'a [u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(comment).ok()?.split_ascii_whitespace();
        (words.next()? == "TYPE").then_some(())?;
        Some(Self { name: words.next()?, declared: words.next()? })
    }

    fn is(&self, declared: &str) -> bool {
        self.declared == declared
    }

    fn kind_of(&self, name: &str) -> Kind {
        let Some(suffix) = name.strip_prefix(self.name).filter(|_| !self.name.is_empty()) else {
            return Kind::Unknown;
        };
        match (self.declared, suffix) {
            ("counter", "" | "_total") => Kind::Counter,
            ("gauge" | "stateset" | "info", _) => Kind::Gauge,
            ("histogram" | "summary", "_count" | "_sum") => Kind::Counter,
            ("histogram", "_bucket") | ("summary", "") => Kind::Histogram,
            _ => Kind::Unknown,
        }
    }
}

fn push(readings: &mut Vec<Reading>, series: &Arc<Series>, value: f64) {
    if value.is_finite() {
        readings.push(Reading { series: Arc::clone(series), value });
    }
}

/// The value below which a share `q` of the observations lies, taken as evenly spread within a bucket.
fn quantile(q: f64, buckets: &[(f64, f64)]) -> Option<f64> {
    let total = buckets.last().filter(|(le, count)| *le == f64::INFINITY && *count > 0.0)?.1;
    let rank = q * total;
    let at = buckets.iter().position(|(_, count)| *count >= rank)?;
    let (upper, reached) = buckets[at];
    if upper == f64::INFINITY {
        // Beyond the last bound nothing is known but that.
        return at.checked_sub(1).map(|at| buckets[at].0);
    }
    let (lower, below) = match at.checked_sub(1) {
        Some(before) => buckets[before],
        None => (if upper > 0.0 { 0.0 } else { upper }, 0.0),
    };
    if reached <= below {
        return Some(upper);
    }
    Some(lower + (upper - lower) * (rank - below) / (reached - below))
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
