//! `history`: when stored runs changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tidemill_load::{Metric, Unit};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};

use super::bad_input;
use crate::args::History as Args;
use crate::history::{Search, change_points};
use crate::report::{Content, Document, Histories, History, time};
use crate::surroundings::Surroundings;

/// More files than this are not read.
const MAX_FILES: usize = 10_000;

pub(super) fn history(args: &Args, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let metrics: Vec<Metric> = args
        .metric
        .iter()
        .map(|text| text.parse().map_err(|error: String| bad_input(anyhow!("--metric: {error}"))))
        .collect::<Result<_, _>>()?;
    if !(args.alarms > 0.0 && args.alarms < 100.0) {
        return Err(bad_input(anyhow!("--alarms must be between 0 and 100 percent")));
    }
    let (runs, skipped) = stored(&args.stored).or_exit(Exit::BAD_INPUT)?;
    let mut by_name: BTreeMap<String, Vec<Document>> = BTreeMap::new();
    for document in runs {
        if let Content::Run(run) = &document.content
            && args.name.as_ref().is_none_or(|name| *name == run.summary.name)
        {
            by_name.entry(run.summary.name.clone()).or_default().push(document);
        }
    }
    // Several figures are several chances to be wrong.
    let alarms = args.alarms / 100.0 / metrics.len() as f64;
    let search = Search { alarms, ..Search::default() };
    let mut histories = Vec::new();
    for (name, mut runs) in by_name {
        runs.sort_by_key(|document| document.made_unix_s);
        histories.extend(metrics.iter().filter_map(|metric| one(&name, metric, &runs, &search)));
    }
    let source = args.stored.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let found = Histories { source, histories, skipped };
    let worse = found.histories.iter().any(|history| history.regression().is_some());
    surroundings.publish(Content::History(Box::new(found)), &args.reports)?;
    Ok(if worse { Exit::REGRESSION } else { Exit::COMPLETE })
}

fn one(name: &str, metric: &Metric, runs: &[Document], search: &Search) -> Option<History> {
    let (unit, scale) = match metric.unit() {
        Unit::Time => ("ms", 1e-3),
        Unit::Share => ("%", 100.0),
        Unit::Bytes => ("MB", 1e-6),
        Unit::Number => ("", 1.0),
    };
    let value = |document: &Document| {
        let Content::Run(run) = &document.content else { return None };
        Some((called(document), metric.of(&run.summary)? * scale))
    };
    let (runs, values): (Vec<String>, Vec<f64>) = runs.iter().filter_map(value).unzip();
    if values.len() < 2 * search.segment {
        return None;
    }
    let metric = metric.to_string();
    let lower_is_better = !matches!(metric.as_str(), "rate" | "success" | "requests");
    let changes = change_points(&values, search);
    Some(History {
        name: name.to_owned(),
        metric,
        unit: unit.to_owned(),
        lower_is_better,
        runs,
        values,
        changes,
    })
}

fn called(document: &Document) -> String {
    let made = time::utc(document.made_unix_s);
    document.label.as_ref().map_or_else(|| made.clone(), |label| format!("{made} {label}"))
}

/// The valid, complete runs of these files and folders, and why others were left out.
fn stored(places: &[PathBuf]) -> anyhow::Result<(Vec<Document>, Vec<String>)> {
    let mut files = Vec::new();
    for place in places {
        let metadata = std::fs::metadata(place).map_err(|error| {
            anyhow!("{}: cannot be read: {error}; give the folder of --store", place.display())
        })?;
        if metadata.is_dir() {
            files.extend(folder(place)?);
        } else {
            files.push(place.clone());
        }
    }
    if files.len() > MAX_FILES {
        return Err(anyhow!("{} files are more than {MAX_FILES}: give a smaller folder", files.len()));
    }
    let (mut runs, mut skipped) = (Vec::new(), Vec::new());
    for file in files {
        match Document::read(&file) {
            Err(error) => skipped.push(error.to_string()),
            Ok(document) => match &document.content {
                Content::Run(run) if !run.summary.verdict.valid => {
                    skipped.push(format!("{}: the run was INVALID", file.display()));
                }
                Content::Run(run) if run.summary.ended != tidemill_load::Ended::Finished => {
                    skipped.push(format!("{}: the run was ended early", file.display()));
                }
                Content::Run(_) => runs.push(document),
                _ => {}
            },
        }
    }
    Ok((runs, skipped))
}

fn folder(place: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(place)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .take(MAX_FILES + 1)
        .collect();
    files.sort();
    Ok(files)
}
