//! What an operator may set about a store.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidemill_journal::Config as JournalConfig;

use crate::Error;

/// Settings of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The journal: when commits are durable, segment length, what to do about corruption.
    pub journal: JournalConfig,
    /// `needs_publish` answers yes once the rows in memory take this many bytes. Default 16 MiB. Commits are refused
    /// (retryable) once a single table holds four times this, rows being published included, which bounds the memory of a store
    /// that cannot publish, or not as fast as rows come.
    pub flush_bytes: u64,
    /// Files written at once by a publish, each on a thread of its own and with the memory of a row group. Default 1: the thread
    /// that publishes and no other; at most 10.
    pub publish_threads: usize,
    /// How long each write of a publish or a compaction lets commits go first. Default `"50ms"`; `"0ms"` gives commits no
    /// precedence.
    #[serde(with = "duration")]
    pub commits_first: Duration,
    /// How long a replaced snapshot stays for readers that have it open. Default `"10m"`.
    #[serde(with = "duration")]
    pub reader_grace: Duration,
    /// Decoded published rows kept to recognise duplicates, bytes. Default 16 MiB.
    pub cache_bytes: u64,
    /// Parsed footers and page indexes of published files kept for the next read, bytes; 0 keeps none. Default 16 MiB, which is that of
    /// some 50 million rows of seven columns.
    pub footer_bytes: u64,
    /// Compression of published files. Default `"auto"`: zstd for a column where it gains, nothing where it does not.
    pub compression: Compression,
    /// Level of zstd, 1 to 22; the others have none. Default 3, by which plain integers are packed as by 2: that makes them smaller.
    pub compression_level: i32,
    /// A folder's file longer than this is cut into parts by a hash of the series, at the end of a publish. Default 256 MiB;
    /// at least 1 KiB.
    pub split_bytes: u64,
    /// Rows in a row group. Default 50 000. A million, for an archive that is loaded and seldom changed, takes 16 % less of real daily bars.
    pub row_group_rows: usize,
    /// Bytes in a data page before compression, and in a dictionary. Default 1 MB.
    pub page_bytes: usize,
    /// Rows in a data page. Default 2500: readers that ask for a range of time skip pages by the page index.
    pub page_rows: usize,
}

/// How pages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Chosen from the data, column by column and row group by row group: zstd, or none where it does not gain 2 %.
    Auto,
    /// Smallest. Pages that it does not make 2 % smaller are stored within zstd frames.
    Zstd,
    /// Less CPU, more bytes.
    Snappy,
    /// LZ4 blocks, which Parquet names LZ4_RAW.
    Lz4,
    /// As encoded.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            journal: JournalConfig::default(),
            flush_bytes: 16 << 20,
            publish_threads: 1,
            commits_first: Duration::from_millis(50),
            reader_grace: Duration::from_secs(600),
            cache_bytes: 16 << 20,
            footer_bytes: 16 << 20,
            compression: Compression::Auto,
            compression_level: 3,
            split_bytes: 256 << 20,
            row_group_rows: 50_000,
            page_bytes: 1_000_000,
            page_rows: 2500,
        }
    }
}

impl Config {
    /// Checks every bound and names the field that is out of it.
    pub fn check(&self) -> Result<(), Error> {
        self.journal.check()?;
        if !(1..=22).contains(&self.compression_level) {
            return Err(Error::config("compression_level must be between 1 and 22"));
        }
        if self.flush_bytes == 0 || self.flush_bytes > 1 << 30 {
            return Err(Error::config("flush_bytes must be between 1 and 1 GiB"));
        }
        if !(1..=10).contains(&self.publish_threads) {
            return Err(Error::config("publish_threads must be between 1 and 10"));
        }
        if self.split_bytes < 1024 {
            return Err(Error::config("split_bytes must be at least 1 KiB"));
        }
        if self.row_group_rows == 0 || self.row_group_rows > 10_000_000 {
            return Err(Error::config("row_group_rows must be between 1 and 10 million"));
        }
        if !(1024..=64 << 20).contains(&self.page_bytes) {
            return Err(Error::config("page_bytes must be between 1 KiB and 64 MiB"));
        }
        if !(1..=10_000_000).contains(&self.page_rows) {
            return Err(Error::config("page_rows must be between 1 and 10 million"));
        }
        Ok(())
    }

    /// Commits are refused once a table holds this much unpublished.
    pub(crate) fn memory_limit(&self) -> u64 {
        self.flush_bytes * 4
    }
}

pub(crate) mod duration {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}ms", value.as_millis()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        let bad = || serde::de::Error::custom(format!("{text:?} is no duration such as \"10m\" or \"30s\""));
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = text[..digits].parse().map_err(|_| bad())?;
        let millis = match &text[digits..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(bad()),
        };
        number.checked_mul(millis).map(Duration::from_millis).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_and_unknown_fields_are_errors() {
        let read = |text: &str| serde_json::from_str::<Config>(text);
        let config =
            read(r#"{"reader_grace":"10m","compression":"snappy","journal":{"sync":"30s"}}"#).unwrap();
        assert_eq!(config.reader_grace, Duration::from_secs(600));
        assert_eq!(config.compression, Compression::Snappy);
        assert!(read(r#"{"reader_grace":"soon"}"#).is_err());
        assert!(read(r#"{"flush":1}"#).unwrap_err().to_string().contains("flush"));
        let again: Config = read(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        assert!(Config { compression_level: 0, ..config }.check().is_err());
    }
}
