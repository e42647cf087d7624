//! `verify`: every checksum, row and key of the stored data, and the ledger's sums.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::json;
use tidemill_shell::exit::{Exit, Failure, OrExit as _};
use tidemill_storage::{Scan, Store, VerifyReport};

use super::print;
use crate::args::Stored;
use crate::ledger::{self, Ledger};

pub(super) fn verify(args: &Stored) -> Result<Exit, Failure> {
    let (report, unbalanced) = examine(args).or_exit(Exit::BAD_INPUT)?;
    let sound = report.is_sound() && unbalanced == 0;
    if args.json {
        let text = serde_json::to_string_pretty(
            &json!({ "sound": sound, "unbalanced": unbalanced, "store": report }),
        );
        print(&format!("{}\n", text.context("cannot render the report")?));
    } else {
        print(&render(&report, unbalanced, sound));
    }
    Ok(if sound { Exit::COMPLETE } else { Exit::INCOMPLETE })
}

/// Checks the store, and that every entry of the ledger accounts for each of its rows.
fn examine(args: &Stored) -> Result<(VerifyReport, usize)> {
    let data = &args.data;
    let report =
        tidemill_storage::verify(data).with_context(|| format!("cannot verify {}", data.display()))?;
    let store = Store::open_read_only(data)?;
    let ledger = Ledger::load(store.scan(ledger::TABLE, &Scan::new()))?;
    let sums = |entry: &ledger::Entry| entry.received == entry.accepted + entry.quarantined + entry.duplicate;
    let unbalanced = ledger.all().filter(|(_, _, entry)| !sums(entry)).count();
    Ok((report, unbalanced))
}

fn render(report: &VerifyReport, unbalanced: usize, sound: bool) -> String {
    let mut out = String::new();
    for table in &report.tables {
        let _ = writeln!(
            out,
            "{:<12} snapshot {:>6}  {:>4} files  {:>9} rows",
            table.name, table.snapshot, table.files, table.rows
        );
        for bad in &table.bad {
            let _ = writeln!(out, "  BAD  {bad}");
        }
    }
    if unbalanced > 0 {
        let _ =
            writeln!(out, "  BAD  {unbalanced} ledger entries do not account for every row they received");
    }
    let _ = writeln!(
        out,
        "{}",
        if sound {
            "sound"
        } else {
            "NOT SOUND: restore from a copy, or remove the data folder and collect again"
        }
    );
    out
}
