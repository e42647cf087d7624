//! The same work for every cache on a disk: values of about a kilobyte put until the kernel has them, and read again.

use std::fmt::Write as _;
use std::path::Path;

use crate::keys::Zipf;
use crate::{Clock, Samples};

/// A cache of bytes on a disk, through its own asynchronous or blocking interface.
pub trait Subject {
    /// Puts them in, and waits until none of it is only in this process's memory.
    fn put_all(&mut self, values: &[(Vec<u8>, Vec<u8>)]);
    /// How many of these keys it has; each value is taken out as owned bytes.
    fn get_all(&mut self, keys: &[Vec<u8>]) -> usize;
    /// What it has written, in bytes.
    fn bytes(&self) -> u64;
}

/// What one round brought.
pub struct Round {
    /// CPU nanoseconds of the process a value put.
    pub put: f64,
    /// The same a value read.
    pub get: f64,
    /// Bytes on the disk a value.
    pub bytes: f64,
    /// The share of reads that found one.
    pub found: f64,
}

/// Values of a round.
pub const VALUES: u64 = 40_000;

/// A round on a cache that is empty; reads are by Zipf 0.9, so that not all of it is in the nearest cache of the processor.
pub fn round(subject: &mut dyn Subject, seed: u64) -> Round {
    let values: Vec<_> = (0..VALUES).map(|key| (name(key), bars(key))).collect();
    let mut zipf = Zipf::new(usize::try_from(VALUES).unwrap_or(usize::MAX), 0.9, seed);
    let keys: Vec<_> = zipf.take(100_000).into_iter().map(|key| name(key % VALUES)).collect();
    let put = Clock::ProcessCpu.time(|| subject.put_all(&values));
    let mut found = 0;
    let get = Clock::ProcessCpu.time(|| found = subject.get_all(&keys));
    Round {
        put: put.as_nanos() as f64 / values.len() as f64,
        get: get.as_nanos() as f64 / keys.len() as f64,
        bytes: subject.bytes() as f64 / values.len() as f64,
        found: found as f64 / keys.len() as f64,
    }
}

/// Rounds as samples: put, get, bytes.
pub fn rounds<E: From<std::io::Error>>(
    count: u32,
    mut make: impl FnMut(&Path) -> Result<Box<dyn Subject>, E>,
) -> Result<[Samples; 3], E> {
    let mut samples = [Samples::new(), Samples::new(), Samples::new()];
    for seed in 0..=u64::from(count) {
        let dir = std::env::temp_dir().join(format!("tidemill-bench-{}-{seed}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let round = round(make(&dir)?.as_mut(), seed);
        std::fs::remove_dir_all(&dir)?;
        if round.found < 0.999 {
            return Err(std::io::Error::other(format!("it has {} of what was put", round.found)).into());
        }
        // The first warms up.
        if seed > 0 {
            for (samples, value) in samples.iter_mut().zip([round.put, round.get, round.bytes]) {
                samples.push(value);
            }
        }
    }
    Ok(samples)
}

fn name(key: u64) -> Vec<u8> {
    format!("AAPL:{key:06}").into_bytes()
}

/// Nine bars as JSON, about a kilobyte.
fn bars(key: u64) -> Vec<u8> {
    let mut text = String::from("[");
    for bar in 0..9_u64 {
        let mut noise = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ bar.wrapping_mul(0xD1B5_4A32_D192_ED03);
        noise ^= noise >> 29;
        let cents = |shift: u32| 18_000 + (noise >> shift) % 900;
        let price = |shift: u32| format!("{}.{:02}", cents(shift) / 100, cents(shift) % 100);
        let ts = 1_700_000_000_000 + (key * 9 + bar) * 60_000;
        let volume = (noise >> 7) % 100_000;
        _ = write!(
            text,
            r#"{{"ts":{ts},"open":{},"high":{},"low":{},"close":{},"volume":{volume}}},"#,
            price(3),
            price(13),
            price(23),
            price(33)
        );
    }
    text.pop();
    text.push(']');
    text.into_bytes()
}
