//! `doctor`: shows findings, asks, applies, and takes back.

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::Context as _;
use tidemill_host::{Doctor, Finding, Status, Write as Change};
use tidemill_shell::exit::{Exit, Failure, OrExit as _};

use crate::args::Doctor as Options;

/// Runs the command with this input and output.
///
/// # Errors
/// What was refused, with the code of bad input where it is that.
pub fn run(options: &Options, input: &mut impl BufRead, output: &mut impl Write) -> Result<Exit, Failure> {
    if !options.root.is_dir() {
        let error = anyhow::anyhow!("--root {} is no folder", options.root.display());
        return Err(Failure::new(Exit::BAD_INPUT, error));
    }
    let doctor = Doctor::below(&options.root, &options.data);
    if options.undo {
        return undo(&doctor, &options.undo_file, output);
    }
    let findings = doctor.examine();
    if options.json {
        serde_json::to_writer_pretty(&mut *output, &findings)?;
        writeln!(output)?;
    } else {
        show(&findings, output)?;
    }
    if options.apply {
        apply(&doctor, &findings, options, input, output)?;
    }
    let left = doctor.examine().iter().any(|finding| finding.status == Status::Advice);
    Ok(if left { Exit::INCOMPLETE } else { Exit::COMPLETE })
}

fn show(findings: &[Finding], output: &mut impl Write) -> std::io::Result<()> {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for finding in findings {
        let (mark, found) = (mark(finding.status), finding.found.as_deref().unwrap_or("not told here"));
        writeln!(output, "{mark}  {:width$}  {found}", finding.name)?;
    }
    let of = |status| findings.iter().filter(move |finding| finding.status == status);
    for finding in of(Status::Advice).chain(of(Status::Consider)) {
        let verb = if finding.status == Status::Advice { "set" } else { "could be" };
        writeln!(output, "\n{}: {verb} {}", finding.name, finding.wanted)?;
        writeln!(output, "  why   {}", finding.reason)?;
        writeln!(output, "  risk  {}", finding.risk)?;
        for (label, commands) in [("do", &finding.commands), ("undo", &finding.undo)] {
            for (at, command) in commands.iter().enumerate() {
                writeln!(output, "  {:4}  {command}", if at == 0 { label } else { "" })?;
            }
        }
    }
    let advice = of(Status::Advice).count();
    writeln!(
        output,
        "\n{advice} to change, {} good, {} not told here",
        of(Status::Good).count(),
        of(Status::Unknown).count()
    )
}

fn mark(status: Status) -> &'static str {
    match status {
        Status::Good => "good    ",
        Status::Advice => "advice  ",
        Status::Consider => "consider",
        Status::Unknown => "unknown ",
    }
}

fn apply(
    doctor: &Doctor,
    findings: &[Finding],
    options: &Options,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let mut done: Vec<Change> = earlier(&options.undo_file)?;
    let advised = findings.iter().filter(|finding| finding.status == Status::Advice);
    let (able, unable): (Vec<_>, Vec<_>) = advised.partition(|finding| !finding.writes.is_empty());
    for finding in able {
        if !options.yes && !asked(finding, input, output)? {
            continue;
        }
        let changes = doctor.apply(finding)?;
        done.extend(changes);
        // After each: what was changed is known even if the next one fails.
        keep(&options.undo_file, &done)?;
        writeln!(output, "{} is {} now", finding.name, finding.wanted)?;
    }
    for finding in unable {
        writeln!(output, "{} is left to you: its commands stand above", finding.name)?;
    }
    if !done.is_empty() {
        writeln!(output, "what was there is kept in {}", options.undo_file.display())?;
    }
    Ok(())
}

fn asked(finding: &Finding, input: &mut impl BufRead, output: &mut impl Write) -> Result<bool, Failure> {
    let found = finding.found.as_deref().unwrap_or_default();
    write!(output, "set {} from {found} to {}? [y/N] ", finding.name, finding.wanted)?;
    output.flush()?;
    let mut answer = String::new();
    // The end of the input is a no.
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn undo(doctor: &Doctor, file: &Path, output: &mut impl Write) -> Result<Exit, Failure> {
    let done = earlier(file)?;
    if done.is_empty() {
        let error = anyhow::anyhow!("{} has nothing to take back: was --apply run with it?", file.display());
        return Err(Failure::new(Exit::BAD_INPUT, error));
    }
    doctor.undo(&done)?;
    std::fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    writeln!(output, "{} settings are as they were", done.len())?;
    Ok(Exit::COMPLETE)
}

fn earlier(file: &Path) -> Result<Vec<Change>, Failure> {
    match std::fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{} is no undo file of this program", file.display()))
            .or_exit(Exit::BAD_INPUT),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(anyhow::Error::new(error).context(format!("cannot read {}", file.display())))
            .or_exit(Exit::BAD_INPUT),
    }
}

/// Written beside and renamed, so that no crash leaves half of it.
fn keep(file: &Path, done: &[Change]) -> Result<(), Failure> {
    let beside = file.with_extension("json.new");
    let text = serde_json::to_string_pretty(done)? + "\n";
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, file))
        .with_context(|| format!("cannot write {}: undo by the printed commands", file.display()))?;
    Ok(())
}
