//! Compressing pages, and not trying where it does not pay.

use std::io;

use parquet::{
    basic::{Compression as Codec, Encoding, ZstdLevel},
    errors::{ParquetError, Result},
};

use crate::{Compression, Config, kind::Kind};

/// A page that compression makes less than this share smaller is kept as it is.
const WORTH: f64 = 0.02;
/// With `auto`, a chunk of which compression takes less than a tenth of a byte a row off is left as it is: to set up a decompressor costs a
/// reader as much as to decompress 10 KB.
const FEWEST: usize = 10;
/// After a page that was not worth it, so many of its column go by before the next is tried.
const SKIP: u32 = 40;

/// Compresses; its working memory is used again and again.
pub(crate) struct Packer {
    choice: Compression,
    level: i32,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// The same for plain integers.
    integers: Option<zstd::bulk::Compressor<'static>>,
    snappy: snap::raw::Encoder,
}

/// What was learned about one column's pages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Learned {
    skip: u32,
    of: Option<Encoding>,
}

impl Learned {
    /// What was learned of pages of one encoding says nothing about those of another.
    pub(crate) fn encoded(&mut self, encoding: Encoding) {
        if self.of != Some(encoding) {
            *self = Self { skip: 0, of: Some(encoding) };
        }
    }

    fn tries(&mut self) -> bool {
        self.skip = self.skip.saturating_sub(1);
        self.skip == 0
    }
}

impl Packer {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let level = config.compression_level;
        let packs = matches!(config.compression, Compression::Auto | Compression::Zstd);
        let zstd = |level| packs.then(|| zstd::bulk::Compressor::new(level)).transpose();
        // Level 3 looks for long repetitions first, of which volumes have none: level 2 makes them 1 % smaller in less time.
        let (integers, zstd) = (zstd(if level == 3 { 2 } else { level })?, zstd(level)?);
        Ok(Self { choice: config.compression, level, zstd, integers, snappy: snap::raw::Encoder::new() })
    }

    /// Whether anything is compressed at all.
    pub(crate) fn packs(&self) -> bool {
        self.choice != Compression::None
    }

    /// Bytes that a page would take.
    pub(crate) fn tried(&mut self, page: &[u8]) -> Result<usize> {
        let packed = match (self.choice, &mut self.zstd) {
            (_, Some(zstd)) => zstd.compress(page)?.len(),
            (Compression::Snappy, _) => {
                self.snappy.compress_vec(page).map_err(|e| ParquetError::External(Box::new(e)))?.len()
            }
            (Compression::Lz4, _) => lz4_flex::block::compress(page).len(),
            _ => page.len(),
        };
        Ok(packed.min(page.len()))
    }

    /// Compresses the pages of one column chunk, each in its place, and says by what: nothing, where none of them gains.
    pub(crate) fn pack(
        &mut self,
        pages: &mut [Vec<u8>],
        kind: Kind,
        rows: usize,
        learned: &mut Learned,
    ) -> Result<Codec> {
        match self.choice {
            Compression::None => Ok(Codec::UNCOMPRESSED),
            Compression::Auto | Compression::Zstd => self.pack_zstd(pages, kind, rows, learned),
            Compression::Snappy => {
                for page in pages {
                    *page =
                        self.snappy.compress_vec(page).map_err(|e| ParquetError::External(Box::new(e)))?;
                }
                Ok(Codec::SNAPPY)
            }
            Compression::Lz4 => {
                pages.iter_mut().for_each(|page| *page = lz4_flex::block::compress(page));
                Ok(Codec::LZ4_RAW)
            }
        }
    }

    fn pack_zstd(
        &mut self,
        pages: &mut [Vec<u8>],
        kind: Kind,
        rows: usize,
        learned: &mut Learned,
    ) -> Result<Codec> {
        let integers = learned.of == Some(Encoding::PLAIN) && kind.width() == Some(8) && !kind.is_float();
        let zstd = if integers { &mut self.integers } else { &mut self.zstd };
        let packed: Vec<Option<Vec<u8>>> = pages
            .iter()
            .enumerate()
            .map(|(at, page)| {
                // A dictionary, which stands first, is another matter than its indexes: it is always tried.
                let of_its_own = at == 0 && pages.len() > 1;
                if !of_its_own && !learned.tries() {
                    return Ok(None);
                }
                let packed = zstd.as_mut().map(|zstd| zstd.compress(page)).transpose()?;
                let worth = |packed: &Vec<u8>| (packed.len() as f64) < page.len() as f64 * (1.0 - WORTH);
                let packed = packed.filter(worth);
                if !of_its_own {
                    learned.skip = if packed.is_some() { 0 } else { SKIP };
                }
                Ok(packed)
            })
            .collect::<io::Result<_>>()?;
        let saved = |(page, packed): (&Vec<u8>, &Option<Vec<u8>>)| {
            packed.as_ref().map_or(0, |packed| page.len().saturating_sub(packed.len()))
        };
        let saved: usize = pages.iter().zip(&packed).map(saved).sum();
        if self.choice == Compression::Auto && saved * FEWEST <= rows {
            return Ok(Codec::UNCOMPRESSED);
        }
        for (page, packed) in pages.iter_mut().zip(packed) {
            *page = packed.unwrap_or_else(|| stored(page));
        }
        Ok(Codec::ZSTD(ZstdLevel::try_new(self.level)?))
    }
}

/// A zstd frame that holds the bytes as they are: all pages of a column chunk name one codec, and this one costs a reader
/// nothing (RFC 8878, 3.1.1).
fn stored(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    let mut out = Vec::with_capacity(bytes.len() + 9 + 3 * bytes.len().div_ceil(BLOCK).max(1));
    out.extend_from_slice(&0xfd2f_b528_u32.to_le_bytes());
    // One segment, its length in four bytes, no checksum.
    out.push(0b1010_0000);
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    let mut blocks = bytes.chunks(BLOCK).peekable();
    if bytes.is_empty() {
        out.extend_from_slice(&[1, 0, 0]);
    }
    while let Some(block) = blocks.next() {
        let header = (block.len() as u32) << 3 | u32::from(blocks.peek().is_none());
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_frame_is_one_that_zstd_reads() {
        for len in [0, 1, 255, 256, 70_000, 128 << 10, (128 << 10) + 1, 400_000] {
            let bytes: Vec<u8> =
                (0..len).map(|n: usize| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
            assert_eq!(zstd::bulk::decompress(&stored(&bytes), len).unwrap(), bytes);
        }
    }

    #[test]
    fn noise_is_left_and_repetition_is_not() {
        let noise = |seed: u64| -> Vec<u8> {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u8
            };
            (0..10_000).map(|_| next()).collect()
        };
        let packed = |compression, mut pages: Vec<Vec<u8>>| {
            let config = Config { compression, ..Config::default() };
            let codec = Packer::new(&config)
                .unwrap()
                .pack(&mut pages, Kind::F64, 1000, &mut Learned::default())
                .unwrap();
            (codec, pages.iter().map(Vec::len).sum::<usize>())
        };
        assert_eq!(packed(Compression::Auto, vec![noise(1), noise(2)]), (Codec::UNCOMPRESSED, 20_000));
        assert!(matches!(packed(Compression::Zstd, vec![noise(1)]), (Codec::ZSTD(_), 10_000..10_100)));
        assert!(matches!(
            packed(Compression::Auto, vec![vec![7; 10_000], noise(2)]),
            (Codec::ZSTD(_), 10_000..11_000)
        ));
        assert!(matches!(packed(Compression::Lz4, vec![vec![7; 10_000]]), (Codec::LZ4_RAW, 0..1000)));
        assert!(matches!(packed(Compression::Snappy, vec![vec![7; 10_000]]), (Codec::SNAPPY, 0..1000)));
        assert_eq!(packed(Compression::None, vec![vec![7; 10_000]]), (Codec::UNCOMPRESSED, 10_000));
    }
}
