//! The column types a table may have, their width, their order and their names in files of ours.

use std::{cmp::Ordering, sync::Arc};

use arrow_schema::{DataType, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
    Date,
    /// Unit, and whether the zone is UTC (else none).
    Time(TimeUnit, bool),
    /// Whole numbers with the point `scale` digits from the right: of 4 bytes up to 9 digits, of 8 up to 18.
    Decimal {
        precision: u8,
        scale: u8,
    },
    Text,
    Bytes,
}

impl Kind {
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 => Self::I8,
            DataType::Int16 => Self::I16,
            DataType::Int32 => Self::I32,
            DataType::Int64 => Self::I64,
            DataType::UInt8 => Self::U8,
            DataType::UInt16 => Self::U16,
            DataType::UInt32 => Self::U32,
            DataType::UInt64 => Self::U64,
            DataType::Float32 => Self::F32,
            DataType::Float64 => Self::F64,
            DataType::Date32 => Self::Date,
            // Parquet has no timestamps of seconds.
            DataType::Timestamp(TimeUnit::Second, _) => return None,
            DataType::Timestamp(unit, None) => Self::Time(*unit, false),
            DataType::Timestamp(unit, Some(zone)) if &**zone == "UTC" => Self::Time(*unit, true),
            // As Parquet has them: in the other width, arrow-rs would read another type than it wrote. It writes one digit in 8 bytes.
            DataType::Decimal32(precision @ 2..=9, scale)
            | DataType::Decimal64(precision @ 10..=18, scale) => {
                let scale = u8::try_from(*scale).ok().filter(|scale| scale <= precision)?;
                Self::Decimal { precision: *precision, scale }
            }
            DataType::Utf8 => Self::Text,
            DataType::Binary => Self::Bytes,
            _ => return None,
        })
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::I8 => DataType::Int8,
            Self::I16 => DataType::Int16,
            Self::I32 => DataType::Int32,
            Self::I64 => DataType::Int64,
            Self::U8 => DataType::UInt8,
            Self::U16 => DataType::UInt16,
            Self::U32 => DataType::UInt32,
            Self::U64 => DataType::UInt64,
            Self::F32 => DataType::Float32,
            Self::F64 => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Time(unit, utc) => DataType::Timestamp(unit, utc.then(|| "UTC".into())),
            Self::Decimal { precision, scale } if precision <= 9 => {
                DataType::Decimal32(precision, scale as i8)
            }
            Self::Decimal { precision, scale } => DataType::Decimal64(precision, scale as i8),
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
        }
    }

    /// Bytes of one value; none when they vary.
    pub(crate) fn width(self) -> Option<usize> {
        Some(match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 | Self::Date => 4,
            Self::Decimal { precision, .. } if precision <= 9 => 4,
            Self::I64 | Self::U64 | Self::F64 | Self::Time(..) | Self::Decimal { .. } => 8,
            Self::Text | Self::Bytes => return None,
        })
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    pub(crate) fn is_signed(self) -> bool {
        use Kind::{Date, Decimal, I8, I16, I32, I64, Time};
        matches!(self, I8 | I16 | I32 | I64 | Date | Time(..) | Decimal { .. })
    }

    /// The order of two values given as little-endian bytes.
    pub(crate) fn compare(self, a: &[u8], b: &[u8]) -> Ordering {
        if self.width().is_none() {
            return a.cmp(b);
        }
        if self.is_signed() { signed(a).cmp(&signed(b)) } else { unsigned(a).cmp(&unsigned(b)) }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Bool => "bool".into(),
            Self::I8 => "i8".into(),
            Self::I16 => "i16".into(),
            Self::I32 => "i32".into(),
            Self::I64 => "i64".into(),
            Self::U8 => "u8".into(),
            Self::U16 => "u16".into(),
            Self::U32 => "u32".into(),
            Self::U64 => "u64".into(),
            Self::F32 => "f32".into(),
            Self::F64 => "f64".into(),
            Self::Date => "date".into(),
            Self::Time(unit, utc) => {
                let unit = match unit {
                    TimeUnit::Second => "s",
                    TimeUnit::Millisecond => "ms",
                    TimeUnit::Microsecond => "us",
                    TimeUnit::Nanosecond => "ns",
                };
                format!("time-{unit}{}", if utc { "-utc" } else { "" })
            }
            Self::Decimal { precision, scale } => format!("decimal-{precision}-{scale}"),
            Self::Text => "text".into(),
            Self::Bytes => "bytes".into(),
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond};
        let times = [Millisecond, Microsecond, Nanosecond].into_iter();
        let times = times.flat_map(|unit| [Self::Time(unit, false), Self::Time(unit, true)]);
        if let Some((precision, scale)) = name.strip_prefix("decimal-").and_then(|rest| rest.split_once('-'))
        {
            let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
            let kind = Self::Decimal { precision, scale };
            return Self::of(&kind.data_type()).filter(|kind| kind.name() == name);
        }
        [
            Self::Bool,
            Self::I8,
            Self::I16,
            Self::I32,
            Self::I64,
            Self::U8,
            Self::U16,
            Self::U32,
            Self::U64,
            Self::F32,
            Self::F64,
            Self::Date,
            Self::Text,
            Self::Bytes,
        ]
        .into_iter()
        .chain(times)
        .find(|kind| kind.name() == name)
    }
}

/// The columns of a file with decimals in the width that is ours; none where there are none. arrow-rs takes 128 bits for all.
pub(crate) fn narrow_decimals(schema: &Schema) -> Option<SchemaRef> {
    let narrow = |field: &FieldRef| {
        let DataType::Decimal128(precision, scale) = *field.data_type() else { return field.clone() };
        let narrow = [DataType::Decimal32(precision, scale), DataType::Decimal64(precision, scale)];
        match narrow.into_iter().find(|narrow| Kind::of(narrow).is_some()) {
            Some(narrow) => Arc::new(field.as_ref().clone().with_data_type(narrow)),
            None => field.clone(),
        }
    };
    let fields: Fields = schema.fields().iter().map(narrow).collect();
    (fields != *schema.fields()).then(|| Schema::new(fields).into())
}

/// A little-endian signed integer of up to eight bytes.
pub(crate) fn signed(bytes: &[u8]) -> i64 {
    let shift = 64 - 8 * bytes.len() as u32;
    (unsigned(bytes) << shift) as i64 >> shift
}

/// A little-endian unsigned integer of up to eight bytes.
pub(crate) fn unsigned(bytes: &[u8]) -> u64 {
    if let Ok(bytes) = bytes.try_into() {
        return u64::from_le_bytes(bytes);
    }
    let mut out = [0; 8];
    out[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_lead_back() {
        for unit in [TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            for utc in [false, true] {
                let kind = Kind::Time(unit, utc);
                assert_eq!(Kind::from_name(&kind.name()), Some(kind));
                assert_eq!(Kind::of(&kind.data_type()), Some(kind));
            }
        }
        for precision in 2..=18 {
            for scale in 0..=precision {
                let kind = Kind::Decimal { precision, scale };
                assert_eq!(Kind::from_name(&kind.name()), Some(kind));
                assert_eq!(Kind::of(&kind.data_type()), Some(kind));
            }
        }
        for odd in
            ["decimal-1-0", "decimal-19-2", "decimal-9-10", "decimal-09-2", "decimal-9-200", "decimal-9"]
        {
            assert_eq!(Kind::from_name(odd), None, "{odd}");
        }
        for odd in [DataType::Decimal64(9, 2), DataType::Decimal32(9, -1), DataType::Decimal128(18, 2)] {
            assert_eq!(Kind::of(&odd), None, "{odd}");
        }
        assert_eq!(Kind::from_name("i8"), Some(Kind::I8));
        assert_eq!(Kind::of(&DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Rome".into()))), None);
    }

    #[test]
    fn negative_numbers_come_first() {
        let (minus, plus) = ((-1i16).to_le_bytes(), 1i16.to_le_bytes());
        assert_eq!(Kind::I16.compare(&minus, &plus), Ordering::Less);
        assert_eq!(Kind::U16.compare(&minus, &plus), Ordering::Greater);
        assert_eq!(Kind::Text.compare(b"a", b"ab"), Ordering::Less);
    }
}
