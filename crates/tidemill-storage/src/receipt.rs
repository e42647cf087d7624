//! What a commit did, counted.

use serde::Serialize;

/// Proof of one commit: durable when returned, with `sync = "commit"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The journal frame that holds it; commits of one group share it. Zero when nothing was ever written.
    pub seq: u64,
    /// One entry for each batch of the commit, in its order.
    pub tables: Vec<TableReceipt>,
}

impl Receipt {
    /// The sums for one table over the batches of this commit.
    pub fn table(&self, name: &str) -> TableReceipt {
        let mut sum = TableReceipt { name: name.into(), ..TableReceipt::default() };
        for table in self.tables.iter().filter(|table| table.name == name) {
            sum.received += table.received;
            sum.stored += table.stored;
            sum.duplicate += table.duplicate;
        }
        sum
    }
}

/// The counts of one batch: `received = stored + duplicate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableReceipt {
    /// The table.
    pub name: String,
    /// Rows given.
    pub received: u64,
    /// Rows that were new or changed what stood under their key.
    pub stored: u64,
    /// Rows that were there already, bit by bit.
    pub duplicate: u64,
}
