//! Runs one workspace command and turns its error into an exit code.

fn main() -> anyhow::Result<()> {
    anyhow::bail!("no command yet")
}
