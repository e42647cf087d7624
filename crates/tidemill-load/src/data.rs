//! Data files: CSV with a header line, whose columns are the variables of templates.

use std::path::Path;

use crate::error::Error;
use crate::random::mix;
use crate::scenario::{Data, Pick};

/// The rows of a file, in memory.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<String>,
    rows: Vec<Vec<String>>,
    pick: Pick,
}

impl Rows {
    pub(crate) fn load(data: &Data, most_bytes: u64) -> Result<Self, Error> {
        let text = read_bounded(&data.path, most_bytes, "data.path")?;
        let mut records = records(&text).map_err(|reason| Error::plan("data.path", reason))?.into_iter();
        let columns = records.next().unwrap_or_default();
        let rows: Vec<Vec<String>> = records.collect();
        if rows.is_empty() {
            return Err(Error::plan("data.path", "the file has no row below its header line"));
        }
        if let Some(n) = rows.iter().position(|row| row.len() != columns.len()) {
            let reason = format!("row {} has {} values, the header {}", n + 1, rows[n].len(), columns.len());
            return Err(Error::plan("data.path", reason));
        }
        Ok(Self { columns, rows, pick: data.pick })
    }

    /// The row of an arrival.
    pub(crate) fn row(&self, arrival: u64, seed: u64) -> &[String] {
        let n = match self.pick {
            Pick::InTurn => arrival,
            Pick::Random => mix(seed ^ mix(arrival)),
        };
        &self.rows[(n % self.rows.len() as u64) as usize]
    }
}

/// A text file of at most so many bytes.
pub(crate) fn read_bounded(path: &Path, most_bytes: u64, field: &str) -> Result<String, Error> {
    use std::io::Read as _;
    let read = || {
        let mut text = String::new();
        std::fs::File::open(path)?.take(most_bytes + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text: String = read().map_err(|error| Error::file("read", path, error))?;
    if text.len() as u64 > most_bytes {
        return Err(Error::plan(field, format!("the file is larger than `limits.data`, {most_bytes} bytes")));
    }
    Ok(text)
}

/// The records of a CSV text: commas, quotes doubled inside quotes, CRLF or LF.
fn records(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut records = Vec::new();
    let (mut record, mut field, mut quoted, mut line) = (Vec::new(), String::new(), false, 1);
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = chars.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            _ if quoted => field.push(c),
            ',' => record.push(std::mem::take(&mut field)),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                record.push(std::mem::take(&mut field));
                let whole = std::mem::take(&mut record);
                if whole.len() > 1 || !whole[0].is_empty() {
                    records.push(whole);
                }
            }
            '"' => return Err(format!("a quote inside an unquoted value in line {line}")),
            c => field.push(c),
        }
    }
    if quoted {
        return Err("a quoted value has no end".to_owned());
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_read_with_its_quotes() {
        let text = "a,b\r\n1,\"x, \"\"y\"\"\nz\"\n\n2,";
        assert_eq!(records(text).unwrap(), [["a", "b"], ["1", "x, \"y\"\nz"], ["2", ""]]);
        assert!(records("a\n\"open").is_err() && records("a\nb\"c\n").is_err());
        assert!(records("").unwrap().is_empty());
    }

    #[test]
    fn rows_come_in_turn_or_by_the_seed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        std::fs::write(&path, "id\n0\n1\n2\n").unwrap();
        let rows = Rows::load(&Data { path: path.clone(), pick: Pick::InTurn }, 1000).unwrap();
        assert_eq!(
            (rows.row(4, 0), rows.row(5, 9)),
            (["1".to_owned()].as_slice(), ["2".to_owned()].as_slice())
        );
        let random = Rows::load(&Data { path: path.clone(), pick: Pick::Random }, 1000).unwrap();
        let drawn: Vec<&[String]> = (0..300).map(|k| random.row(k, 1)).collect();
        assert!((0..3).all(|id| drawn.iter().filter(|row| row[0] == id.to_string()).count() > 50));
        assert!(Rows::load(&Data { path: path.clone(), pick: Pick::InTurn }, 3).is_err());
        std::fs::write(&path, "id,b\n0\n").unwrap();
        assert!(
            Rows::load(&Data { path, pick: Pick::InTurn }, 100).unwrap_err().to_string().contains("row 1")
        );
    }
}
