//! What others cost on the same open port: dlt, and the guide's own pipeline in Python where it lies beside this checkout.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tidemill_measure::{Better, Rounds, Row, Samples, UnitKind};

fn main() -> Result<(), Box<dyn Error>> {
    let base_url = variable("TIDEMILL_TEST_PROVIDER_NGINX_OPEN")?;
    let symbols = variable("TIDEMILL_TEST_PROVIDER_SYMBOLS")?;
    let python = PathBuf::from(variable("TIDEMILL_BENCH_PYTHON")?);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rounds = Rounds::from_args(3).count();

    let dlt = here.join("python/dlt_bars.py");
    emit("dlt", rounds, |out| {
        let mut command = Command::new(&python);
        command.arg(&dlt).args([&base_url, &symbols]).arg(out);
        command
    })?;
    let guide = here.join("../../../shared/reference/collect.py");
    if guide.exists() {
        emit("guide", rounds, |out| {
            let mut command = Command::new(&python);
            command
                .arg(&guide)
                .args([
                    "--base-url",
                    &base_url,
                    "--symbols-file",
                    &symbols,
                    "--keys",
                    "k1",
                    "--no-limit",
                    "--out",
                ])
                .arg(out);
            command
        })?;
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    std::env::var(name).map_err(|_| {
        format!("{name} is not set; start this by `cargo xtask bench collector --rivals`").into()
    })
}

/// Runs a program that prints one JSON line, and emits its rows; imports are not counted against it.
fn emit(rival: &str, rounds: u32, command: impl Fn(&Path) -> Command) -> Result<(), Box<dyn Error>> {
    let mut cpu: Vec<f64> = Vec::new();
    let mut speed: Vec<f64> = Vec::new();
    for _ in 0..rounds {
        let dir = tempfile::tempdir()?;
        let output = command(&dir.path().join("out")).output()?;
        if !output.status.success() {
            return Err(format!(
                "{rival} ended with {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )
            .into());
        }
        let text = String::from_utf8(output.stdout)?;
        let last = text.lines().rev().find(|line| line.starts_with('{')).ok_or("no JSON line")?;
        let said: Value = serde_json::from_str(last)?;
        let number = |name: &str| said[name].as_f64().ok_or_else(|| format!("{rival} says no {name}"));
        let imports = said["import_cpu_s"].as_f64().unwrap_or(0.0);
        cpu.push((number("cpu_s")? - imports) * 1e6 / number("rows")?);
        speed.push(number("rows")? / number("elapsed_s")?);
    }
    let (cpu, speed): (Samples, Samples) = (cpu.into_iter().collect(), speed.into_iter().collect());
    Row::new("collector", "open port, CPU a row", "us", UnitKind::Cpu, Better::Lower)
        .rival(rival)
        .theirs(&cpu)
        .emit()?;
    Row::new("collector", "open port, speed", "rows/s", UnitKind::Wall, Better::Higher)
        .rival(rival)
        .theirs(&speed)
        .emit()?;
    Ok(())
}
