//! What reads keep for the next one: parsed footers and page indexes of files that cannot change, and decompressors.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::{Known, unpack::Unpacker};
use crate::{Config, Error};

/// Shared by all that read the files of one store.
#[derive(Debug)]
pub(crate) struct Kept {
    limit: usize,
    footers: Mutex<Footers>,
    pub(super) unpacker: Arc<Unpacker>,
}

/// The newest in front.
#[derive(Debug, Default)]
struct Footers {
    bytes: usize,
    kept: VecDeque<Footer>,
}

#[derive(Debug)]
struct Footer {
    of: Known,
    /// With the page indexes.
    indexed: bool,
    bytes: usize,
    footer: ArrowReaderMetadata,
}

impl Default for Kept {
    fn default() -> Self {
        Self::new(Config::default().footer_bytes)
    }
}

impl Kept {
    /// Keeps footers up to so many bytes.
    pub(crate) fn new(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, footers: Mutex::default(), unpacker: Arc::default() }
    }

    /// The footer of a file, parsed unless that was done before. A file is the same where its length, its checksum and that of its tail
    /// are, and the tail is compared with what stands on the disk before each call.
    pub(super) fn footer(
        &self,
        of: Option<Known>,
        indexed: bool,
        parse: impl FnOnce() -> Result<ArrowReaderMetadata, Error>,
    ) -> Result<ArrowReaderMetadata, Error> {
        let Some(of) = of.filter(|of| of.tail.is_some()) else { return parse() };
        if let Some(found) = self.find(&of, indexed) {
            return Ok(found);
        }
        let footer = parse()?;
        let bytes = footer.metadata().memory_size();
        if bytes <= self.limit {
            self.keep(Footer { of, indexed, bytes, footer: footer.clone() });
        }
        Ok(footer)
    }

    fn find(&self, of: &Known, indexed: bool) -> Option<ArrowReaderMetadata> {
        let mut footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        let at = footers.kept.iter().position(|kept| kept.of == *of && (kept.indexed || !indexed))?;
        let found = footers.kept.remove(at)?;
        let footer = found.footer.clone();
        footers.kept.push_front(found);
        Some(footer)
    }

    fn keep(&self, footer: Footer) {
        let mut footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        let Footers { bytes, kept } = &mut *footers;
        kept.retain(|old| {
            let stays = old.of != footer.of;
            *bytes -= if stays { 0 } else { old.bytes };
            stays
        });
        *bytes += footer.bytes;
        kept.push_front(footer);
        while *bytes > self.limit
            && let Some(old) = kept.pop_back()
        {
            *bytes -= old.bytes;
        }
    }
}
