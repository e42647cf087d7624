//! Decompressing pages: what a decompressor needs is kept from page to page, column to column and file to file.

use std::sync::{Mutex, PoisonError};

use parquet::{
    basic::Compression as Codec,
    errors::{ParquetError, Result},
};
use zstd::bulk::Decompressor;

/// Decompressors of zstd that are kept, one for each thread that decompresses at the same moment; some 160 KB each.
const KEPT: usize = 16;

/// Decompressors. To set one up costs as much as to decompress 10 KB, and arrow-rs does so for each column chunk.
#[derive(Default)]
pub(super) struct Unpacker(Mutex<Vec<Decompressor<'static>>>);

impl Unpacker {
    /// What `packed` holds: `len` bytes, or it is an error.
    pub(super) fn unpack(&self, codec: Codec, packed: &[u8], len: usize) -> Result<Vec<u8>> {
        let wrong = |found: usize| Err(ParquetError::General(format!("a page of {found} bytes, not {len}")));
        match codec {
            Codec::UNCOMPRESSED if packed.len() == len => Ok(packed.to_vec()),
            Codec::UNCOMPRESSED => wrong(packed.len()),
            Codec::ZSTD(_) => {
                let mut zstd = match self.kept().pop() {
                    Some(zstd) => zstd,
                    None => Decompressor::new()?,
                };
                let mut out = Vec::with_capacity(len);
                zstd.decompress_to_buffer(packed, &mut out)?;
                let mut kept = self.kept();
                if kept.len() < KEPT {
                    kept.push(zstd);
                }
                if out.len() == len { Ok(out) } else { wrong(out.len()) }
            }
            Codec::SNAPPY => {
                let external = |e| ParquetError::External(Box::new(e));
                let found = snap::raw::decompress_len(packed).map_err(external)?;
                if found != len {
                    return wrong(found);
                }
                let mut out = vec![0; len];
                snap::raw::Decoder::new().decompress(packed, &mut out).map_err(external)?;
                Ok(out)
            }
            Codec::LZ4_RAW => {
                let mut out = vec![0; len];
                let found = lz4_flex::block::decompress_into(packed, &mut out);
                match found.map_err(|e| ParquetError::External(Box::new(e)))? {
                    found if found == len => Ok(out),
                    found => wrong(found),
                }
            }
            other => Err(ParquetError::NYI(format!("pages compressed by {other} are not read"))),
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Decompressor<'static>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").field("kept", &self.kept().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use parquet::basic::ZstdLevel;

    use super::*;

    #[test]
    fn every_codec_gives_back_what_was_packed_and_nothing_of_another_length() {
        let page: Vec<u8> = (0..50_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let packed = [
            (Codec::UNCOMPRESSED, page.clone()),
            (Codec::ZSTD(ZstdLevel::default()), zstd::bulk::compress(&page, 3).unwrap()),
            (Codec::SNAPPY, snap::raw::Encoder::new().compress_vec(&page).unwrap()),
            (Codec::LZ4_RAW, lz4_flex::block::compress(&page)),
        ];
        let unpacker = Unpacker::default();
        for _ in 0..3 {
            for (codec, packed) in &packed {
                let unpack = |packed: &[u8], len| unpacker.unpack(*codec, packed, len);
                assert_eq!(unpack(packed, page.len()).unwrap(), page, "{codec}");
                assert!(unpack(packed, page.len() - 1).is_err(), "{codec}");
                assert!(unpack(packed, page.len() + 1).is_err(), "{codec}");
                assert!(unpack(&packed[..packed.len() / 2], page.len()).is_err(), "{codec}");
                assert!(unpack(&[], page.len()).is_err(), "{codec}");
            }
        }
        assert_eq!(unpacker.kept().len(), 1, "one thread keeps one");
    }
}
