//! `status`: what is stored and how fresh it is, read beside a running collector.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tidemill_shell::exit::{Exit, Failure, OrExit as _};
use tidemill_storage::{Scan, Store};

use super::print;
use crate::args::Stored;
use crate::ledger::{self, Answered, Ledger};

/// One dataset as the published ledger shows it.
#[derive(Debug, Default, Serialize)]
struct Dataset {
    symbols: u64,
    empty: u64,
    refused: u64,
    rows: u64,
    quarantined: u64,
    oldest_answer_s: Option<u64>,
    newest_answer_s: Option<u64>,
}

pub(super) fn status(args: &Stored) -> Result<Exit, Failure> {
    let datasets = read(args).or_exit(Exit::BAD_INPUT)?;
    if args.json {
        let text = serde_json::to_string_pretty(&datasets).context("cannot render the status")?;
        print(&format!("{text}\n"));
    } else {
        print(&render(&datasets));
    }
    Ok(Exit::COMPLETE)
}

fn read(args: &Stored) -> Result<BTreeMap<String, Dataset>> {
    let data = &args.data;
    let store =
        Store::open_read_only(data).with_context(|| format!("nothing to read in {}", data.display()))?;
    let ledger = Ledger::load(store.scan(ledger::TABLE, &Scan::new()))?;
    let now = SystemTime::now();
    let mut datasets = BTreeMap::<String, Dataset>::new();
    for (name, _, entry) in ledger.all() {
        let of = datasets.entry(name.to_owned()).or_default();
        let age = now.duration_since(entry.at).map_or(0, |age| age.as_secs());
        of.symbols += 1;
        of.empty += u64::from(entry.answered == Answered::Empty);
        of.refused += u64::from(entry.answered == Answered::Refused);
        of.rows += entry.accepted;
        of.quarantined += entry.quarantined;
        of.oldest_answer_s = Some(of.oldest_answer_s.map_or(age, |oldest| oldest.max(age)));
        of.newest_answer_s = Some(of.newest_answer_s.map_or(age, |newest| newest.min(age)));
    }
    Ok(datasets)
}

fn render(datasets: &BTreeMap<String, Dataset>) -> String {
    let mut out = String::new();
    for (name, of) in datasets {
        let age = |seconds: Option<u64>| {
            let age = std::time::Duration::from_secs(seconds.unwrap_or(0));
            humantime::format_duration(age).to_string()
        };
        let _ = writeln!(
            out,
            "{name}: {} symbols ({} empty, {} refused), {} rows in their last answers, {} quarantined; answered {} to {} ago",
            of.symbols,
            of.empty,
            of.refused,
            of.rows,
            of.quarantined,
            age(of.newest_answer_s),
            age(of.oldest_answer_s),
        );
    }
    if datasets.is_empty() {
        out.push_str("nothing is published yet\n");
    }
    out
}
