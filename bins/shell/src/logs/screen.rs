//! Keeps logs and a progress bar apart: what is written to stderr stands above the bar.

use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use indicatif::ProgressBar;

/// Stderr with, perhaps, a bar at its foot. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Screen {
    bar: Arc<RwLock<Option<ProgressBar>>>,
}

impl Screen {
    /// The bar that is drawn from now on; `None` when it is finished.
    pub(crate) fn set_bar(&self, bar: Option<ProgressBar>) {
        *self.bar.write().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    #[cfg(test)]
    pub(crate) fn has_bar(&self) -> bool {
        self.bar.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bar = self.bar.read().unwrap_or_else(PoisonError::into_inner).clone();
        match bar {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
