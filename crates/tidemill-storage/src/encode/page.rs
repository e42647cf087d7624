//! Page headers, in Thrift's compact protocol: arrow-rs writes them without a checksum.

use parquet::basic::Encoding;

/// What a page is.
#[derive(Clone, Copy, Debug)]
pub(super) enum PageKind {
    Data,
    Dictionary,
}

/// A data or dictionary page as it stands in a file: header, with the CRC-32 of what follows, then the bytes.
pub(super) fn page(
    kind: PageKind,
    values: usize,
    encoding: Encoding,
    size: usize,
    packed: &[u8],
    out: &mut Vec<u8>,
) {
    const INTEGER: u8 = 5;
    const STRUCT: u8 = 12;
    const FALSE: u8 = 2;
    let mut field = |skip: u8, value: i32| {
        out.push(skip << 4 | INTEGER);
        integer(value, out);
    };
    field(1, if let PageKind::Data = kind { 0 } else { 2 });
    field(1, size as i32);
    field(1, packed.len() as i32);
    field(1, crc32fast::hash(packed) as i32);
    out.push(if let PageKind::Data = kind { 1 } else { 3 } << 4 | STRUCT);
    let mut field = |value: i32| {
        out.push(1 << 4 | INTEGER);
        integer(value, out);
    };
    field(values as i32);
    field(encoding as i32);
    if let PageKind::Data = kind {
        // Of definition and repetition levels.
        field(Encoding::RLE as i32);
        field(Encoding::RLE as i32);
    } else {
        // Readers make nothing of "sorted".
        out.push(1 << 4 | FALSE);
    }
    // The ends of the inner struct and of the header.
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(packed);
}

fn integer(value: i32, out: &mut Vec<u8>) {
    super::bits::varint(u64::from((value << 1 ^ value >> 31) as u32), out);
}
