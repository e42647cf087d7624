//! Pages out of column chunks, for arrow-rs' decoders: read ahead, checked against header, index and checksum, unpacked.

use std::{ops::Range, sync::Arc};

use arrow_schema::Fields;
use bytes::Bytes;
use parquet::{
    arrow::arrow_reader::RowGroups,
    basic::Compression as Codec,
    column::page::{Page, PageIterator, PageMetadata, PageReader},
    errors::{ParquetError, Result},
    file::{
        metadata::{ParquetMetaData, RowGroupMetaData},
        page_index::offset_index::PageLocation,
    },
};

use super::{
    header::{Header, Kind, LONGEST_PAGE},
    input::Input,
    unpack::Unpacker,
};

/// Bytes that are read at once where page follows page.
const AHEAD: u64 = 64 << 10;
/// Bytes that are read at least where the page index knows the places and pages may be passed over: to call costs as much as to copy
/// them.
const SPARSE: u64 = 4 << 10;

/// A file whose footer is known.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) input: Input,
    pub(super) footer: Arc<ParquetMetaData>,
    /// What its columns are in memory.
    pub(super) fields: Fields,
    pub(super) unpacker: Arc<Unpacker>,
}

/// Some row groups of a file, one behind the other.
pub(super) struct Groups {
    pub(super) source: Source,
    pub(super) groups: Vec<usize>,
}

impl RowGroups for Groups {
    fn num_rows(&self) -> usize {
        self.row_groups().map(|group| group.num_rows().max(0) as usize).sum()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        Ok(Box::new(Chunks { source: self.source.clone(), groups: self.groups.clone().into_iter(), column }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.groups.iter().filter_map(|group| self.source.footer.row_groups().get(*group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.source.footer
    }
}

/// The chunks of one column.
struct Chunks {
    source: Source,
    groups: std::vec::IntoIter<usize>,
    column: usize,
}

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.groups.next()?;
        Some(Pages::new(&self.source, group, self.column).map(|pages| Box::new(pages) as _))
    }
}

impl PageIterator for Chunks {}

/// The pages of one chunk, first to last, any of which may be passed over.
struct Pages {
    source: Source,
    codec: Codec,
    /// From the next page to the end of the chunk.
    rest: Range<u64>,
    way: Way,
    /// What was read last, and from where.
    held: (u64, Bytes),
    ahead: u64,
}

/// How the next page is found.
enum Way {
    /// By the page index, which a dictionary stands before.
    Index { group: usize, column: usize, page: usize, rows: usize },
    /// Behind the last one, by its header, which is kept where it was looked at.
    Headers(Option<Header>),
}

/// Where a page stands, by the page index.
struct Place {
    bytes: Range<u64>,
    /// None of a dictionary.
    rows: Option<usize>,
}

impl Pages {
    fn new(source: &Source, group: usize, column: usize) -> Result<Self> {
        let of = source.footer.row_groups().get(group);
        let chunk = of.and_then(|group| group.columns().get(column));
        let (Some(of), Some(chunk)) = (of, chunk) else {
            return Err(bad(format!("there is no column {column} in row group {group}")));
        };
        let (start, len) = chunk.byte_range();
        let end = start.checked_add(len).filter(|end| *end <= source.input.size());
        let end = end.ok_or_else(|| bad("a column chunk beyond the file"))?;
        let way = match locations(&source.footer, group, column) {
            [] => Way::Headers(None),
            [..] => Way::Index { group, column, page: 0, rows: of.num_rows().max(0) as usize },
        };
        Ok(Self {
            source: source.clone(),
            codec: chunk.compression(),
            rest: start..end,
            way,
            held: (0, Bytes::new()),
            ahead: SPARSE,
        })
    }

    /// The next page, by the page index; none at the end and where there is no index.
    fn place(&self) -> Result<Option<Place>> {
        let Way::Index { group, column, page, rows } = self.way else { return Ok(None) };
        let locations = locations(&self.source.footer, group, column);
        let Some(location) = locations.get(page) else { return Ok(None) };
        let wrong = || bad("a page index that contradicts itself");
        let start = u64::try_from(location.offset).map_err(|_| wrong())?;
        if page == 0 && self.rest.start < start {
            return Ok(Some(Place { bytes: self.rest.start..start.min(self.rest.end), rows: None }));
        }
        let len = u64::try_from(location.compressed_page_size).map_err(|_| wrong())?;
        let next = locations.get(page + 1).map_or(rows as i64, |next| next.first_row_index);
        let rows = next.checked_sub(location.first_row_index).and_then(|rows| usize::try_from(rows).ok());
        match rows {
            Some(rows) if start >= self.rest.start => {
                Ok(Some(Place { bytes: start..start.saturating_add(len), rows: Some(rows) }))
            }
            _ => Err(wrong()),
        }
    }

    /// The header of the next page, where there is no page index; none at the end.
    fn look(&mut self) -> Result<Option<Header>> {
        match &self.way {
            Way::Headers(Some(header)) => return Ok(Some(header.clone())),
            Way::Headers(None) => {}
            Way::Index { .. } => return Ok(None),
        }
        let left = self.rest.end - self.rest.start;
        if left == 0 {
            return Ok(None);
        }
        // Only headers of others, with long statistics, take more than what is read anyway.
        let mut found = None;
        for most in [1, AHEAD, LONGEST_PAGE as u64] {
            let bytes = self.bytes(self.rest.start..self.rest.start + most.min(left))?;
            found = Header::parse(&bytes)?;
            if found.is_some() {
                break;
            }
        }
        let header = found.ok_or_else(|| bad("a page header without end"))?;
        self.way = Way::Headers(Some(header.clone()));
        Ok(Some(header))
    }

    /// The next page as it stands in the file, and its header; the one behind it is next then.
    fn take(&mut self) -> Result<Option<(Header, Bytes)>> {
        if let Some(place) = self.place()? {
            let len = (place.bytes.end - place.bytes.start) as usize;
            let bytes = self.bytes(place.bytes.clone())?.slice(..len);
            let header = Header::parse(&bytes)?.ok_or_else(|| bad("a page header longer than its page"))?;
            let end = header.len + header.packed;
            if header.values() != place.rows || end > len || place.rows.is_some() && end < len {
                return Err(bad("a page that is not what the page index says"));
            }
            self.pass(&place);
            let packed = bytes.slice(header.len..end);
            return Ok(Some((header, packed)));
        }
        let Some(header) = self.look()? else { return Ok(None) };
        let start = self.rest.start + header.len as u64;
        let packed = self.bytes(start..start + header.packed as u64)?.slice(..header.packed);
        self.step(&header)?;
        Ok(Some((header, packed)))
    }

    fn pass(&mut self, place: &Place) {
        self.rest.start = place.bytes.end.min(self.rest.end);
        if let (Way::Index { page, .. }, Some(_)) = (&mut self.way, place.rows) {
            *page += 1;
        }
    }

    fn step(&mut self, header: &Header) -> Result<()> {
        self.rest.start += (header.len + header.packed) as u64;
        self.way = Way::Headers(None);
        if self.rest.start > self.rest.end { Err(bad("a page beyond its column chunk")) } else { Ok(()) }
    }

    /// These bytes of the chunk, and whatever was read with them.
    fn bytes(&mut self, of: Range<u64>) -> Result<Bytes> {
        let (from, held) = (self.held.0, &self.held.1);
        let end = from + held.len() as u64;
        if from <= of.start && of.end <= end {
            return Ok(held.slice((of.start - from) as usize..));
        }
        if of.start > of.end || of.end > self.rest.end {
            return Err(bad("a page beyond its column chunk"));
        }
        // Who goes on where the last stretch ends reads on for longer.
        let on = !held.is_empty() && (from..=end).contains(&of.start);
        self.ahead = match (&self.way, on) {
            (Way::Index { .. }, false) => SPARSE,
            (Way::Index { .. }, true) => (2 * self.ahead).min(AHEAD),
            (Way::Headers(_), _) => AHEAD,
        };
        let len = (of.end - of.start).max(self.ahead.min(self.rest.end - of.start));
        let bytes = self.source.input.read(of.start, len)?;
        self.held = (of.start, bytes.clone());
        Ok(bytes)
    }

    /// A page for the decoder; none of a kind that is passed over.
    fn page(&self, header: Header, packed: Bytes) -> Result<Option<Page>> {
        if header.crc.is_some_and(|crc| crc != crc32fast::hash(&packed)) {
            return Err(bad("a page without its checksum"));
        }
        let number = |n: usize| n as u32;
        Ok(Some(match header.page {
            Kind::Data { values, encoding, definitions, repetitions } => Page::DataPage {
                buf: self.unpack(packed, header.unpacked)?,
                num_values: number(values),
                encoding,
                def_level_encoding: definitions,
                rep_level_encoding: repetitions,
                statistics: None,
            },
            Kind::Second { values, nulls, rows, encoding, levels, packed: is_compressed } => {
                let front = levels.definitions + levels.repetitions;
                if front > packed.len() {
                    return Err(bad("levels beyond their page"));
                }
                let buf = match is_compressed {
                    true => {
                        let rest = self.unpack(packed.slice(front..), header.unpacked - front)?;
                        [&packed[..front], &rest].concat().into()
                    }
                    false => packed,
                };
                Page::DataPageV2 {
                    buf,
                    num_values: number(values),
                    encoding,
                    num_nulls: number(nulls),
                    num_rows: number(rows),
                    def_levels_byte_len: number(levels.definitions),
                    rep_levels_byte_len: number(levels.repetitions),
                    is_compressed,
                    statistics: None,
                }
            }
            Kind::Dictionary { values, encoding, ascending } => Page::DictionaryPage {
                buf: self.unpack(packed, header.unpacked)?,
                num_values: number(values),
                encoding,
                is_sorted: ascending,
            },
            Kind::Other => return Ok(None),
        }))
    }

    fn unpack(&self, packed: Bytes, len: usize) -> Result<Bytes> {
        // A page without any value is not compressed at all.
        if len == 0 {
            return Ok(Bytes::new());
        }
        if self.codec == Codec::UNCOMPRESSED && packed.len() == len {
            return Ok(packed);
        }
        Ok(self.source.unpacker.unpack(self.codec, &packed, len)?.into())
    }
}

fn locations(footer: &ParquetMetaData, group: usize, column: usize) -> &[PageLocation] {
    let index = footer.offset_index().and_then(|index| index.get(group)?.get(column));
    index.map_or(&[], |index| index.page_locations())
}

fn bad(what: impl std::fmt::Display) -> ParquetError {
    ParquetError::General(format!("it has {what}"))
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        while let Some((header, packed)) = self.take()? {
            if let Some(page) = self.page(header, packed)? {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        let of = |rows, num_levels, is_dict| PageMetadata { num_rows: rows, num_levels, is_dict };
        if let Some(place) = self.place()? {
            return Ok(Some(of(place.rows, None, place.rows.is_none())));
        }
        while let Some(header) = self.look()? {
            match header.page {
                Kind::Other => self.step(&header)?,
                Kind::Dictionary { .. } => return Ok(Some(of(None, None, true))),
                Kind::Data { .. } | Kind::Second { .. } => return Ok(Some(of(None, header.values(), false))),
            }
        }
        Ok(None)
    }

    fn skip_next_page(&mut self) -> Result<()> {
        if let Some(place) = self.place()? {
            self.pass(&place);
        } else if let Some(header) = self.look()? {
            self.step(&header)?;
        }
        Ok(())
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
