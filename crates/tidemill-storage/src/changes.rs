//! What one commit brings: rows for several tables, taken all or none.

use arrow_array::RecordBatch;

/// Rows to upsert into one or more tables, atomically.
///
/// A batch has the columns of its table by name and type, in any order; the key holds no null. Within one commit later rows
/// win over earlier ones. The encoded rows of one commit, and of one group, must fit `max_frame_bytes` of the journal.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub(crate) tables: Vec<(String, RecordBatch)>,
}

impl Changes {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds rows for a table; may be called several times for one.
    pub fn upsert(mut self, table: impl Into<String>, rows: RecordBatch) -> Self {
        self.tables.push((table.into(), rows));
        self
    }

    /// True when no rows were added.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|(_, rows)| rows.num_rows() == 0)
    }
}
