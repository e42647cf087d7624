//! The table of docs/BENCHMARKS.md that is made from rows: `docs/bench/AREA.json`, as `--json` writes them.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};

use crate::bench::{Row, significant};
use crate::workspace::Workspace;

const PAGE: &str = "docs/BENCHMARKS.md";
const ROWS: &str = "docs/bench";
const BEGIN: &str = "<!-- rows: cargo xtask bench-table -->\n";
const END: &str = "<!-- end of rows -->\n";

/// `cargo xtask bench-table`.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let (page, wanted) = pages(workspace)?;
    if page != wanted {
        std::fs::write(workspace.path(PAGE), &wanted).with_context(|| format!("cannot write {PAGE}"))?;
    }
    println!("{PAGE}: the table is that of {ROWS}");
    Ok(())
}

/// `cargo xtask bench-table --check`.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let (page, wanted) = pages(workspace)?;
    ensure!(page == wanted, "{PAGE} is not what {ROWS} says: run cargo xtask bench-table");
    Ok(())
}

/// The page as it is, and as it should be.
fn pages(workspace: &Workspace) -> Result<(String, String)> {
    let page =
        std::fs::read_to_string(workspace.path(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let mut files: Vec<_> = std::fs::read_dir(workspace.path(ROWS))
        .with_context(|| format!("cannot read {ROWS}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let mut rows: Vec<Row> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let more: Vec<Row> =
            serde_json::from_str(&text).with_context(|| format!("{} is no list of rows", file.display()))?;
        rows.extend(more);
    }
    let wanted = replaced(&page, &table(&rows))?;
    Ok((page, wanted))
}

fn replaced(page: &str, table: &str) -> Result<String> {
    let Some((before, rest)) = page.split_once(BEGIN) else { bail!("{PAGE} has no line {}", BEGIN.trim()) };
    let Some((_, after)) = rest.split_once(END) else { bail!("{PAGE} has no line {}", END.trim()) };
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// What falls short stands in bold.
fn table(rows: &[Row]) -> String {
    let mut out =
        "| area | case | rival | unit | ours | theirs | ratio | goal | met | commit |\n|---|---|---|---|---:|---:|---:|---:|---|---|\n"
            .to_owned();
    let number = |value: Option<f64>| value.map_or("-".to_owned(), significant);
    for row in rows {
        let met = row.met.map_or("-", |met| if met { "yes" } else { "**no**" });
        let goal = row.goal.map_or("-".to_owned(), |goal| {
            format!("{} {}", if row.better == "higher" { "≥" } else { "≤" }, significant(goal))
        });
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} ({}) | {} | {} | {} | {goal} | {met} | {} |",
            row.area,
            row.case.replace('|', "\\|"),
            if row.rival == "none" { "-" } else { row.rival.as_str() },
            row.unit,
            row.unit_kind,
            number(row.ours),
            number(row.theirs),
            number(row.ratio),
            row.commit
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_changes() {
        let page = format!("# A\n{BEGIN}old\n{END}rest\n");
        let new = replaced(&page, "| new |\n").unwrap();
        assert_eq!(new, format!("# A\n{BEGIN}\n| new |\n\n{END}rest\n"));
        assert_eq!(replaced(&new, "| new |\n").unwrap(), new, "a second time changes nothing");
        assert!(replaced("# A\n", "").is_err());
    }

    #[test]
    fn what_falls_short_is_bold() {
        let line = r#"[{"area":"a","case":"c","rival":"none","unit":"ns","unit_kind":"cpu","ours":7.0,"theirs":null,"ratio":null,
            "goal":6.0,"better":"lower","met":false,"rounds":5,"spread":0.1,"commit":"abc","machine":"m"}]"#;
        let rows: Vec<Row> = serde_json::from_str(line).unwrap();
        assert!(
            table(&rows).contains("| a | c | - | ns (cpu) | 7.000 | - | - | ≤ 6.000 | **no** | abc |"),
            "{}",
            table(&rows)
        );
    }
}
