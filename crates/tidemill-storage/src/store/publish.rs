//! The writer's publishing: freezing what is in memory, showing it table by table, cutting what grew too long.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Instant,
};

use super::{Inner, State};
use crate::{
    Error, PublishedTable, Report,
    memtable::Memtable,
    published::Published,
    snapshot::{Snapshot, sweep},
};

type Work = (usize, Arc<Memtable>, u64, Option<Arc<Published>>);

impl Inner {
    pub(super) fn publish(&self) -> Result<Report, Error> {
        let _one = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        let mut report = Report::default();
        // A first round for what an earlier publish left frozen, a second for what came since.
        for _ in 0..2 {
            let (watermark, work, rest) = self.freeze()?;
            for (at, memtable, seq, old) in work {
                let (published, done) = self.snapshot(at).publish(old.as_deref(), &memtable, seq)?;
                self.show(at, published, done, true, &mut report);
            }
            if !rest {
                report.watermark = watermark;
                break;
            }
        }
        for (at, table) in self.tables.iter().enumerate() {
            let current = self.lock().tables[at].published.as_ref().map(|p| p.manifest.snapshot);
            let (now, grace) = ((self.clock)(), self.config.reader_grace);
            sweep(&*self.disk, &self.layout, &table.name, current, now, grace, false)?;
        }
        if let Some(journal) = &mut self.lock().journal {
            journal.trim(report.watermark)?;
        }
        // Last: a disk too full for it keeps nothing from being published.
        (0..self.tables.len()).try_for_each(|at| self.split(at, &mut report))?;
        report.took = begun.elapsed();
        self.counters.last_publish_ms.store(report.took.as_millis() as u64, Relaxed);
        Ok(report)
    }

    pub(super) fn snapshot(&self, at: usize) -> Snapshot<'_> {
        Snapshot {
            disk: &self.background,
            layout: &self.layout,
            config: &self.config,
            table: &self.tables[at],
            kept: &self.kept,
            now: (self.clock)(),
        }
    }

    /// A snapshot is on disk and its link swapped: from now on it is what the table is.
    pub(super) fn show(
        &self,
        at: usize,
        published: Published,
        done: PublishedTable,
        thawed: bool,
        report: &mut Report,
    ) {
        self.counters.publishes.fetch_add(1, Relaxed);
        self.counters.published_bytes.fetch_add(done.bytes_written, Relaxed);
        report.tables.push(done);
        let mut state = self.lock();
        let table = &mut state.tables[at];
        table.published = Some(Arc::new(published));
        if thawed {
            table.frozen = None;
        }
        table.lookup.clear();
        self.gauge(&state);
    }

    /// Cuts what has grown too long.
    pub(super) fn split(&self, at: usize, report: &mut Report) -> Result<(), Error> {
        let published = self.lock().tables[at].published.clone();
        if let Some(published) = published
            && let Some((published, done)) = self.snapshot(at).split(&published)?
        {
            self.show(at, published, done, false, report);
        }
        Ok(())
    }

    /// Takes what shall be published out of the way of commits. The last answer: is there more to freeze afterwards?
    fn freeze(&self) -> Result<(u64, Vec<Work>, bool), Error> {
        let mut state = self.lock();
        let State { journal, tables, payload, .. } = &mut *state;
        let journal = journal.as_mut().ok_or_else(Error::closed)?;
        *payload = Vec::new();
        // No snapshot may be ahead of the journal, or numbers could be given twice after a crash.
        journal.sync()?;
        let seq = journal.last_seq();
        let left = tables.iter().any(|table| table.frozen.is_some());
        if !left {
            for (table, bound) in tables.iter_mut().zip(&self.tables).filter(|(t, _)| !t.active.is_empty()) {
                let active = std::mem::replace(&mut table.active, Memtable::new(bound.clone()));
                table.frozen = Some((Arc::new(active), seq));
            }
        }
        let work = tables.iter().enumerate().filter_map(|(at, table)| {
            let (memtable, seq) = table.frozen.clone()?;
            Some((at, memtable, seq, table.published.clone()))
        });
        Ok((seq, work.collect(), left))
    }
}
