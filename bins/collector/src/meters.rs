//! What is counted of rows and symbols while a pass runs.

use anyhow::Result;
use tidemill_metrics::{Counter, Registry};

/// Rows and symbols as they are counted while a pass runs; every name is exposed with the prefix `tidemill_`.
#[derive(Clone, Debug)]
pub struct Meters {
    /// `rows_received_total`
    pub rows_received: Counter,
    /// `rows_stored_total`
    pub rows_stored: Counter,
    /// `rows_quarantined_total`
    pub rows_quarantined: Counter,
    /// `rows_duplicate_total`
    pub rows_duplicate: Counter,
    /// `symbols_answered_total`
    pub symbols_answered: Counter,
    /// `symbols_failed_total`
    pub symbols_failed: Counter,
}

impl Meters {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Self> {
        let counter = |name, help| registry.counter(name, help).get();
        Ok(Self {
            rows_received: counter("rows_received_total", "Rows in answers.")?,
            rows_stored: counter("rows_stored_total", "Rows new or changed in the store.")?,
            rows_quarantined: counter("rows_quarantined_total", "Rows that broke a rule.")?,
            rows_duplicate: counter("rows_duplicate_total", "Rows kept already, equal in every column.")?,
            symbols_answered: counter("symbols_answered_total", "Symbols answered with rows or with none.")?,
            symbols_failed: counter("symbols_failed_total", "Symbols asked for in vain.")?,
        })
    }
}
