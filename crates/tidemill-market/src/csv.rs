//! Comma-separated lines (RFC 4180) with the bytes of every record known.

use std::borrow::Cow;

/// One record: its fields, and the bytes it takes without its line end.
pub(crate) struct Record<'a> {
    pub(crate) fields: Vec<Cow<'a, str>>,
    pub(crate) span: (u32, u32),
    /// A quote was opened and not closed, or text stands behind a closed one.
    pub(crate) broken: bool,
}

/// Walks over the records of a text; blank lines are passed over. The caller bounds the length below 4 GiB.
pub(crate) struct Records<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads the next record into `record`, whose allocation is used again. False at the end.
    pub(crate) fn read(&mut self, record: &mut Record<'a>) -> bool {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b'\n' | b'\r')) {
            self.at += 1;
        }
        record.fields.clear();
        record.broken = false;
        let start = self.at;
        if start >= bytes.len() {
            return false;
        }
        loop {
            let field = self.field(record);
            record.fields.push(field);
            match bytes.get(self.at) {
                Some(b',') => self.at += 1,
                _ => break,
            }
        }
        record.span = (start as u32, self.at as u32);
        true
    }

    /// Reads up to the comma or line end behind a field.
    fn field(&mut self, record: &mut Record<'a>) -> Cow<'a, str> {
        let rest = &self.text[self.at..];
        if !rest.starts_with('"') {
            let length = rest.bytes().position(|b| matches!(b, b',' | b'\n' | b'\r')).unwrap_or(rest.len());
            self.at += length;
            return Cow::Borrowed(&rest[..length]);
        }
        let mut out = String::new();
        let mut inner = &rest[1..];
        loop {
            let Some((before, after)) = inner.split_once('"') else {
                record.broken = true;
                self.at = self.text.len();
                out.push_str(inner);
                return Cow::Owned(out);
            };
            out.push_str(before);
            inner = after;
            match inner.strip_prefix('"') {
                Some(more) => {
                    out.push('"');
                    inner = more;
                }
                None => break,
            }
        }
        let trailing = inner.bytes().position(|b| matches!(b, b',' | b'\n' | b'\r')).unwrap_or(inner.len());
        record.broken |= trailing > 0;
        self.at = self.text.len() - inner.len() + trailing;
        Cow::Owned(out)
    }
}

impl Record<'_> {
    pub(crate) fn empty() -> Self {
        Self { fields: Vec::new(), span: (0, 0), broken: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(Vec<String>, &str, bool)> {
        let mut records = Records::new(text);
        let mut record = Record::empty();
        let mut out = Vec::new();
        while records.read(&mut record) {
            let (start, end) = record.span;
            let fields = record.fields.iter().map(|f| f.to_string()).collect();
            out.push((fields, &text[start as usize..end as usize], record.broken));
        }
        out
    }

    #[test]
    fn quotes_line_ends_and_spans() {
        let records = all("a,b\r\n\r\n\"x,\"\"y\",2\n,\n\"open");
        assert_eq!(records[0], (vec!["a".into(), "b".into()], "a,b", false));
        assert_eq!(records[1], (vec!["x,\"y".into(), "2".into()], "\"x,\"\"y\",2", false));
        assert_eq!(records[2], (vec!["".into(), "".into()], ",", false));
        assert!(records[3].2);
        assert!(all("\"a\"b,c")[0].2);
        assert!(all("").is_empty());
    }
}
