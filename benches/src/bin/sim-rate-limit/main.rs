//! A day of every kind of server in seconds: `cargo xtask sim rate-limit`.

mod limiters;
mod table;
mod world;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    table::run_all()
}
