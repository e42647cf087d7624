//! An embeddable, crash-safe, upserting dataset that any Parquet reader opens as it lies.
//!
//! A [`Store`] is a directory with several tables. [`Store::commit`] upserts rows into any of them, all or none, and
//! returns when they are durable in a journal; [`Store::publish`] writes them as Parquet and swaps one symbolic link a
//! table, so that a reader of `DATA/parquet/<table>` sees one whole snapshot. The last write of a key wins; rows that are
//! already there are skipped and counted.
//!
//! Prices may be [`decimal`]s: exact, and two thirds of the bytes of floats.
//!
//! ```
//! use std::sync::Arc;
//! use tidemill_storage::{
//!     Changes, Config, Partition, Scan, Store, TableSpec,
//!     arrow::{arrow_array::{Float64Array, RecordBatch, StringArray, TimestampNanosecondArray}, arrow_schema::*},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let schema = Arc::new(Schema::new(vec![
//!     Field::new("symbol", DataType::Utf8, false),
//!     Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
//!     Field::new("close", DataType::Float64, true),
//! ]));
//! let bars = TableSpec::new("us_daily", schema.clone(), ["symbol", "ts"])
//!     .partition(Partition::Year { column: "ts".into() });
//! let store = Store::builder(Config::default()).table(bars).open(dir.path())?;
//!
//! let rows = RecordBatch::try_new(schema, vec![
//!     Arc::new(StringArray::from(vec!["AAPL", "AAPL"])),
//!     Arc::new(TimestampNanosecondArray::from(vec![1_704_153_600_000_000_000, 1_704_240_000_000_000_000])
//!         .with_timezone("UTC")),
//!     Arc::new(Float64Array::from(vec![185.64, 184.25])),
//! ])?;
//! let receipt = store.commit(Changes::new().upsert("us_daily", rows.clone()))?; // durable from here on
//! assert_eq!((receipt.tables[0].stored, receipt.tables[0].duplicate), (2, 0));
//! let again = store.commit(Changes::new().upsert("us_daily", rows))?;
//! assert_eq!((again.tables[0].stored, again.tables[0].duplicate), (0, 2));
//!
//! store.publish()?; // now under parquet/us_daily/year=2024/
//! let rows: usize = store.scan("us_daily", &Scan::new())?.map(|batch| batch.map(|b| b.num_rows())).sum::<Result<_, _>>()?;
//! assert_eq!(rows, 2);
//! store.close()?;
//! assert!(tidemill_storage::verify(dir.path())?.is_sound());
//! # Ok(())
//! # }
//! ```

pub mod arrow;
mod builder;
mod changes;
mod codec;
mod columns;
mod config;
pub mod decimal;
mod encode;
mod error;
mod gate;
mod key;
mod kind;
mod layout;
mod load;
mod manifest;
mod memtable;
mod merge;
mod multiset;
mod narrow;
mod partition;
mod published;
mod read_only;
mod receipt;
mod record;
#[cfg(feature = "s3")]
mod remote;
mod repair;
mod report;
mod revisions;
mod scan;
mod series;
mod snapshot;
mod split;
mod stats;
mod store;
mod table;
mod unpublished;
mod verify;

pub use builder::Builder;
pub use changes::Changes;
#[cfg(feature = "codec-arrow2")]
pub use codec::Arrow2;
pub use codec::{ArrowRs, Codec};
pub use config::{Compression, Config};
pub use error::{Error, ErrorKind};
pub use narrow::{NarrowColumn, NarrowReport, Narrowed, Narrowing, Tolerance};
#[cfg(feature = "s3")]
pub use object_store;
pub use partition::Partition;
pub use read_only::ReadOnly;
pub use receipt::{Receipt, TableReceipt};
#[cfg(feature = "s3")]
pub use remote::{Ack, Credentials, Https, PushReport, PushedTable, Remote, RemoteConfig, RemoteStats};
pub use repair::{RepairReport, RepairTable, repair, repair_on};
pub use report::{ColumnReport, PublishedTable, Report};
pub use scan::{Batches, Scan};
pub use stats::Stats;
pub use store::Store;
pub use table::TableSpec;
pub use tidemill_journal as journal;
pub use verify::{VerifyReport, VerifyTable, verify, verify_by, verify_on};
