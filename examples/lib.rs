//! Small programs that put the crates together; each is one file in this folder, run by `cargo run --example NAME`.
