//! Narrower types for columns, where that loses no more than was declared.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, DictionaryArray, PrimitiveArray, RecordBatch, cast::AsArray,
    types::*,
};
use arrow_schema::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};

use crate::{
    Config, Error,
    decimal::{self, MOST_DIGITS},
    encode::encoded,
};

/// How far a value may move when it is narrowed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tolerance {
    /// Not at all.
    Exact,
    /// By at most this, in the column's unit.
    Absolute(f64),
    /// By at most this share of the value. A 32-bit float moves a number by up to 6e-8 of it.
    Relative(f64),
}

/// Nobody declares a NaN.
impl Eq for Tolerance {}

impl Tolerance {
    fn allows(self, value: f64, moved: f64) -> bool {
        let most = match self {
            Self::Exact => 0.0,
            Self::Absolute(most) => most,
            Self::Relative(share) => share * value.abs(),
        };
        // Infinities and NaNs stay what they are; a finite number must not become one.
        value.is_nan() && moved.is_nan() || value == moved || (value - moved).abs() <= most
    }
}

/// Which columns of a batch may be narrowed, and how far.
///
/// 64-bit integers become 32-bit ones where all of them fit, and texts dictionaries where that is smaller: both lose nothing. 64-bit
/// floats become 32-bit ones or decimals only where a tolerance is declared for them.
///
/// ```
/// # use std::sync::Arc;
/// # use tidemill_storage::{Narrowing, Tolerance, arrow::arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray}};
/// let close: ArrayRef = Arc::new(Float64Array::from(vec![185.64, 184.25, 181.91]));
/// let symbol: ArrayRef = Arc::new(StringArray::from(vec!["AAPL"; 3]));
/// let bars = RecordBatch::try_from_iter([("symbol", symbol), ("close", close)])?;
/// let narrowed = Narrowing::new().float("close", Tolerance::Relative(1e-7)).apply(&bars)?;
/// assert!(narrowed.report.bytes_after < narrowed.report.bytes_before);
/// assert!(narrowed.report.columns[1].largest_error <= 1e-7 * 185.64);
///
/// // Prices are decimals: in half the memory they are the very same, and on disk their differences are short.
/// let narrowed = Narrowing::new().decimal("close", 2, Tolerance::Exact).apply(&bars)?;
/// assert_eq!(narrowed.report.columns[1].to, "Decimal32(9, 2)");
/// assert_eq!(narrowed.report.columns[1].largest_error, 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// With the places behind the point, where decimals are asked for.
    floats: Vec<(String, Option<u8>, Tolerance)>,
}

/// A narrowed batch and what became of its columns.
#[derive(Clone, Debug)]
pub struct Narrowed {
    /// The same rows; columns that were refused are as they were.
    pub batch: RecordBatch,
    /// Column by column.
    pub report: NarrowReport,
}

/// What narrowing did to a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NarrowReport {
    /// Each column of the batch, in order.
    pub columns: Vec<NarrowColumn>,
    /// Bytes in memory before, buffers and validity, without spare capacity.
    pub bytes_before: u64,
    /// The same after.
    pub bytes_after: u64,
}

/// What narrowing did to one column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NarrowColumn {
    /// The column.
    pub name: String,
    /// Its type before.
    pub from: String,
    /// Its type after; the same when it was left or refused.
    pub to: String,
    /// Bytes in memory before.
    pub bytes_before: u64,
    /// Bytes in memory after.
    pub bytes_after: u64,
    /// How far a value moved at most.
    pub largest_error: f64,
    /// Why it was refused, where it was: the first row that would move too far.
    pub refused: Option<String>,
}

impl Narrowing {
    /// Nothing declared: integers and texts only.
    pub fn new() -> Self {
        Self::default()
    }

    /// This column of 64-bit floats may become one of 32-bit floats if no value moves farther.
    pub fn float(mut self, column: impl Into<String>, tolerance: Tolerance) -> Self {
        self.floats.push((column.into(), None, tolerance));
        self
    }

    /// This column of 64-bit floats may become one of decimals with so many places behind the point, 18 at most, if no value moves
    /// farther: `Decimal32` of 9 digits where all values fit, else `Decimal64` of 18. NaN and the infinities fit no decimal.
    ///
    /// With [`Tolerance::Exact`] each is the very float that [`decimal::to_f64`](crate::decimal::to_f64) gives back; of a negative zero the
    /// sign is lost.
    pub fn decimal(mut self, column: impl Into<String>, scale: u8, tolerance: Tolerance) -> Self {
        self.floats.push((column.into(), Some(scale), tolerance));
        self
    }

    /// Narrows what may be narrowed.
    ///
    /// # Errors
    /// `Input` when a declared column does not exist or is none of 64-bit floats, or more than 18 places are asked for.
    pub fn apply(&self, batch: &RecordBatch) -> Result<Narrowed, Error> {
        let (schema, mut report) = (batch.schema(), NarrowReport::default());
        for (name, scale, _) in &self.floats {
            if scale.is_some_and(|scale| scale > MOST_DIGITS) {
                let why =
                    format!("column {name}: a decimal has at most {MOST_DIGITS} places behind the point");
                return Err(Error::input("narrowing", why));
            }
            let found = schema.field_with_name(name).map(|field| field.data_type().clone());
            if !matches!(found, Ok(DataType::Float64)) {
                return Err(Error::input("narrowing", format!("column {name} is not one of 64-bit floats")));
            }
        }
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let float = self.floats.iter().find(|(name, ..)| name == field.name());
            let float = float.map(|(_, scale, tolerance)| (*scale, *tolerance));
            let (narrow, largest_error, refused) = match column(array, float) {
                Ok((narrow, error)) => (narrow, error, None),
                Err(why) => (array.clone(), 0.0, Some(why)),
            };
            let (bytes_before, bytes_after) = (bytes(array), bytes(&narrow));
            let (from, to) = (field.data_type().to_string(), narrow.data_type().to_string());
            let name = field.name().clone();
            fields.push(Field::new(&name, narrow.data_type().clone(), field.is_nullable()));
            arrays.push(narrow);
            report.bytes_before += bytes_before;
            report.bytes_after += bytes_after;
            report.columns.push(NarrowColumn {
                name,
                from,
                to,
                bytes_before,
                bytes_after,
                largest_error,
                refused,
            });
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|e| Error::input("narrowing", e.to_string()))?;
        Ok(Narrowed { batch, report })
    }

    /// Bytes that the rows take as a file of this store, before and after; texts are dictionaries there either way.
    ///
    /// # Errors
    /// As `apply`; also for types that are not stored.
    pub fn on_disk(&self, batch: &RecordBatch, config: &Config) -> Result<(u64, u64), Error> {
        let narrowed = self.apply(batch)?.batch;
        let text = |(narrow, wide): (&ArrayRef, &ArrayRef)| match narrow.data_type() {
            DataType::Dictionary(..) => wide.clone(),
            _ => narrow.clone(),
        };
        let arrays = narrowed.columns().iter().zip(batch.columns()).map(text);
        let names = batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        let after = RecordBatch::try_from_iter(names.into_iter().zip(arrays))
            .map_err(|e| Error::input("narrowing", e.to_string()))?;
        let size = |batch| Ok::<_, Error>(encoded(batch, config)?.len() as u64);
        Ok((size(batch)?, size(&after)?))
    }
}

/// The column narrowed where that is right, and how far its values moved at most.
fn column(array: &ArrayRef, float: Option<(Option<u8>, Tolerance)>) -> Result<(ArrayRef, f64), String> {
    match (array.data_type(), float) {
        (DataType::Float64, Some((None, tolerance))) => to_f32(array, tolerance),
        (DataType::Float64, Some((Some(scale), tolerance))) => to_decimal(array, None, scale, tolerance),
        // A column that does not fit stays as it is: nothing was promised.
        (DataType::Int64, _) => Ok((to_i32(array).unwrap_or_else(|_| array.clone()), 0.0)),
        (DataType::UInt64, _) => {
            let narrow =
                each::<UInt64Type, UInt32Type>(array, |value| fits(u32::try_from(value).ok(), "UInt32"));
            Ok((narrow.map_or_else(|_| array.clone(), |narrow| Arc::new(narrow)), 0.0))
        }
        (DataType::Utf8, _) => Ok((
            to_dictionary(array).filter(|d| bytes(d) < bytes(array)).unwrap_or_else(|| array.clone()),
            0.0,
        )),
        _ => Ok((array.clone(), 0.0)),
    }
}

/// 64-bit floats as 32-bit ones, and how far they moved at most; else the first that would move too far.
pub(crate) fn to_f32(array: &ArrayRef, tolerance: Tolerance) -> Result<(ArrayRef, f64), String> {
    let mut largest = 0.0f64;
    let narrow = each::<Float64Type, Float32Type>(array, |value| {
        let moved = f64::from(value as f32);
        if !tolerance.allows(value, moved) {
            return Err(format!("does not fit Float32 within {tolerance:?}"));
        }
        let error = (value - moved).abs();
        largest = if error.is_finite() { largest.max(error) } else { largest };
        Ok(value as f32)
    })?;
    Ok((Arc::new(narrow), largest))
}

/// 64-bit integers as 32-bit ones; else the first that does not fit.
pub(crate) fn to_i32(array: &ArrayRef) -> Result<ArrayRef, String> {
    Ok(Arc::new(each::<Int64Type, Int32Type>(array, |value| fits(i32::try_from(value).ok(), "Int32"))?))
}

/// 64-bit floats, or decimals of 128 bits and this scale, as decimals of at most 18 digits, and how far they moved at most; else the
/// first that would move too far or has too many digits. Without a precision it is 9 where that is enough, else 18.
pub(crate) fn to_decimal(
    array: &ArrayRef,
    precision: Option<u8>,
    scale: u8,
    tolerance: Tolerance,
) -> Result<(ArrayRef, f64), String> {
    let most = precision.unwrap_or(MOST_DIGITS);
    let limit = decimal::limit(most);
    let long =
        || format!("takes more than {most} digits with {scale} behind the point; declare more, or a float");
    let mut largest = 0.0f64;
    let digits = match array.data_type() {
        DataType::Decimal128(_, found) if *found == scale as i8 => {
            each::<Decimal128Type, Int64Type>(array, |value| {
                let digits = i64::try_from(value).ok().filter(|digits| digits.unsigned_abs() < limit);
                digits.ok_or_else(long)
            })?
        }
        DataType::Float64 => each::<Float64Type, Int64Type>(array, |value| {
            if !value.is_finite() {
                return Err("is no decimal; make it a null, or declare a float".into());
            }
            let digits = decimal::digits(value, scale).filter(|digits| digits.unsigned_abs() < limit);
            let digits = digits.ok_or_else(long)?;
            let moved = decimal::float(digits, scale);
            if !tolerance.allows(value, moved) {
                return Err(format!(
                    "becomes {moved} with {scale} digits behind the point, farther than {tolerance:?} allows; declare more \
                     digits, or a tolerance"
                ));
            }
            largest = largest.max((value - moved).abs());
            Ok(digits)
        })?,
        other => return Err(format!("of type {other}, has another scale than {scale}")),
    };
    Ok((decimal::array(digits, precision, scale)?, largest))
}

fn fits<T>(narrow: Option<T>, to: &str) -> Result<T, String> {
    narrow.ok_or_else(|| format!("does not fit {to}"))
}

fn each<From: ArrowPrimitiveType, To: ArrowPrimitiveType>(
    array: &ArrayRef,
    mut narrow: impl FnMut(From::Native) -> Result<To::Native, String>,
) -> Result<PrimitiveArray<To>, String>
where
    From::Native: std::fmt::Display,
{
    let wide = array.as_primitive::<From>();
    let mut values = Vec::with_capacity(wide.len());
    for row in 0..wide.len() {
        if wide.is_null(row) {
            values.push(To::Native::default());
            continue;
        }
        let value = wide.value(row);
        values.push(narrow(value).map_err(|why| format!("row {row}: {value} {why}"))?);
    }
    Ok(PrimitiveArray::<To>::new(values.into(), wide.nulls().cloned()))
}

/// Texts as indexes of the shortest width into the texts that differ; none when there are too many.
fn to_dictionary(array: &ArrayRef) -> Option<ArrayRef> {
    let texts = array.as_string::<i32>();
    let mut seen: HashMap<&str, i32> = HashMap::new();
    let mut found = Vec::new();
    let mut keys: Vec<i32> = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) {
            keys.push(0);
            continue;
        }
        let text = texts.value(row);
        keys.push(*seen.entry(text).or_insert_with(|| {
            found.push(text);
            found.len() as i32 - 1
        }));
    }
    let values: ArrayRef = Arc::new(arrow_array::StringArray::from_iter_values(&found));
    fn narrow<K: ArrowDictionaryKeyType>(
        keys: &[i32],
        like: &dyn Array,
        values: ArrayRef,
        key: impl Fn(i32) -> K::Native,
    ) -> Option<ArrayRef> {
        let keys: Vec<K::Native> = keys.iter().map(|place| key(*place)).collect();
        let keys = PrimitiveArray::<K>::new(keys.into(), like.nulls().cloned());
        Some(Arc::new(DictionaryArray::<K>::try_new(keys, values).ok()?))
    }
    match found.len() {
        0..=0x80 => narrow::<Int8Type>(&keys, texts, values, |place| place as i8),
        0x81..=0x8000 => narrow::<Int16Type>(&keys, texts, values, |place| place as i16),
        _ => narrow::<Int32Type>(&keys, texts, values, |place| place),
    }
}

/// Bytes in memory, without spare capacity and without what a slice leaves out.
pub(crate) fn bytes(array: &ArrayRef) -> u64 {
    let data = array.to_data();
    data.get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()) as u64
}
