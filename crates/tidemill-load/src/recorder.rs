//! Adds up what the threads counted: slices as they end, totals over all of them, both of bounded size.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::Duration;

use crate::error::Error;
use crate::plan::{Model, Plan};
use crate::sample::{ServerSample, round};
use crate::script::Script;
use crate::slice::Slice;
use crate::summary::{Errors, Level, StepStats, Totals};
use crate::tally::{Series, Tally};
use crate::times::Times;

/// The whole run so far.
pub(crate) struct Recorder {
    file: Option<BufWriter<File>>,
    /// Why the file ends before the run does.
    pub(crate) unrecorded: Option<String>,
    warm_up_s: f64,
    is_open: bool,
    /// Slices of the summary, each `seconds` wide, and the one that grows.
    pub(crate) slices: Vec<Slice>,
    seconds: usize,
    wide: Option<(Slice, Series<u32>, usize)>,
    pub(crate) samples: Vec<ServerSample>,
    pub(crate) totals: Totals,
    pub(crate) errors: Errors,
    pub(crate) times: Series<u64>,
    steps: Vec<(u64, Errors, Times<u64>)>,
    levels: Vec<(u64, Errors, Times<u32>)>,
    /// Seconds that were counted, and the requests that ended in them.
    counted: (f64, u64),
    has_steps: bool,
}

/// What a slice is besides its tally.
pub(crate) struct Moment {
    pub(crate) at_s: f64,
    pub(crate) width_s: f64,
    pub(crate) level: f64,
    pub(crate) in_flight: u64,
    pub(crate) backlog: u64,
    pub(crate) server: Option<ServerSample>,
    /// After the end of the plan: counted in everything but the rate.
    pub(crate) is_drain: bool,
}

impl Recorder {
    pub(crate) fn new(plan: &Plan, script: &Script) -> Result<Self, Error> {
        let create = |path| File::create(path).map_err(|error| Error::file("create", path, error));
        let file = plan.record.path.as_deref().map(create).transpose()?;
        let most = plan.record.max_slices.max(1);
        let seconds = (plan.duration() + plan.load.drain).as_secs_f64().ceil() as usize + 1;
        let levels = plan.volume.as_ref().map_or(0, |volume| volume.levels as usize);
        let steps = if script.steps() > 1 { script.steps() } else { 0 };
        Ok(Self {
            file: file.map(BufWriter::new),
            unrecorded: None,
            warm_up_s: plan.load.warm_up.as_secs_f64(),
            is_open: plan.model() == Model::Open,
            slices: Vec::new(),
            seconds: seconds.div_ceil(most),
            wide: None,
            samples: Vec::new(),
            totals: Totals::default(),
            errors: Errors::default(),
            times: Series::new(),
            steps: (0..steps).map(|_| (0, Errors::default(), Times::with_digits(2))).collect(),
            levels: (0..levels).map(|_| (0, Errors::default(), Times::new())).collect(),
            counted: (0.0, 0),
            has_steps: steps > 0,
        })
    }

    /// Takes a second and gives it as a slice.
    pub(crate) fn take(&mut self, tally: &mut Tally, moment: &Moment, plan: &Plan) -> Slice {
        if !self.is_open {
            // A closed user is never late: he asks when he is ready.
            tally.times.response.add(&tally.times.service);
        }
        let warm_up = moment.at_s + 1e-6 < self.warm_up_s;
        let slice = slice(tally, moment, warm_up);
        if !warm_up {
            self.count(tally, moment, plan);
        }
        self.widen(&slice, &tally.times);
        self.write(&slice);
        slice
    }

    fn count(&mut self, tally: &Tally, moment: &Moment, plan: &Plan) {
        let totals = &mut self.totals;
        totals.due += if self.is_open { tally.due } else { tally.ended };
        totals.sent += tally.sent;
        totals.ended += tally.ended;
        totals.late += tally.late;
        totals.connections += tally.connections;
        totals.bytes_out += tally.bytes_out;
        totals.bytes_in += tally.bytes_in;
        totals.messages += tally.messages;
        self.errors.add(&tally.errors);
        totals.ok = totals.ended - self.errors.total();
        if !moment.is_drain {
            self.counted.0 += moment.width_s;
            self.counted.1 += tally.ended;
        }
        totals.rate = round(self.counted.1 as f64 / self.counted.0.max(1e-9));
        self.times.add(&tally.times);
        for (sum, step) in self.steps.iter_mut().zip(&tally.steps) {
            sum.0 += step.ended;
            sum.1.add(&step.errors);
            sum.2.add(&step.service);
        }
        if let Some(volume) = &plan.volume {
            let level = volume.level(Duration::from_secs_f64(moment.at_s)) as usize;
            if let Some(sum) = self.levels.get_mut(level) {
                sum.0 += tally.ended;
                sum.1.add(&tally.errors);
                sum.2.add(&tally.times.response);
            }
        }
    }

    /// Keeps a slice for the summary, several seconds in one when the run is long.
    fn widen(&mut self, slice: &Slice, times: &Series<u32>) {
        if self.seconds == 1 {
            self.slices.push(slice.clone());
            self.samples.extend(slice.server);
            return;
        }
        let starts = self.wide.as_ref().is_none_or(|(wide, _, _)| wide.warm_up != slice.warm_up);
        if starts {
            self.flush();
            self.wide = Some((slice.clone(), Series::new(), 0));
        }
        let Some((wide, series, seconds)) = &mut self.wide else { return };
        if !starts {
            wide.width_s += slice.width_s;
            wide.sent += slice.sent;
            wide.ended += slice.ended;
            wide.errors.add(&slice.errors);
            wide.bytes_in += slice.bytes_in;
            wide.bytes_out += slice.bytes_out;
            (wide.in_flight, wide.backlog) = (slice.in_flight, slice.backlog);
            wide.server = slice.server.or(wide.server);
        }
        series.add(times);
        *seconds += 1;
        if *seconds >= self.seconds {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let Some((mut wide, series, _)) = self.wide.take() else { return };
        fill(&mut wide, &series);
        self.samples.extend(wide.server);
        self.slices.push(wide);
    }

    /// A full disk must not end a run: recording stops, the run goes on, and the summary says so.
    fn write(&mut self, slice: &Slice) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_writer(&mut *file, slice).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|()| file.write_all(b"\n")).and_then(|()| file.flush()) {
            self.unrecorded = Some(format!("the recorded slices end at {} s: {error}", slice.at_s));
            // What could not be written is not tried again when this is dropped.
            _ = self.file.take().map(BufWriter::into_parts);
        }
    }

    /// Ends the last slice and gives the counted seconds.
    pub(crate) fn finish(&mut self) -> f64 {
        self.flush();
        round(self.counted.0)
    }

    pub(crate) fn steps(&self, script: &Script) -> Vec<StepStats> {
        let mut stats = Vec::new();
        for scenario in &script.scenarios {
            for (n, ask) in scenario.steps.iter().enumerate() {
                let (ended, errors, service) = if self.has_steps {
                    let (ended, errors, service) = &self.steps[scenario.first + n];
                    (*ended, *errors, service.percentiles())
                } else {
                    (self.totals.ended, self.errors, self.times.service.percentiles())
                };
                let (scenario, step) = (scenario.name.clone(), ask.name.clone());
                stats.push(StepStats { scenario, step, ended, errors, service });
            }
        }
        stats
    }

    pub(crate) fn levels(&self, plan: &Plan) -> Vec<Level> {
        let Some(volume) = &plan.volume else { return Vec::new() };
        let levels = (0u32..).zip(&self.levels);
        levels
            .map(|(level, (ended, errors, response))| Level {
                size: volume.size_of(level),
                ended: *ended,
                errors: *errors,
                response: response.percentiles(),
            })
            .collect()
    }
}

fn slice(tally: &Tally, moment: &Moment, warm_up: bool) -> Slice {
    let mut slice = Slice {
        at_s: round(moment.at_s),
        width_s: round(moment.width_s),
        warm_up,
        level: round(moment.level),
        sent: tally.sent,
        ended: tally.ended,
        errors: tally.errors,
        in_flight: moment.in_flight,
        backlog: moment.backlog,
        bytes_out: tally.bytes_out,
        bytes_in: tally.bytes_in,
        server: moment.server,
        ..Slice::default()
    };
    fill(&mut slice, &tally.times);
    slice
}

fn fill(slice: &mut Slice, times: &Series<u32>) {
    slice.response = times.response.percentiles();
    slice.service = times.service.percentiles();
    slice.lag = times.lag.percentiles();
    slice.late = times.late.percentiles();
    slice.delivery = times.delivery.percentiles();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;
    use crate::target::Endpoint;

    #[test]
    fn a_long_run_has_no_more_slices_than_asked_and_loses_nothing() {
        let mut plan = Plan::new("http://127.0.0.1/", Shape::constant(1.0, Duration::from_secs(1000)));
        (plan.record.max_slices, plan.load.warm_up) = (10, Duration::from_secs(10));
        let script = Script::new(&plan, &Endpoint::parse(&plan.target.url).unwrap()).unwrap();
        let mut recorder = Recorder::new(&plan, &script).unwrap();
        let mut tally = Tally::new(1);
        for second in 0..1000u32 {
            tally.clear();
            (tally.ended, tally.sent, tally.due) = (2, 2, 2);
            tally.times.response.record(u64::from(second) * 1000);
            let sample = ServerSample { memory_bytes: u64::from(second), ..ServerSample::default() };
            let at_s = f64::from(second);
            let moment = Moment {
                at_s,
                width_s: 1.0,
                level: 1.0,
                in_flight: 0,
                backlog: 0,
                server: Some(sample),
                is_drain: false,
            };
            recorder.take(&mut tally, &moment, &plan);
        }
        let counted = recorder.finish();
        assert!(recorder.slices.len() <= 11 && recorder.samples.len() <= 11, "{}", recorder.slices.len());
        let ended: u64 = recorder.slices.iter().map(|slice| slice.ended).sum();
        let warm: u64 = recorder.slices.iter().filter(|slice| slice.warm_up).map(|slice| slice.ended).sum();
        assert_eq!((ended - warm, warm), (recorder.totals.ended, 20));
        assert_eq!(recorder.slices.iter().map(|slice| slice.response.count).sum::<u64>() * 2, ended);
        assert!((recorder.totals.rate - 2.0).abs() < 1e-9 && counted * 2.0 == recorder.totals.ended as f64);
    }
}
