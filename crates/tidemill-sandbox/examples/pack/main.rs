//! Packs the real bars into `data/bars.bin`: `cargo run --example pack -- us5_daily_raw.csv sp500_index_daily.csv`.
//!
//! The two files are named in `data/PROVENANCE.md`, the format in `src/bundle.rs`. Without files it says how it is used.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

mod columns;

use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::ZlibEncoder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [stocks, index] = &arguments[..] else {
        println!("usage: pack US5_DAILY_RAW.csv SP500_INDEX_DAILY.csv");
        return Ok(());
    };
    let plain = columns::pack(&std::fs::read_to_string(stocks)?, &std::fs::read_to_string(index)?)?;
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::best());
    stream.write_all(&plain)?;
    let packed = stream.finish()?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/bars.bin");
    std::fs::write(&path, &packed)?;
    println!("{}: {} bytes, {} unpacked", path.display(), packed.len(), plain.len());
    Ok(())
}
