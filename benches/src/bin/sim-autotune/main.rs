//! Trials and controllers on simulated loads and plants, with fixed seeds: `cargo xtask sim autotune`.

mod control;
mod cost;
mod naive;
mod trials;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    trials::run_all()?;
    control::run_all()?;
    cost::run()
}
