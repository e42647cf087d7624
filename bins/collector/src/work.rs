//! One work item from the question to the acknowledged rows.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tidemill_market::{Bars, Class, Quarantined, Refused};
use tidemill_storage::Changes;
use tidemill_worker_pool::JobError;

use crate::dataset::Dataset;
use crate::ledger::{self, Answered, Entry};
use crate::permit::PaidError;
use crate::provider::{Provider, Read};
use crate::rows;
use crate::writer::{Acknowledgement, Writer};

/// An answered item whose rows are on their way to the disk.
#[derive(Debug)]
pub struct Kept {
    table: String,
    entry: Entry,
    message: Option<String>,
    took: Duration,
    acknowledgement: Acknowledgement,
}

impl Kept {
    /// Waits until the rows are kept, and accounts for each of them.
    pub async fn done(self) -> Result<Done, Failed> {
        let receipt =
            self.acknowledgement.kept().await.map_err(|error| Failed::Store(format!("{error:#}")))?;
        let rows = receipt.table(&self.table);
        let Self { entry, message, took, .. } = self;
        Ok(Done { duplicate: entry.duplicate + rows.duplicate, stored: rows.stored, entry, message, took })
    }
}

/// What an item came to, with its rows accounted for.
#[derive(Clone, Debug)]
pub struct Done {
    /// The ledger's entry, acknowledged.
    pub entry: Entry,
    /// Rows new or changed in the store.
    pub stored: u64,
    /// Rows the store, or the answer itself, had already.
    pub duplicate: u64,
    /// What the provider said, where it is worth saying.
    pub message: Option<String>,
    /// From the request to the last byte of the answer.
    pub took: Duration,
}

/// Why an item failed for good or for now. The text never holds a key.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The pass no longer asks this provider.
    #[error("{provider}: {why}")]
    GivenUp {
        /// The provider.
        provider: String,
        /// In words.
        why: String,
    },
    /// No usable answer.
    #[error("{provider}: {why}")]
    NoAnswer {
        /// The provider.
        provider: String,
        /// In words.
        why: String,
    },
    /// The rows could not be kept. The pass must stop: asking on would lose what was paid for.
    #[error("{0}")]
    Store(String),
}

/// What every item needs.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Whom to ask.
    pub provider: Arc<Provider>,
    /// What for.
    pub dataset: Arc<Dataset>,
    /// Where rows go.
    pub writer: Writer,
    /// Refusals one item sits through.
    pub refusals: u32,
}

impl Bench {
    /// Makes one try. Refusals are waited out within it, since the limiter knows how long; other failures are the
    /// worker pool's to repeat.
    pub async fn make(&self, symbol: &Arc<str>) -> Result<Kept, JobError> {
        for _ in 0..=self.refusals {
            if let Some(why) = self.provider.given_up() {
                return Err(self.given_up(why));
            }
            let read = match self.provider.ask(&self.dataset, symbol).await {
                Ok(read) => read,
                Err(error) => return Err(self.no_answer(error)),
            };
            match read.reading.class {
                Class::Ok => return self.keep(symbol, Answered::Rows, read).await,
                Class::Empty => return self.keep(symbol, Answered::Empty, read).await,
                Class::Refused(Refused::UnknownSymbol) => {
                    return self.keep(symbol, Answered::Refused, read).await;
                }
                Class::Refused(Refused::KeyRevoked) => continue,
                Class::Refused(_) => return Err(JobError::fatal(self.failed("refuses", &read))),
                Class::Throttled | Class::Blocked if self.provider.is_limited() => continue,
                Class::Throttled | Class::Blocked => {
                    return Err(JobError::retriable(self.failed("asks to wait", &read)));
                }
                Class::ServerError => return Err(JobError::retriable(self.failed("failed", &read))),
                Class::Malformed => return Err(self.unreadable(symbol, read).await),
                _ => {
                    return Err(JobError::fatal(
                        self.failed("answered in a way this version does not know", &read),
                    ));
                }
            }
        }
        let why = format!("refused {} times in a row", self.refusals + 1);
        Err(JobError::fatal(Failed::NoAnswer { provider: self.provider.name.clone(), why }))
    }

    /// Commits the answer's rows, its quarantine and the ledger's entry as one.
    async fn keep(&self, symbol: &Arc<str>, answered: Answered, read: Read) -> Result<Kept, JobError> {
        let (reading, took) = (read.reading, read.took);
        let entry = Entry {
            answered,
            at: read.at,
            received: u64::from(reading.received),
            accepted: reading.bars.len() as u64,
            quarantined: reading.quarantined.len() as u64,
            duplicate: u64::from(reading.duplicates),
            last_ts_ns: reading.bars.ts_ns.last().copied(),
        };
        for flag in &reading.flags {
            tracing::debug!(dataset = self.dataset.name, %symbol, rule = flag.rule.id(), reason = flag.reason, "flag");
        }
        let changes = changes(&self.dataset, symbol, &entry, reading.bars, &reading.quarantined);
        let table = self.dataset.name.clone();
        let acknowledgement = match changes {
            Ok(changes) => self.writer.commit(changes).await,
            Err(error) => Err(error),
        };
        match acknowledgement {
            Ok(acknowledgement) => Ok(Kept { table, entry, message: reading.message, took, acknowledgement }),
            Err(error) => Err(JobError::fatal(Failed::Store(format!("{error:#}")))),
        }
    }

    /// An answer nobody could read is kept as evidence, and asked for again.
    async fn unreadable(&self, symbol: &str, read: Read) -> JobError {
        let failed = self.failed("answered something unreadable", &read);
        let row =
            rows::unreadable_batch(&self.dataset.name, symbol, read.at, &failed.to_string(), &read.body);
        let kept = match row {
            Ok(row) => self.evidence(row).await,
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => JobError::retriable(failed),
            Err(error) => JobError::fatal(Failed::Store(format!("{error:#}"))),
        }
    }

    async fn evidence(&self, row: tidemill_storage::arrow::arrow_array::RecordBatch) -> Result<()> {
        self.writer.commit(Changes::new().upsert(rows::QUARANTINE, row)).await?.kept().await.map(drop)
    }

    fn failed(&self, what: &str, read: &Read) -> Failed {
        let said = read.reading.message.as_deref().map_or_else(String::new, |message| format!(": {message}"));
        let why = format!("{what} (HTTP {}){said}", read.status);
        Failed::NoAnswer { provider: self.provider.name.clone(), why: self.provider.scrub(&why) }
    }

    fn no_answer(&self, error: PaidError) -> JobError {
        let failed = |why: String| Failed::NoAnswer { provider: self.provider.name.clone(), why };
        match error {
            PaidError::Drained(_) | PaidError::Taken(_) | PaidError::Stopping => {
                self.given_up(error.to_string())
            }
            PaidError::Fetch(error) if error.is_retryable() => JobError::retriable(failed(error.to_string())),
            PaidError::Fetch(error) => JobError::fatal(failed(error.to_string())),
            PaidError::BadRequest(why) => JobError::fatal(failed(why)),
            PaidError::Limiter(error) => JobError::fatal(failed(error.to_string())),
        }
    }

    fn given_up(&self, why: String) -> JobError {
        JobError::fatal(Failed::GivenUp { provider: self.provider.name.clone(), why })
    }
}

/// Everything one answer changes, as one commit: the ledger's entry, the rows, and what went into quarantine.
pub fn changes(
    dataset: &Dataset,
    symbol: &str,
    entry: &Entry,
    bars: Bars,
    quarantined: &[Quarantined],
) -> Result<Changes> {
    let name = &dataset.name;
    let mut changes = Changes::new().upsert(ledger::TABLE, ledger::row(name, symbol, entry)?);
    if !bars.is_empty() {
        changes = changes.upsert(name, rows::bars_batch(&dataset.schema, bars)?);
    }
    if !quarantined.is_empty() {
        changes =
            changes.upsert(rows::QUARANTINE, rows::quarantine_batch(name, symbol, entry.at, quarantined)?);
    }
    Ok(changes)
}
