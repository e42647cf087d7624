//! Connections: a bounded pool that is filled on demand, and one that listens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage, Statement};

use super::dial::{Dial, Wire};
use super::{PostgresConfig, failed, tables};
use crate::error::{Cause, Error};

/// Connections that are made when they are needed and kept.
pub(super) struct Pool {
    dial: Dial,
    config: PostgresConfig,
    permits: Semaphore,
    idle: Mutex<Vec<(Arc<Link>, Wire)>>,
}

/// One connection with its statements.
pub(super) struct Link {
    pub(super) client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

/// The hot table is empty at one moment and full at the next, so no statistics describe it, and a plan that was made when
/// it was empty reads all of it when it is full. Every hot statement has its index: nothing else may be planned, and once.
const PLANS: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; \
    SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_sort = off";

impl Pool {
    pub(super) fn new(dial: Dial, config: PostgresConfig) -> Self {
        Self { dial, permits: Semaphore::new(config.max_connections), config, idle: Mutex::default() }
    }

    /// Work with a connection of its own, which is kept for others if the work ends well. The connection is driven here, by
    /// whoever waits for it: a task of its own would have to be woken for each question and each answer.
    pub(super) async fn with<T, F: Future<Output = Result<T, Error>>>(
        &self,
        work: impl FnOnce(Arc<Link>) -> F,
    ) -> Result<T, Error> {
        let _permit = self.permits.acquire().await.map_err(|_| Error::from(Cause::Closed))?;
        let known = loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((link, mut wire)) = idle else { break None };
            if wire.is_open().await {
                break Some((link, wire));
            }
        };
        let (link, mut wire) = match known {
            Some(known) => known,
            None => self.connect().await?,
        };
        let done = wire.drive(work(link.clone())).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((link, wire));
        Ok(done)
    }

    async fn connect(&self) -> Result<(Arc<Link>, Wire), Error> {
        let work = async {
            let failed = |error| failed("connect to PostgreSQL", error);
            let (client, mut wire) = self.dial.connect().await.map_err(failed)?;
            let link = Link { client, statements: Mutex::default() };
            let session = format!(
                "SET statement_timeout = {0}; SET idle_in_transaction_session_timeout = {0}; \
                 SET synchronous_commit = on; SET application_name = 'tidemill-task-queue'; {PLANS}",
                self.config.statement_timeout.as_millis().max(1)
            );
            let settled = async {
                link.client.batch_execute(&session).await.map_err(failed)?;
                tables::migrate(&link.client).await
            };
            wire.drive(settled).await?;
            Ok((Arc::new(link), wire))
        };
        let limit = self.config.connect_timeout + self.config.statement_timeout;
        let late = |late| Error::unavailable("connect to PostgreSQL", late);
        tokio::time::timeout(limit, work).await.map_err(late)?
    }
}

impl Link {
    /// The statement of a text, prepared once a connection.
    pub(super) async fn statement(&self, text: &'static str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(known) = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(text).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(text, statement.clone());
        Ok(statement)
    }
}

impl Link {
    /// The plan that is made once and kept, whatever the values are.
    pub(super) async fn plan(&self, text: &'static str) -> Result<String, tokio_postgres::Error> {
        let values = vec!["NULL"; self.statement(text).await?.params().len()].join(", ");
        let values = if values.is_empty() { values } else { format!("({values})") };
        self.client.batch_execute(&format!("PREPARE tq_plan AS {text}")).await?;
        let lines = self.client.simple_query(&format!("EXPLAIN EXECUTE tq_plan{values}")).await?;
        self.client.batch_execute("DEALLOCATE tq_plan").await?;
        let line = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(|line| format!("{line}\n")),
            _ => None,
        };
        Ok(lines.iter().filter_map(line).collect())
    }
}

/// Tells other processes of work and hears of theirs.
pub(super) struct Ears {
    version: watch::Sender<u64>,
    wake: Notify,
}

/// How long after a notification the next one waits: many enqueues, one word.
const BREATH: Duration = Duration::from_millis(4);

impl Ears {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { version: watch::Sender::new(1), wake: Notify::new() })
    }

    /// There may be work for others.
    pub(super) fn tell(&self) {
        self.wake.notify_one();
    }

    /// The version after `seen`; also when nobody said a word for so long.
    pub(super) async fn changed(&self, seen: u64, patience: Duration) -> u64 {
        let mut version = self.version.subscribe();
        let heard = tokio::time::timeout(patience, version.wait_for(|version| *version != seen)).await;
        if !matches!(heard, Ok(Ok(_))) {
            self.version.send_modify(|version| *version += 1);
        }
        *self.version.borrow()
    }

    /// Until the store is gone: a lost connection is made anew.
    pub(super) async fn listen(self: Arc<Self>, dial: Dial, patience: Duration) {
        let mut pause = Duration::from_millis(50);
        loop {
            if self.hear(&dial, patience).await.is_ok() {
                pause = Duration::from_millis(50);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Until the connection is lost.
    async fn hear(&self, dial: &Dial, patience: Duration) -> Result<(), tokio_postgres::Error> {
        let (client, mut wire) = dial.connect().await?;
        let mine = AtomicI32::new(0);
        let hear = async {
            // A notification of our own comes back with our own process number.
            while let Some(message) = wire.message().await {
                match message {
                    Ok(AsyncMessage::Notification(said))
                        if said.process_id() != mine.load(Ordering::Relaxed) =>
                    {
                        self.version.send_modify(|version| *version += 1);
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        };
        let speak = async {
            let row = client.query_one("SELECT pg_backend_pid()", &[]).await?;
            mine.store(row.get(0), Ordering::Relaxed);
            client.batch_execute("SET synchronous_commit = off; LISTEN tidemill_task_queue").await?;
            // What came before we listened.
            self.version.send_modify(|version| *version += 1);
            loop {
                self.wake.notified().await;
                let said = client.batch_execute("NOTIFY tidemill_task_queue");
                let Ok(said) = tokio::time::timeout(patience, said).await else { return Ok(()) };
                said?;
                tokio::time::sleep(BREATH).await;
            }
            #[expect(unreachable_code, reason = "it names the type of the error")]
            Ok::<(), tokio_postgres::Error>(())
        };
        tokio::select! {
            () = hear => Ok(()),
            ended = speak => ended,
        }
    }
}
