//! What both databases share: versions of the tables that only go forward, and JSON columns read with care.

use crate::error::Error;
use crate::id::TaskId;
use crate::record::Failure;

/// The version of the tables that this program writes.
pub(crate) const VERSION: i64 = 1;

/// Which steps of `steps` are still to be done on tables of version `found`; a newer version is not touched.
pub(crate) fn pending<'a>(found: i64, steps: &'a [&'a str]) -> Result<&'a [&'a str], Error> {
    usize::try_from(found).ok().and_then(|found| steps.get(found..)).ok_or_else(|| {
        Error::schema(format!("has version {found}, this program knows up to {VERSION}; use a newer one"))
    })
}

/// A number for a column; ids and tokens stay far below the end.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from a column; below zero there is none of ours.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A count from a column.
pub(crate) fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// The history of failures from its column.
pub(crate) fn failures(id: TaskId, text: Option<&str>) -> Result<Vec<Failure>, Error> {
    let Some(text) = text else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|_| broken(id, "list of failures"))
}

/// The history of failures for its column.
pub(crate) fn failures_text(failures: &[Failure]) -> String {
    serde_json::to_string(failures).unwrap_or_else(|_| "[]".to_owned())
}

/// A row that somebody else wrote.
pub(crate) fn broken(id: TaskId, what: &str) -> Error {
    Error::schema(format!("holds a broken {what} under task {id}; repair the row"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn versions_only_go_forward() {
        let steps = ["one", "two"];
        assert_eq!(pending(0, &steps).unwrap(), ["one", "two"]);
        assert_eq!(pending(1, &steps).unwrap(), ["two"]);
        assert!(pending(2, &steps).unwrap().is_empty());
        for newer in [3, i64::MAX, -1] {
            assert_eq!(pending(newer, &steps).unwrap_err().kind(), ErrorKind::Schema);
        }
    }

    #[test]
    fn a_broken_history_is_told() {
        assert!(failures(TaskId(1), None).unwrap().is_empty());
        assert_eq!(failures(TaskId(1), Some("{")).unwrap_err().kind(), ErrorKind::Schema);
    }
}
