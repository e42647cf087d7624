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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::{
        arrow::{ArrowSchemaConverter, arrow_reader::ArrowReaderOptions},
        file::writer::SerializedFileWriter,
    };

    use super::*;
    use crate::codec::Tail;

    fn footer() -> ArrowReaderMetadata {
        let field = arrow_schema::Field::new("a", arrow_schema::DataType::Int64, false);
        let schema = ArrowSchemaConverter::new().convert(&arrow_schema::Schema::new(vec![field])).unwrap();
        let file = SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), Arc::default()).unwrap();
        let bytes = Bytes::from(file.into_inner().unwrap());
        ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new()).unwrap()
    }

    fn known(n: u32) -> Option<Known> {
        Some(Known { bytes: 100, crc32c: 1, tail: Some(Tail { from: 50, crc32c: n }) })
    }

    /// Whether it had to be parsed.
    fn parsed(kept: &Kept, of: Option<Known>, indexed: bool) -> bool {
        let mut parsed = false;
        let parse = || {
            parsed = true;
            Ok(footer())
        };
        kept.footer(of, indexed, parse).unwrap();
        parsed
    }

    #[test]
    fn a_footer_is_parsed_once_and_again_where_its_page_index_is_asked_for() {
        let kept = Kept::default();
        assert!(parsed(&kept, known(1), false) && !parsed(&kept, known(1), false));
        assert!(parsed(&kept, known(1), true) && !parsed(&kept, known(1), true));
        assert!(!parsed(&kept, known(1), false), "the one with the index serves both");
        assert_eq!(kept.footers.lock().unwrap().kept.len(), 1);
        for other in [
            known(2),
            known(1).map(|known| Known { bytes: 101, ..known }),
            known(1).map(|known| Known { crc32c: 2, ..known }),
        ] {
            assert!(parsed(&kept, other, false), "{other:?}");
        }
        // A file of which no checksum of the footer is known, or nothing at all.
        for other in [None, known(1).map(|known| Known { tail: None, ..known })] {
            assert!(parsed(&kept, other, false) && parsed(&kept, other, false));
        }
    }

    #[test]
    fn the_bound_holds_and_what_was_asked_for_last_stays() {
        let one = footer().metadata().memory_size();
        let kept = Kept::new(3 * one as u64);
        for n in 0..10 {
            assert!(parsed(&kept, known(n), false));
            parsed(&kept, known(0), false);
            let footers = kept.footers.lock().unwrap();
            assert!(footers.bytes <= 3 * one && footers.bytes == footers.kept.len() * one);
        }
        assert!(!parsed(&kept, known(0), false) && !parsed(&kept, known(9), false));
        assert!(parsed(&kept, known(1), false));
        let none = Kept::new(one as u64 - 1);
        assert!(parsed(&none, known(0), false) && parsed(&none, known(0), false));
    }
}
