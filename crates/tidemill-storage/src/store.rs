//! The writer: commits that are durable when they return, and what is asked of it between them.

mod publish;
#[cfg(feature = "s3")]
mod push;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::{Instant, SystemTime},
};

use arrow_array::RecordBatch;
use tidemill_journal::{Disk, Group, Journal, Lock};

use crate::{
    Batches, Builder, Changes, Config, Error, ReadOnly, Receipt, Report, Scan, Stats, TableReceipt,
    codec::Kept,
    columns::Columns,
    gate::{Background, Gate},
    key::Stretch,
    layout::Layout,
    manifest::Manifest,
    memtable::Memtable,
    published::{Lookup, Published},
    record,
    snapshot::sweep,
    stats::Counters,
    table::Table,
    unpublished::{TableState, overlay},
};

/// Commits of at most this many threads share one frame.
const GROUP_LIMIT: usize = 256;

/// A store open for writing. Clones share it; all calls block and may come from any thread.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<dyn Disk>,
    /// The same disk for what may wait.
    background: Arc<dyn Disk>,
    gate: Arc<Gate>,
    layout: Layout,
    config: Config,
    tables: Vec<Arc<Table>>,
    /// What reads keep for the next one.
    kept: Arc<Kept>,
    state: Mutex<State>,
    /// One publish at a time; commits go on.
    publishing: Mutex<()>,
    group: Group<Staged, Result<Receipt, Error>>,
    counters: Counters,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    started: Instant,
    #[cfg(feature = "s3")]
    remote: Option<crate::Remote>,
}

struct State {
    /// None once closed.
    journal: Option<Journal>,
    tables: Vec<TableState>,
    payload: Vec<u8>,
    lock: Option<Box<dyn Lock>>,
}

/// Changes checked, copied, cut and hashed: all that needs no lock.
type Staged = Vec<(usize, Columns, Vec<Stretch>)>;

impl Store {
    /// Collects what a store needs.
    pub fn builder(config: Config) -> Builder {
        Builder::new(config)
    }

    /// Opens what is published, without a lock, while a writer may go on.
    pub fn open_read_only(dir: &Path) -> Result<ReadOnly, Error> {
        ReadOnly::open(dir)
    }

    pub(crate) fn open(builder: Builder, dir: &Path) -> Result<Self, Error> {
        #[cfg(feature = "s3")]
        let remote = builder.remote;
        let Builder { config, specs, disk, clock, holder, .. } = builder;
        config.check()?;
        let tables =
            specs.iter().map(|spec| Table::bind(spec).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let mut names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::config(format!("table {} is declared twice", twice[0])));
        }
        let layout = Layout::new(dir);
        layout.prepare(&*disk, names.into_iter())?;
        let lock = disk.lock(&layout.lock(), &holder).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => Error::locked(dir, error.to_string()),
            _ => Error::disk("lock", &layout.lock())(error),
        })?;

        let (kept, mut states) = (Arc::new(Kept::new(config.footer_bytes)), Vec::new());
        for table in &tables {
            let current = layout.current(&*disk, &table.name)?;
            sweep(&*disk, &layout, &table.name, current, clock(), config.reader_grace, true)?;
            let published = match current {
                Some(number) => {
                    let manifest = Manifest::read(&*disk, &layout, &table.name, number)?;
                    manifest.check(table, &layout.manifest(&table.name, number))?;
                    Some(Arc::new(Published::new(manifest, &layout, &kept)?))
                }
                None => None,
            };
            let lookup = Lookup::new(config.cache_bytes);
            states.push(TableState { active: Memtable::new(table.clone()), frozen: None, published, lookup });
        }
        let watermark = |state: &TableState| state.published.as_ref().map_or(0, |p| p.manifest.watermark);
        let floor = states.iter().map(watermark).max().unwrap_or(0);
        let mut replay = |seq: u64, payload: &[u8]| {
            let mut failed = Ok(());
            record::replay(payload, &tables, &mut |at, rows| {
                let state = &mut states[at];
                if failed.is_ok() && seq > watermark(state) {
                    let stretches = tables[at].shape.stretches(&rows);
                    failed = state.upsert(&*disk, &tables[at], &rows, &stretches).map(drop);
                    state.active.accept();
                }
            })?;
            failed.map_err(Into::into)
        };
        let (mut journal, _) =
            Journal::open(disk.clone(), &layout.journal(), config.journal.clone(), floor, &mut replay)?;
        if states.iter().all(|state| state.active.is_empty()) {
            journal.trim(journal.last_seq())?;
        }
        let gate = Arc::new(Gate::new(config.publish_threads, config.commits_first));
        let background = Arc::new(Background { disk: disk.clone(), gate: gate.clone() });
        let inner = Inner {
            disk,
            background,
            gate,
            layout,
            config,
            tables,
            kept,
            state: Mutex::new(State {
                journal: Some(journal),
                tables: states,
                payload: Vec::new(),
                lock: Some(lock),
            }),
            publishing: Mutex::new(()),
            group: Group::new(GROUP_LIMIT),
            counters: Counters::default(),
            clock,
            started: Instant::now(),
            #[cfg(feature = "s3")]
            remote,
        };
        inner.gauge(&inner.lock());
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Stores the changes, all or none, and returns when they are as durable as `sync` says. Threads that commit at the
    /// same time share one frame and one fsync.
    ///
    /// # Errors
    /// `Input` when rows do not fit their table or the frame bound; `Full` when too much is unpublished; `Disk`, after
    /// which the same changes may be committed again: rows that did reach the disk are then counted as stored or
    /// duplicate, never twice.
    pub fn commit(&self, changes: Changes) -> Result<Receipt, Error> {
        let staged = self.inner.stage(changes)?;
        let share = |group: Vec<Staged>| {
            let size = group.len();
            match self.inner.write_group(&group).and_then(|receipts| self.inner.acknowledge(receipts)) {
                Ok(receipts) => receipts.into_iter().map(Ok).collect(),
                Err(error) => {
                    let error = Arc::new(error);
                    (0..size).map(|_| Err(Error::shared(error.clone()))).collect()
                }
            }
        };
        self.inner.group.submit(staged, share).ok_or_else(Error::abandoned)?
    }

    /// Stores several changes with one frame and one fsync: all or none. One receipt each, in order.
    pub fn commit_group(&self, changes: Vec<Changes>) -> Result<Vec<Receipt>, Error> {
        let staged = changes.into_iter().map(|c| self.inner.stage(c)).collect::<Result<Vec<_>, _>>()?;
        let receipts = self.inner.write_group(&staged)?;
        self.inner.acknowledge(receipts)
    }

    /// Makes everything committed durable, for `sync` other than `"commit"`.
    pub fn sync(&self) -> Result<(), Error> {
        Ok(self.inner.lock().journal.as_mut().ok_or_else(Error::closed)?.sync()?)
    }

    /// Syncs if the interval has passed; call it now and then when commits are rare and `sync` is an interval.
    pub fn tick(&self) -> Result<(), Error> {
        let now = self.inner.started.elapsed();
        Ok(self.inner.lock().journal.as_mut().ok_or_else(Error::closed)?.tick(now)?)
    }

    /// True when the tables together hold `flush_bytes` or more in memory.
    pub fn needs_publish(&self) -> bool {
        self.inner.counters.memory_bytes.load(Relaxed) >= self.inner.config.flush_bytes
    }

    /// How much of its memory the fullest table has in use, rows being published included: 0 when nothing waits, 1 or more when
    /// commits are refused. It rises where the disk cannot follow; slow down before it does.
    pub fn pressure(&self) -> f64 {
        self.inner.counters.fullest_bytes.load(Relaxed) as f64 / self.inner.config.memory_limit() as f64
    }

    /// Writes what is in memory to a new snapshot of each changed table and shows it. Commits go on meanwhile.
    ///
    /// Each table changes atomically. After an error the tables not yet shown stay as they were, no acknowledged row is
    /// lost, and the next publish tries again.
    pub fn publish(&self) -> Result<Report, Error> {
        let result = self.inner.publish();
        if result.is_err() {
            self.inner.counters.errors.fetch_add(1, Relaxed);
        }
        result
    }

    /// Writes rows that are sorted by the table's key, each key once, straight into files, without journal and memory, and
    /// shows them: all or none, durable when it returns. It is what a history is brought in by.
    ///
    /// What is in memory is published first; commits go on meanwhile and count as later. Memory is that of sixteen row groups.
    ///
    /// # Errors
    /// `Input` when rows are not sorted, or fall into a folder that already holds rows (or that was left for more than sixteen
    /// others): commit those instead. `Disk`. After an error nothing is changed.
    pub fn load(&self, table: &str, batches: impl IntoIterator<Item = RecordBatch>) -> Result<Report, Error> {
        let at = self.inner.table(table)?;
        let mut report = self.publish()?;
        let _one = self.inner.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        let old = self.inner.lock().tables[at].published.clone();
        let (published, done) = self.inner.snapshot(at).load(old.as_deref(), batches)?;
        self.inner.show(at, published, done, false, &mut report);
        self.inner.split(at, &mut report)?;
        report.took += begun.elapsed();
        Ok(report)
    }

    /// Reads a table: published rows and those in memory, the last write of each key. Rows in memory are copied when this
    /// is called; later commits are not seen.
    pub fn scan(&self, table: &str, scan: &Scan) -> Result<Batches, Error> {
        let inner = &*self.inner;
        let at = inner.table(table)?;
        let bound = &inner.tables[at];
        let state = inner.lock();
        let state = &state.tables[at];
        let mut fresh = BTreeMap::new();
        for memtable in state.frozen.iter().map(|(frozen, _)| &**frozen).chain([&state.active]) {
            let parts = |folder: i64| state.published.as_ref().map_or(1, |published| published.parts(folder));
            for (unit, rows) in memtable.sorted(&parts) {
                let below = fresh.remove(&unit).unwrap_or_else(|| Columns::new(&bound.shape.kinds));
                fresh.insert(unit, overlay(bound, below, memtable, &rows));
            }
        }
        Batches::new(inner.disk.clone(), bound.clone(), state.published.clone(), fresh, scan)
    }

    /// The last `n` rows of one series, oldest first, those in memory included; `series` gives the key columns but the last,
    /// which must be text. Reads the newest folders only, as many as hold `n` rows, and of each the row groups of the series.
    pub fn latest(&self, table: &str, series: &[&str], n: usize) -> Result<Vec<RecordBatch>, Error> {
        self.scan(table, &Scan::new().prefix(series.iter().copied()))?.last(n)
    }

    /// What was counted since the open; takes no lock.
    pub fn stats(&self) -> Stats {
        Stats { background_waits: self.inner.gate.waited(), ..self.inner.counters.read() }
    }

    /// Publishes, ends the journal, gives back the lock, and refuses later commits on any clone.
    pub fn close(&self) -> Result<Report, Error> {
        let report = self.publish()?;
        let mut state = self.inner.lock();
        // Rows committed after the publish, by another clone, stay in the journal for the next open.
        state.journal.as_mut().ok_or_else(Error::closed)?.close()?;
        (state.journal, state.lock) = (None, None);
        Ok(report)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self, name: &str) -> Result<usize, Error> {
        let at = self.tables.iter().position(|table| table.name == name);
        at.ok_or_else(|| Error::input(name, "is not declared"))
    }

    fn stage(&self, changes: Changes) -> Result<Staged, Error> {
        let stage = |(name, rows): (String, _)| {
            let at = self.table(&name)?;
            let columns = self.tables[at].stage(&rows)?;
            let stretches = self.tables[at].shape.stretches(&columns);
            Ok((at, columns, stretches))
        };
        changes.tables.into_iter().map(stage).collect()
    }

    fn write_group(&self, group: &[Staged]) -> Result<Vec<Receipt>, Error> {
        // From here on, so that what may wait does not begin while this waits for the lock.
        let _first = self.gate.live();
        let mut state = self.lock();
        let result = self.write_locked(&mut state, group);
        for table in &mut state.tables {
            match &result {
                Ok(_) => table.active.accept(),
                Err(_) => table.active.undo(),
            }
        }
        self.gauge(&state);
        match &result {
            Ok(receipts) => {
                self.counters.commits.fetch_add(receipts.len() as u64, Relaxed);
                for table in receipts.iter().flat_map(|receipt| &receipt.tables) {
                    self.counters.rows_received.fetch_add(table.received, Relaxed);
                    self.counters.rows_stored.fetch_add(table.stored, Relaxed);
                    self.counters.rows_duplicate.fetch_add(table.duplicate, Relaxed);
                }
            }
            Err(_) => drop(self.counters.errors.fetch_add(1, Relaxed)),
        }
        result
    }

    /// Whatever else must be done before a commit may be called kept.
    #[cfg(not(feature = "s3"))]
    fn acknowledge(&self, receipts: Vec<Receipt>) -> Result<Vec<Receipt>, Error> {
        Ok(receipts)
    }

    fn write_locked(&self, state: &mut State, group: &[Staged]) -> Result<Vec<Receipt>, Error> {
        let State { journal, tables, payload, .. } = state;
        let journal = journal.as_mut().ok_or_else(Error::closed)?;
        for (table, state) in self.tables.iter().zip(tables.iter()) {
            let bytes = state.bytes();
            if bytes > self.config.memory_limit() {
                return Err(Error::full(&table.name, bytes));
            }
        }
        record::begin(payload);
        let empty = payload.len();
        let mut receipts = Vec::with_capacity(group.len());
        for staged in group {
            let mut receipt = Receipt::default();
            for (at, rows, stretches) in staged {
                let (table, state) = (&self.tables[*at], &mut tables[*at]);
                let start = state.active.end();
                let stored = state.upsert(&*self.disk, table, rows, stretches)?;
                let received = rows.len() as u64;
                let duplicate = received - stored;
                if stored > 0 {
                    record::section(payload, table, &state.active, start, received, duplicate);
                }
                receipt.tables.push(TableReceipt { name: table.name.clone(), received, stored, duplicate });
            }
            receipts.push(receipt);
        }
        let mut seq = journal.last_seq();
        if payload.len() > empty {
            // Nothing to write for duplicates alone: what they repeat is as durable as any acknowledged row.
            seq = journal.append(&[payload], self.started.elapsed())?;
            self.counters.groups.fetch_add(1, Relaxed);
            self.counters.journal_bytes.fetch_add(payload.len() as u64, Relaxed);
        }
        if payload.capacity() > 4 << 20 {
            *payload = Vec::new();
        }
        receipts.iter_mut().for_each(|receipt| receipt.seq = seq);
        Ok(receipts)
    }

    fn gauge(&self, state: &State) {
        let mut sum = (0, 0);
        for table in &state.tables {
            sum.0 += table.bytes();
            sum.1 += table.frozen.as_ref().map_or(0, |(m, _)| m.live()) + table.active.live();
        }
        let fullest = state.tables.iter().map(TableState::bytes).max().unwrap_or(0);
        self.counters.fullest_bytes.store(fullest, Relaxed);
        self.counters.memory_bytes.store(sum.0, Relaxed);
        self.counters.memory_rows.store(sum.1, Relaxed);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.inner.layout.root).finish_non_exhaustive()
    }
}
