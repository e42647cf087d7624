//! Which folder of a table a row stands in.

use arrow_schema::TimeUnit;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    columns::Columns,
    kind::{Kind, signed},
};

/// How a table is cut into folders that query engines know as hive partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
#[non_exhaustive]
pub enum Partition {
    /// One file.
    #[default]
    None,
    /// `year=2024/`, by the UTC year of a timestamp column; for daily bars.
    Year {
        /// A timestamp column without nulls that is part of the key.
        column: String,
    },
    /// `date=2024-03-01/`, by the UTC day of a timestamp column; for minutes.
    Day {
        /// A timestamp column without nulls that is part of the key.
        column: String,
    },
}

impl Partition {
    pub(crate) fn column(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Year { column } | Self::Day { column } => Some(column),
        }
    }
}

/// A [`Partition`] bound to a table's columns: numbers a row's folder.
#[derive(Clone, Debug)]
pub(crate) enum Cut {
    None,
    Year { column: usize, per_day: i64 },
    Day { column: usize, per_day: i64 },
}

impl Cut {
    pub(crate) fn bind(
        partition: &Partition,
        table: &str,
        names: &[String],
        kinds: &[Kind],
        key: &[usize],
    ) -> Result<Self, Error> {
        let Some(name) = partition.column() else { return Ok(Self::None) };
        let bad = |why: &str| Error::config(format!("table {table}: partition column {name} {why}"));
        let column = names.iter().position(|n| n == name).ok_or_else(|| bad("does not exist"))?;
        let per_second = match kinds[column] {
            Kind::Time(TimeUnit::Millisecond, _) => 1000,
            Kind::Time(TimeUnit::Microsecond, _) => 1_000_000,
            Kind::Time(TimeUnit::Nanosecond, _) => 1_000_000_000,
            _ => return Err(bad("is not a timestamp")),
        };
        if !key.contains(&column) {
            // Else a changed time would leave the old row behind in another folder.
            return Err(bad("is not part of the key"));
        }
        let per_day = 86_400 * per_second;
        Ok(match partition {
            Partition::Year { .. } => Self::Year { column, per_day },
            _ => Self::Day { column, per_day },
        })
    }

    /// The year, or the day since 1970, of a row.
    pub(crate) fn of(&self, columns: &Columns, row: usize) -> i64 {
        match self {
            Self::None => 0,
            Self::Year { column, per_day } => {
                civil(signed(columns.value(*column, row)).div_euclid(*per_day)).0
            }
            Self::Day { column, per_day } => signed(columns.value(*column, row)).div_euclid(*per_day),
        }
    }

    /// False when no row of the folder can have a value of this column in the range.
    pub(crate) fn may_hold(&self, folder: i64, ranged: usize, range: &std::ops::Range<i64>) -> bool {
        let (Self::Year { column, per_day } | Self::Day { column, per_day }) = self else { return true };
        if *column != ranged {
            return true;
        }
        if range.is_empty() {
            return false;
        }
        let (first, last) = (range.start.div_euclid(*per_day), (range.end - 1).div_euclid(*per_day));
        match self {
            Self::Year { .. } => civil(first).0 <= folder && folder <= civil(last).0,
            _ => first <= folder && folder <= last,
        }
    }

    /// True when folders, by number, follow each other as the values of this column do.
    pub(crate) fn follows(&self, place: Option<usize>) -> bool {
        match self {
            Self::None => true,
            Self::Year { column, .. } | Self::Day { column, .. } => place == Some(*column),
        }
    }

    /// The folder, empty for none.
    pub(crate) fn folder(&self, id: i64) -> String {
        match self {
            Self::None => String::new(),
            Self::Year { .. } => format!("year={id:04}"),
            Self::Day { .. } => {
                let (year, month, day) = civil(id);
                format!("date={year:04}-{month:02}-{day:02}")
            }
        }
    }
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(day: i64) -> (i64, u32, u32) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_on_both_sides_of_1970() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(-1), (1969, 12, 31));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(-25_509), (1900, 2, 28));
        // Every day follows the one before.
        let mut last = civil(-200_000);
        for day in -199_999..200_000 {
            let next = civil(day);
            assert!(next > last);
            last = next;
        }
    }
}
