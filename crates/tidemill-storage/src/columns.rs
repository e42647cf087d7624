//! Rows in memory, column by column, in plain bytes: cheap to append, compare, journal and turn into Arrow.

use std::{ops::Range, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, RecordBatch, StringArray, cast::AsArray, types::*,
};
use arrow_buffer::{
    ArrowNativeType, BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer,
};
use arrow_schema::{ArrowError, SchemaRef, TimeUnit};

use crate::kind::Kind;

#[derive(Debug)]
pub(crate) struct Columns {
    columns: Vec<Column>,
    len: usize,
}

#[derive(Debug)]
struct Column {
    kind: Kind,
    data: MutableBuffer,
    /// One more than rows, for kinds of varying width only.
    offsets: Vec<i32>,
    /// One byte a row; absent while nothing is null.
    valid: Option<Vec<u8>>,
}

/// One column as it lies in memory.
pub(crate) struct ColumnView<'a> {
    pub(crate) kind: Kind,
    pub(crate) rows: usize,
    pub(crate) data: &'a [u8],
    /// One more than rows, for kinds of varying width only.
    pub(crate) offsets: &'a [i32],
    /// One byte a row; absent while nothing is null.
    pub(crate) valid: Option<&'a [u8]>,
}

impl Columns {
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        let column = |kind: &Kind| Column {
            kind: *kind,
            // Aligned for the widest value and no more: 128 bytes, Arrow's choice, costs an aligned allocation each.
            data: MutableBuffer::from(Vec::<u64>::new()),
            offsets: if kind.width().is_none() { vec![0] } else { Vec::new() },
            valid: None,
        };
        Self { columns: kinds.iter().map(column).collect(), len: 0 }
    }

    /// Makes room for `rows` in all, with texts about as long as those of `like`: growing by doubling would waste a half.
    pub(crate) fn reserve(&mut self, rows: usize, like: Option<&Self>) {
        for (at, column) in self.columns.iter_mut().enumerate() {
            match column.kind.width() {
                Some(width) => column.data.reserve(rows * width),
                None => {
                    column.offsets.reserve_exact(rows);
                    if let Some(like) = like {
                        column.data.reserve(like.columns[at].data.len());
                    }
                }
            }
        }
    }

    /// Copies a batch whose columns have these kinds, in this order.
    pub(crate) fn from_batch(kinds: &[Kind], batch: &RecordBatch) -> Self {
        let mut out = Self::new(kinds);
        out.refill(batch);
        out
    }

    /// Holds the rows of this batch, of the same kinds, in place of those before; the memory is used again.
    pub(crate) fn refill(&mut self, batch: &RecordBatch) {
        self.truncate(0);
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.push_array(array);
        }
        self.len = batch.num_rows();
    }

    /// Copies one array into the only column.
    pub(crate) fn push_array(&mut self, array: &ArrayRef) {
        if let [column] = &mut self.columns[..] {
            column.push_array(array);
            self.len = array.len();
        }
    }

    /// No rows, of the same kinds.
    pub(crate) fn empty_like(&self) -> Self {
        let kinds: Vec<Kind> = self.columns.iter().map(|column| column.kind).collect();
        Self::new(&kinds)
    }

    /// How many columns there are.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.columns.iter().map(|c| c.data.capacity() + c.offsets.capacity() * 4).sum()
    }

    /// All rows of one column.
    pub(crate) fn view(&self, column: usize) -> ColumnView<'_> {
        let Column { kind, data, offsets, valid } = &self.columns[column];
        ColumnView { kind: *kind, rows: self.len, data: data.as_slice(), offsets, valid: valid.as_deref() }
    }

    /// The bytes of one value; empty when it is null.
    pub(crate) fn value(&self, column: usize, row: usize) -> &[u8] {
        let column = &self.columns[column];
        &column.data.as_slice()[column.span(row..row + 1)]
    }

    pub(crate) fn is_null(&self, column: usize, row: usize) -> bool {
        self.columns[column].valid.as_ref().is_some_and(|valid| valid[row] == 0)
    }

    pub(crate) fn has_nulls(&self, column: usize) -> bool {
        self.columns[column].valid.as_ref().is_some_and(|valid| valid.contains(&0))
    }

    /// Where the rows from the first on end that hold the same value, nulls left aside. Costs as much as there are of them.
    pub(crate) fn run(&self, column: usize, rows: Range<usize>) -> usize {
        let column = &self.columns[column];
        let (mut end, mut step) = (rows.start + 1, 1);
        while end < rows.end {
            let next = rows.end.min(end + step);
            if !column.repeats(end - 1..next) {
                if step == 1 {
                    return end;
                }
                step = 1;
                continue;
            }
            end = next;
            step *= 2;
        }
        rows.end
    }

    /// True when two rows hold the same bits; a NaN equals itself.
    pub(crate) fn same_row(&self, row: usize, other: &Self, other_row: usize) -> bool {
        (0..self.columns.len()).all(|c| {
            self.is_null(c, row) == other.is_null(c, other_row)
                && self.value(c, row) == other.value(c, other_row)
        })
    }

    pub(crate) fn push_rows(&mut self, from: &Self, rows: Range<usize>) {
        for (to, from) in self.columns.iter_mut().zip(&from.columns) {
            to.push_column(from, rows.clone(), self.len);
        }
        self.len += rows.len();
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        for column in &mut self.columns {
            let end = column.span(0..len).end;
            column.data.truncate(end);
            column.offsets.truncate(if column.kind.width().is_none() { len + 1 } else { 0 });
            if let Some(valid) = &mut column.valid {
                valid.truncate(len);
            }
        }
        self.len = len;
    }

    /// Turns the rows into a batch of this schema without copying the values.
    pub(crate) fn into_batch(self, schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
        let len = self.len;
        let arrays = self.columns.into_iter().map(|c| c.into_array(len)).collect::<Result<Vec<_>, _>>()?;
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(len));
        RecordBatch::try_new_with_options(schema, arrays, &options)
    }

    /// Appends the rows to a journal payload; FORMAT.md describes the bytes.
    pub(crate) fn encode(&self, rows: Range<usize>, out: &mut Vec<u8>) {
        out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
        for column in &self.columns {
            match &column.valid {
                Some(valid) => {
                    out.push(1);
                    out.extend_from_slice(&valid[rows.clone()]);
                }
                None => out.push(0),
            }
            let span = column.span(rows.clone());
            if column.kind.width().is_none() {
                for offset in &column.offsets[rows.start + 1..=rows.end] {
                    out.extend_from_slice(&(*offset as u32 - span.start as u32).to_le_bytes());
                }
            }
            out.extend_from_slice(&column.data.as_slice()[span]);
        }
    }

    /// Reads what `encode` wrote; none when the bytes are not that.
    pub(crate) fn decode(kinds: &[Kind], bytes: &mut &[u8]) -> Option<Self> {
        let len = u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?) as usize;
        let mut out = Self::new(kinds);
        for column in &mut out.columns {
            match take(bytes, 1)? {
                [0] => {}
                [1] => column.valid = Some(take(bytes, len)?.to_vec()),
                _ => return None,
            }
            let size = match column.kind.width() {
                Some(width) => len.checked_mul(width)?,
                None => {
                    let ends = take(bytes, len.checked_mul(4)?)?;
                    for end in ends.chunks_exact(4) {
                        let end = i32::from_le_bytes(end.try_into().ok()?);
                        if end < *column.offsets.last()? {
                            return None;
                        }
                        column.offsets.push(end);
                    }
                    *column.offsets.last()? as usize
                }
            };
            let data = take(bytes, size)?;
            column.data.extend_from_slice(data);
        }
        out.len = len;
        Some(out)
    }
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(len)?;
    *bytes = tail;
    Some(head)
}

impl Column {
    /// True when all these rows hold the same bytes: those of all but the last are those of all but the first.
    fn repeats(&self, rows: Range<usize>) -> bool {
        let bytes = &self.data.as_slice()[self.span(rows.clone())];
        let width = self.span(rows.start..rows.start + 1).len();
        let even = |ends: &[i32]| ends.windows(2).all(|pair| (pair[1] - pair[0]) as usize == width);
        (self.kind.width().is_some() || even(&self.offsets[rows.start..=rows.end]))
            && bytes[width..] == bytes[..bytes.len() - width]
    }

    /// Where the values of these rows stand.
    fn span(&self, rows: Range<usize>) -> Range<usize> {
        match self.kind.width() {
            Some(width) => rows.start * width..rows.end * width,
            None => self.offsets[rows.start] as usize..self.offsets[rows.end] as usize,
        }
    }

    fn push_column(&mut self, from: &Self, rows: Range<usize>, len: usize) {
        let span = from.span(rows.clone());
        if from.kind.width().is_none() {
            let shift = self.data.len() as i32 - span.start as i32;
            self.offsets.extend(from.offsets[rows.start + 1..=rows.end].iter().map(|end| end + shift));
        }
        self.data.extend_from_slice(&from.data.as_slice()[span]);
        match (&mut self.valid, &from.valid) {
            (None, None) => {}
            (Some(to), None) => to.resize(len + rows.len(), 1),
            (to, Some(from)) => {
                to.get_or_insert_with(|| vec![1; len]).extend_from_slice(&from[rows]);
            }
        }
    }

    /// Values under a null become zero, so that equal rows have equal bytes.
    fn push_array(&mut self, array: &ArrayRef) {
        let len = array.len();
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        self.valid = nulls.map(|nulls| nulls.iter().map(u8::from).collect());
        if self.kind == Kind::Bool {
            self.data.extend(array.as_boolean().values().iter().map(u8::from));
            // One byte a value here; Arrow has one bit.
        } else if let Some(width) = self.kind.width() {
            let data = array.to_data();
            let from = data.offset() * width;
            self.data.extend_from_slice(&data.buffers()[0].as_slice()[from..from + len * width]);
        } else {
            let (offsets, values) = match self.kind {
                Kind::Text => {
                    (array.as_string::<i32>().offsets().clone(), array.as_string::<i32>().values().clone())
                }
                _ => (array.as_binary::<i32>().offsets().clone(), array.as_binary::<i32>().values().clone()),
            };
            self.offsets.reserve_exact(len);
            if nulls.is_none() {
                let (first, last) = (offsets[0], offsets[len]);
                self.data.extend_from_slice(&values[first as usize..last as usize]);
                self.offsets.extend(offsets[1..=len].iter().map(|end| end - first));
                return;
            }
            for row in 0..len {
                if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                    self.data.extend_from_slice(&values[offsets[row] as usize..offsets[row + 1] as usize]);
                }
                self.offsets.push(self.data.len() as i32);
            }
        }
        if let (Some(width), Some(nulls)) = (self.kind.width(), nulls) {
            for row in (0..len).filter(|row| nulls.is_null(*row)) {
                self.data.as_slice_mut()[row * width..(row + 1) * width].fill(0);
            }
        }
    }

    fn into_array(self, len: usize) -> Result<ArrayRef, ArrowError> {
        let nulls = self.valid.map(|valid| NullBuffer::from_iter(valid.iter().map(|v| *v != 0)));
        if self.kind == Kind::Bool {
            let values = BooleanBuffer::collect_bool(len, |row| self.data.as_slice()[row] != 0);
            return Ok(Arc::new(BooleanArray::new(values, nulls)));
        }
        let data: Buffer = self.data.into();
        Ok(match self.kind {
            Kind::Bool | Kind::I8 => primitive::<Int8Type>(data, len, nulls)?,
            Kind::I16 => primitive::<Int16Type>(data, len, nulls)?,
            Kind::I32 => primitive::<Int32Type>(data, len, nulls)?,
            Kind::I64 => primitive::<Int64Type>(data, len, nulls)?,
            Kind::U8 => primitive::<UInt8Type>(data, len, nulls)?,
            Kind::U16 => primitive::<UInt16Type>(data, len, nulls)?,
            Kind::U32 => primitive::<UInt32Type>(data, len, nulls)?,
            Kind::U64 => primitive::<UInt64Type>(data, len, nulls)?,
            Kind::F32 => primitive::<Float32Type>(data, len, nulls)?,
            Kind::F64 => primitive::<Float64Type>(data, len, nulls)?,
            Kind::Date => primitive::<Date32Type>(data, len, nulls)?,
            Kind::Time(TimeUnit::Second, utc) => time::<TimestampSecondType>(data, len, nulls, utc)?,
            Kind::Time(TimeUnit::Millisecond, utc) => {
                time::<TimestampMillisecondType>(data, len, nulls, utc)?
            }
            Kind::Time(TimeUnit::Microsecond, utc) => {
                time::<TimestampMicrosecondType>(data, len, nulls, utc)?
            }
            Kind::Time(TimeUnit::Nanosecond, utc) => time::<TimestampNanosecondType>(data, len, nulls, utc)?,
            Kind::Decimal { precision, scale } if precision <= 9 => {
                decimal::<Decimal32Type>(data, len, nulls, (precision, scale))?
            }
            Kind::Decimal { precision, scale } => {
                decimal::<Decimal64Type>(data, len, nulls, (precision, scale))?
            }
            Kind::Text => Arc::new(StringArray::try_new(offsets(self.offsets), data, nulls)?),
            Kind::Bytes => Arc::new(BinaryArray::try_new(offsets(self.offsets), data, nulls)?),
        })
    }
}

fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(ends))
}

fn primitive<T: ArrowPrimitiveType>(
    data: Buffer,
    len: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError>
where
    T::Native: ArrowNativeType,
{
    Ok(Arc::new(arrow_array::PrimitiveArray::<T>::try_new(ScalarBuffer::new(data, 0, len), nulls)?))
}

fn decimal<T: ArrowPrimitiveType + DecimalType>(
    data: Buffer,
    len: usize,
    nulls: Option<NullBuffer>,
    (precision, scale): (u8, u8),
) -> Result<ArrayRef, ArrowError> {
    let array = arrow_array::PrimitiveArray::<T>::try_new(ScalarBuffer::new(data, 0, len), nulls)?;
    Ok(Arc::new(array.with_precision_and_scale(precision, scale as i8)?))
}

fn time<T: ArrowTimestampType>(
    data: Buffer,
    len: usize,
    nulls: Option<NullBuffer>,
    utc: bool,
) -> Result<ArrayRef, ArrowError> {
    let array = arrow_array::PrimitiveArray::<T>::try_new(ScalarBuffer::new(data, 0, len), nulls)?;
    Ok(Arc::new(array.with_timezone_opt(utc.then_some("UTC"))))
}
