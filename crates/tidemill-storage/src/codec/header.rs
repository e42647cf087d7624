//! Page headers as they stand in a file: structs of Thrift's compact protocol, of which nothing is believed beyond its bound.

use parquet::{
    basic::Encoding,
    errors::{ParquetError, Result},
};

/// No page is longer, packed or not: a value longer than this is refused when it is written.
pub(crate) const LONGEST_PAGE: usize = 128 << 20;
/// No page holds more values.
const MOST_VALUES: usize = 10_000_000;
/// Structs within structs that are left out; a header has three.
const DEEPEST: u32 = 8;

/// What is said of a page before its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the header itself.
    pub(super) len: usize,
    /// Bytes that follow it.
    pub(super) packed: usize,
    pub(super) unpacked: usize,
    /// CRC-32 of the bytes that follow.
    pub(super) crc: Option<u32>,
    pub(super) page: Kind,
}

/// What a page holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data {
        values: usize,
        encoding: Encoding,
        definitions: Encoding,
        repetitions: Encoding,
    },
    /// The second format: levels stand in front, of so many bytes, and are never packed.
    Second {
        values: usize,
        nulls: usize,
        rows: usize,
        encoding: Encoding,
        levels: Levels,
        packed: bool,
    },
    Dictionary {
        values: usize,
        encoding: Encoding,
        ascending: bool,
    },
    /// Nobody writes others; they are passed over.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    pub(super) definitions: usize,
    pub(super) repetitions: usize,
}

impl Header {
    /// The header that these bytes begin with; none when there are too few of them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        match read(&mut Reader { bytes, at: 0 }) {
            Ok(header) => Ok(Some(header)),
            Err(Stop::Short) => Ok(None),
            Err(Stop::Wrong(what)) => Err(ParquetError::General(format!("a page header with {what}"))),
        }
    }

    /// Values of a data page, nulls included.
    pub(super) fn values(&self) -> Option<usize> {
        match self.page {
            Kind::Data { values, .. } | Kind::Second { values, .. } => Some(values),
            _ => None,
        }
    }
}

fn read(reader: &mut Reader<'_>) -> std::result::Result<Header, Stop> {
    let (mut kind, mut unpacked, mut packed, mut crc) = (None, None, None, None);
    let (mut data, mut second, mut dictionary) = (None, None, None);
    let mut field = 0;
    while let Some(of) = reader.field(&mut field)? {
        match (field, of) {
            (1, I32) => kind = Some(reader.int()?),
            (2, I32) => unpacked = Some(reader.size("a size", LONGEST_PAGE)?),
            (3, I32) => packed = Some(reader.size("a size", LONGEST_PAGE)?),
            (4, I32) => crc = Some(reader.int()? as u32),
            (5, STRUCT) => data = Some(reader.numbers()?),
            (7, STRUCT) => dictionary = Some(reader.numbers()?),
            (8, STRUCT) => second = Some(reader.numbers()?),
            _ => reader.pass(of, DEEPEST)?,
        }
    }
    let unpacked = unpacked.ok_or(Stop::Wrong("no size"))?;
    let page = match (kind, data, second, dictionary) {
        (Some(0), Some(of), ..) => Kind::Data {
            values: of.size(1, MOST_VALUES)?,
            encoding: of.encoding(2)?,
            definitions: of.encoding(3)?,
            repetitions: of.encoding(4)?,
        },
        (Some(3), _, Some(of), _) => {
            let values = of.size(1, MOST_VALUES)?;
            let levels = Levels { definitions: of.size(5, unpacked)?, repetitions: of.size(6, unpacked)? };
            if levels.definitions + levels.repetitions > unpacked {
                return Err(Stop::Wrong("levels longer than the page"));
            }
            Kind::Second {
                values,
                nulls: of.size(2, values)?,
                rows: of.size(3, values)?,
                encoding: of.encoding(4)?,
                levels,
                packed: of.flag(7).unwrap_or(true),
            }
        }
        (Some(2), _, _, Some(of)) => Kind::Dictionary {
            // A value takes at least a bit, and in a dictionary a byte.
            values: of.size(1, unpacked)?,
            encoding: of.encoding(2)?,
            ascending: of.flag(3).unwrap_or(false),
        },
        (Some(0 | 2 | 3), ..) => return Err(Stop::Wrong("another kind than it says")),
        (Some(_), ..) => Kind::Other,
        (None, ..) => return Err(Stop::Wrong("no kind")),
    };
    Ok(Header { len: reader.at, packed: packed.ok_or(Stop::Wrong("no size"))?, unpacked, crc, page })
}

enum Stop {
    Short,
    Wrong(&'static str),
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const BINARY: u8 = 8;
const STRUCT: u8 = 12;

/// Fields 1 to 8 of a struct, whole numbers and flags; what else it has is left out.
#[derive(Default)]
struct Numbers([Option<i32>; 8]);

impl Numbers {
    fn get(&self, field: usize) -> Option<i32> {
        self.0.get(field.checked_sub(1)?).copied().flatten()
    }

    fn size(&self, field: usize, most: usize) -> std::result::Result<usize, Stop> {
        let size = self.get(field).and_then(|size| usize::try_from(size).ok());
        size.filter(|size| *size <= most).ok_or(Stop::Wrong("a number out of its bounds"))
    }

    fn flag(&self, field: usize) -> Option<bool> {
        self.get(field).map(|flag| flag != 0)
    }

    fn encoding(&self, field: usize) -> std::result::Result<Encoding, Stop> {
        Ok(match self.get(field) {
            Some(0) => Encoding::PLAIN,
            Some(2) => Encoding::PLAIN_DICTIONARY,
            Some(3) => Encoding::RLE,
            Some(5) => Encoding::DELTA_BINARY_PACKED,
            Some(6) => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            Some(7) => Encoding::DELTA_BYTE_ARRAY,
            Some(8) => Encoding::RLE_DICTIONARY,
            Some(9) => Encoding::BYTE_STREAM_SPLIT,
            _ => return Err(Stop::Wrong("an encoding that is not known")),
        })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> std::result::Result<u8, Stop> {
        let byte = self.bytes.get(self.at).copied().ok_or(Stop::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> std::result::Result<u64, Stop> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Stop::Wrong("a number without end"))
    }

    fn int(&mut self) -> std::result::Result<i32, Stop> {
        let value = u32::try_from(self.varint()?).map_err(|_| Stop::Wrong("a number too long"))?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    fn size(&mut self, what: &'static str, most: usize) -> std::result::Result<usize, Stop> {
        usize::try_from(self.int()?).ok().filter(|size| *size <= most).ok_or(Stop::Wrong(what))
    }

    /// The type of the next field, whose number is brought forward; none at the end of the struct.
    fn field(&mut self, number: &mut i32) -> std::result::Result<Option<u8>, Stop> {
        let first = self.byte()?;
        if first & 15 == 0 {
            return Ok(None);
        }
        *number = match first >> 4 {
            0 => self.int()?,
            step => number.saturating_add(i32::from(step)),
        };
        Ok(Some(first & 15))
    }

    fn numbers(&mut self) -> std::result::Result<Numbers, Stop> {
        let mut out = Numbers::default();
        let mut field = 0;
        while let Some(of) = self.field(&mut field)? {
            let value = match of {
                TRUE | FALSE => i32::from(of == TRUE),
                I32 => self.int()?,
                _ => {
                    self.pass(of, DEEPEST)?;
                    continue;
                }
            };
            let place = usize::try_from(field).ok().and_then(|field| field.checked_sub(1));
            if let Some(place) = place.and_then(|place| out.0.get_mut(place)) {
                *place = Some(value);
            }
        }
        Ok(out)
    }

    /// Passes over a value of this type: page statistics, in headers of others.
    fn pass(&mut self, of: u8, deep: u32) -> std::result::Result<(), Stop> {
        match of {
            TRUE | FALSE => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.varint()?),
            BINARY => {
                let len = usize::try_from(self.varint()?).ok().filter(|len| *len <= LONGEST_PAGE);
                self.at += len.ok_or(Stop::Wrong("a text too long"))?;
                if self.at > self.bytes.len() {
                    return Err(Stop::Short);
                }
            }
            STRUCT if deep > 0 => {
                let mut field = 0;
                while let Some(of) = self.field(&mut field)? {
                    self.pass(of, deep - 1)?;
                }
            }
            _ => return Err(Stop::Wrong("a field of a kind that has no place there")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A data page of 2500 values, as the encoder writes it.
    fn sound() -> Vec<u8> {
        let mut out = Vec::new();
        // Kind 0, unpacked 4000, packed 3000, CRC 7.
        out.extend_from_slice(&[0x15, 0, 0x15, 0xc0, 0x3e, 0x15, 0xf0, 0x2e, 0x15, 14]);
        // 2500 values, RLE_DICTIONARY, levels RLE.
        out.extend_from_slice(&[0x1c, 0x15, 0x88, 0x27, 0x15, 16, 0x15, 6, 0x15, 6, 0, 0]);
        out
    }

    #[test]
    fn a_header_is_read_and_too_few_bytes_are_no_error() {
        let bytes = sound();
        let header = Header::parse(&bytes).unwrap().unwrap();
        assert_eq!(
            (header.len, header.packed, header.unpacked, header.crc),
            (bytes.len(), 3000, 4000, Some(7))
        );
        let (rle, dictionary) = (Encoding::RLE, Encoding::RLE_DICTIONARY);
        let expected = Kind::Data { values: 2500, encoding: dictionary, definitions: rle, repetitions: rle };
        assert_eq!(header.page, expected);
        for len in 0..bytes.len() {
            assert_eq!(Header::parse(&bytes[..len]).unwrap(), None, "{len} bytes");
        }
    }

    #[test]
    fn what_claims_too_much_is_refused() {
        let mut huge = sound();
        // Unpacked: 2^31 - 1.
        huge.splice(3..5, [0xfe, 0xff, 0xff, 0xff, 0x0f]);
        assert!(Header::parse(&huge).is_err());
        let mut negative = sound();
        negative[3..5].copy_from_slice(&[0xc1, 0x3e]);
        assert!(Header::parse(&negative).is_err());
        let mut values = sound();
        values.splice(12..14, [0xfe, 0xff, 0xff, 0x7f]);
        assert!(Header::parse(&values).is_err());
        let mut encoding = sound();
        encoding[15] = 2;
        assert!(Header::parse(&encoding).is_err());
        assert!(Header::parse(&[0x1c; 1000]).is_err(), "structs without end");
        assert!(
            Header::parse(&[0x15, 6, 0x15, 2, 0x15, 2, 0]).is_err(),
            "a second format without its header"
        );
    }

    proptest! {
        /// Nothing panics, and what is accepted stays within its bounds.
        #[test]
        fn any_bytes_are_a_header_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64), at in 0..24usize, with: u8) {
            let mut changed = sound();
            if let Some(byte) = changed.get_mut(at) {
                *byte = with;
            }
            for bytes in [bytes, changed] {
                if let Ok(Some(header)) = Header::parse(&bytes) {
                    prop_assert!(header.len <= bytes.len());
                    prop_assert!(header.packed <= LONGEST_PAGE && header.unpacked <= LONGEST_PAGE);
                    prop_assert!(header.values().is_none_or(|values| values <= MOST_VALUES));
                }
            }
        }
    }
}
