//! One column of one row group: its encoding chosen, cut into pages, compressed, with statistics and page index.

use std::ops::Range;

use bytes::Bytes;
use parquet::{
    basic::{Encoding, PageType},
    column::writer::ColumnCloseResult,
    errors::Result,
    file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats},
    schema::types::ColumnDescPtr,
};

use super::{
    bits::{hybrid, pack, width},
    bounds::{Bounds, nulls_only},
    pack::{Learned, Packer},
    page::{PageKind, page},
    values::{Encoded, Values},
};
use crate::kind::Kind;

/// One column chunk, encoded.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) close: ColumnCloseResult,
}

/// What decides how a chunk is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

struct Slice {
    rows: Range<usize>,
    /// Where its values stand among those that are not null.
    values: Range<usize>,
}

pub(crate) fn chunk(
    values: &Values<'_>,
    encoded: &Encoded,
    column: &ColumnDescPtr,
    cut: Cut,
    packer: &mut Packer,
    learned: &mut Learned,
) -> Result<Chunk> {
    let slices = slices(values, encoded, cut);
    let optional = column.max_def_level() > 0;
    let mut pages = Vec::with_capacity(slices.len() + 1);
    let dictionary = encoded.dictionary(values);
    pages.extend(dictionary.iter().map(|(bytes, _)| bytes.clone()));
    for slice in &slices {
        let mut page = Vec::with_capacity(encoded.bytes(values, slice.values.clone()) + 64);
        if optional {
            levels(values, slice, &mut page);
        }
        encoded.write(values, slice.values.clone(), &mut page);
        pages.push(page);
    }
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    learned.encoded(encoded.encoding());
    let codec = packer.pack(&mut pages, values.kind(), values.rows(), learned)?;

    let kind = values.kind();
    let mut bytes = Vec::with_capacity(pages.iter().map(|page| page.len() + 64).sum());
    let mut index = ColumnIndexBuilder::new(column.physical_type());
    let mut offsets = OffsetIndexBuilder::new();
    let mut encodings = vec![encoded.encoding()];
    let packed: usize = pages.iter().map(Vec::len).sum();
    let unpacked: usize = sizes.iter().sum();
    let mut pages = pages.into_iter().zip(sizes);
    if let Some((_, count)) = &dictionary
        && let Some((packed, size)) = pages.next()
    {
        page(PageKind::Dictionary, *count as usize, Encoding::PLAIN, size, &packed, &mut bytes);
        encodings.push(Encoding::PLAIN);
    }
    let data_at = bytes.len();
    if optional {
        encodings.push(Encoding::RLE);
    }
    let mut whole = Whole::default();
    for (slice, (packed, size)) in slices.iter().zip(pages) {
        let start = bytes.len();
        page(PageKind::Data, slice.rows.len(), encoded.encoding(), size, &packed, &mut bytes);
        offsets.append_row_count(slice.rows.len() as i64);
        offsets.append_offset_and_size(start as i64, (bytes.len() - start) as i32);
        let nulls = (slice.rows.len() - slice.values.len()) as i64;
        match encoded.bounds(values, slice.values.clone()) {
            Some(bounds) => {
                index.append(false, bounds.low.clone(), bounds.high.clone(), nulls);
                whole.add(bounds, kind);
            }
            None if slice.values.is_empty() => index.append(true, Vec::new(), Vec::new(), nulls),
            None => {
                index.to_invalid();
                // A page of NaNs alone says nothing about the others; a text without an end above it does.
                whole.unknown |= !kind.is_float();
            }
        }
    }
    // Headers count as they are.
    let unpacked = unpacked + bytes.len() - packed;
    let bytes = Bytes::from(bytes);
    let rows = values.rows() as u64;
    let nulls = rows - values.len() as u64;
    let stats = |page_type, encoding, count| PageEncodingStats { page_type, encoding, count };
    let mut encoding_stats = vec![stats(PageType::DATA_PAGE, encoded.encoding(), slices.len() as i32)];
    if dictionary.is_some() {
        encoding_stats.push(stats(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1));
    }
    let statistics = match whole.bounds.filter(|_| !whole.unknown) {
        Some(bounds) => bounds.statistics(kind, nulls),
        None => nulls_only(kind, nulls),
    };
    let metadata = ColumnChunkMetaData::builder(column.clone())
        .set_compression(codec)
        .set_encodings(encodings)
        .set_page_encoding_stats(encoding_stats)
        .set_total_compressed_size(bytes.len() as i64)
        .set_total_uncompressed_size(unpacked as i64)
        .set_num_values(rows as i64)
        .set_data_page_offset(data_at as i64)
        .set_dictionary_page_offset(dictionary.is_some().then_some(0))
        .set_statistics(statistics)
        .build()?;
    let column_index = index.valid().then(|| index.build()).transpose()?;
    let close = ColumnCloseResult {
        bytes_written: bytes.len() as u64,
        rows_written: rows,
        metadata,
        bloom_filter: None,
        column_index,
        offset_index: Some(offsets.build()),
    };
    Ok(Chunk { bytes, close })
}

/// The bounds of all pages together.
#[derive(Default)]
struct Whole {
    bounds: Option<Bounds>,
    unknown: bool,
}

impl Whole {
    fn add(&mut self, page: Bounds, kind: Kind) {
        self.bounds = Some(match self.bounds.take() {
            Some(bounds) => bounds.with(page, kind),
            None => page,
        });
    }
}

/// Pages of at most so many rows and bytes, at least a row each.
fn slices(values: &Values<'_>, encoded: &Encoded, cut: Cut) -> Vec<Slice> {
    let mut out = Vec::new();
    let (mut row, mut value) = (0, 0);
    while row < values.rows() {
        let most = encoded.rows_within(values, value, cut.bytes).max(1);
        let mut end = values.rows().min(row + cut.rows.min(most));
        let mut next = value + values.present(row..end);
        // What fits by the least row may be a page too long by its texts: give way by halves.
        while end - row > 1 && encoded.bytes(values, value..next) > cut.bytes {
            end = row + (end - row) / 2;
            next = value + values.present(row..end);
        }
        out.push(Slice { rows: row..end, values: value..next });
        (row, value) = (end, next);
    }
    out
}

/// Which rows are not null, as Parquet's first page format has it: length, then the hybrid of one bit.
fn levels(values: &Values<'_>, slice: &Slice, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    match values.valid() {
        Some(valid) => {
            let levels: Vec<u32> = valid[slice.rows.clone()].iter().map(|v| u32::from(*v)).collect();
            hybrid(&levels, 1, out);
        }
        None => {
            super::bits::varint((slice.rows.len() as u64) << 1, out);
            out.push(1);
        }
    }
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

/// Dictionary indexes: the bits each takes, then the hybrid.
pub(super) fn indexes(places: &[u32], out: &mut Vec<u8>) {
    let greatest = places.iter().fold(0, |greatest: u32, place| greatest.max(*place));
    let width = width(u64::from(greatest)).max(1);
    out.push(width as u8);
    hybrid(places, width, out);
}

/// One bit a value.
pub(super) fn booleans(values: &[u8], out: &mut Vec<u8>) {
    pack(values.iter().map(|value| u64::from(*value & 1)), 1, out);
}
