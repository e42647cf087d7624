//! Keys as a cache is asked for them: by Zipf's law, in a loop, or as a recorded trace has them.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Draws keys 0..n, the k-th most popular with a probability proportional to 1 / k^s. Keys are shuffled, so that
/// popular ones do not stand side by side.
pub struct Zipf {
    cumulative: Vec<f64>,
    state: u64,
}

impl Zipf {
    /// The same seed draws the same keys.
    pub fn new(keys: usize, exponent: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        let cumulative: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        Self { cumulative, state: seed }
    }

    /// The next key.
    pub fn draw(&mut self) -> u64 {
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let point = (split_mix(&mut self.state) >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let rank = self.cumulative.partition_point(|sum| *sum < point) as u64;
        rank.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// So many keys at once.
    pub fn take(&mut self, keys: usize) -> Vec<u64> {
        (0..keys).map(|_| self.draw()).collect()
    }
}

/// A pseudo-random number; the state moves on.
pub fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

/// Drawn traces, and recorded ones from the folder in `TIDEMILL_TRACES` where that is set.
///
/// # Errors
/// As [`trace`].
pub fn traces() -> io::Result<Vec<(String, Vec<u64>)>> {
    let mut all = vec![
        ("Zipf 0.9".to_owned(), Zipf::new(200_000, 0.9, 1).take(1_000_000)),
        ("Zipf 0.99".to_owned(), Zipf::new(200_000, 0.99, 1).take(1_000_000)),
        ("a loop".to_owned(), (0..1_000_000).map(|n| n % 100_000).collect()),
    ];
    if let Some(folder) = std::env::var_os("TIDEMILL_TRACES") {
        for file in ["web07.trace.xz", "web12.trace.xz", "orm-busy.trace.xz", "OLTP.lis.zst"] {
            let name = file.split('.').next().unwrap_or(file);
            all.push((name.to_owned(), trace(&Path::new(&folder).join(file), 1_200_000)?));
        }
    }
    Ok(all)
}

/// The keys of a recorded trace, unpacked by `xz` or `zstd`: four bytes a key (`.trace.xz`), or lines of
/// `start count …` (`.lis.zst`). At most `most` keys.
///
/// # Errors
/// The file or its unpacker is missing, or a line is no line of such a trace.
pub fn trace(file: &Path, most: usize) -> io::Result<Vec<u64>> {
    let (unpacker, lines) = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => ("xz", false),
        Some("zst") => ("zstd", true),
        _ => return Err(io::Error::other("a trace ends in .xz or .zst")),
    };
    let mut child = Command::new(unpacker).arg("-dc").arg(file).stdout(Stdio::piped()).spawn()?;
    let mut bytes = Vec::new();
    child.stdout.take().ok_or_else(|| io::Error::other("no output"))?.read_to_end(&mut bytes)?;
    if !child.wait()?.success() {
        return Err(io::Error::other(format!("{unpacker} cannot unpack {}", file.display())));
    }
    if !lines {
        let keys = bytes.as_chunks::<4>().0.iter().map(|key| u64::from(u32::from_le_bytes(*key)));
        return Ok(keys.take(most).collect());
    }
    let text = String::from_utf8(bytes).map_err(io::Error::other)?;
    let mut keys = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(start)), Some(Ok(count))) = (words.next(), words.next()) else {
            return Err(io::Error::other(format!("no line of a trace: {line}")));
        };
        keys.extend(start..start.saturating_add(count));
        if keys.len() >= most {
            break;
        }
    }
    keys.truncate(most);
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_popular_key_has_its_share() {
        let mut zipf = Zipf::new(1000, 1.0, 7);
        let drawn = zipf.take(100_000);
        // 1 / H(1000) = 13.4 %.
        let first = drawn.iter().filter(|key| **key == 0).count();
        assert!((12_500..14_300).contains(&first), "{first}");
        assert_eq!(Zipf::new(1000, 1.0, 7).take(100), drawn[..100]);
    }
}
