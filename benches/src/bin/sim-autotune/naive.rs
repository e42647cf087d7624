//! What everybody does instead, as controls: a threshold on before and after, and a z-test that looks after every pair.

use tidemill_autotune::plant::{Load, LoadShape};

/// Readings before, and after.
const HALF: usize = 60;

/// The mean after differs from the mean before by more than a tenth of a per cent of it.
pub(crate) fn before_after(shape: LoadShape, seed: u64) -> bool {
    let mut load = Load::new(shape, seed);
    let mean = |load: &mut Load| (0..HALF).map(|_| load.step(false)).sum::<f64>() / HALF as f64;
    let (before, after) = (mean(&mut load), mean(&mut load));
    (after / before - 1.0).abs() > 0.001
}

/// Old and new in turns, always the old first; stops at the first |z| over 1.96 after five pairs.
pub(crate) fn peeking_z(shape: LoadShape, seed: u64) -> bool {
    let mut load = Load::new(shape, seed);
    let mut seen: Vec<f64> = Vec::new();
    for _ in 0..40 {
        let (old, new) = (load.step(false), load.step(false));
        seen.push(new - old);
        let n = seen.len() as f64;
        let mean = seen.iter().sum::<f64>() / n;
        let variance = seen.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        if seen.len() >= 5 && mean.abs() > 1.96 * (variance / n).sqrt() {
            return true;
        }
    }
    false
}
