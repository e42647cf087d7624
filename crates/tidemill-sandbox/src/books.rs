//! The server's books: who asked for what, when, and whether it passed. No clock, no I/O.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::config::{Config, MAX_KEY_BYTES, QuotaConfig, Scope};
use crate::faults::{FaultKind, Faults};
use crate::quota::{All, Quota, Verdict};
use crate::stats::{KeyStats, Stats, SymbolStats};

/// The most arrivals remembered to find a peak, 8 bytes each, twice for each key.
const MAX_PEAK: usize = 16_384;

/// What the books say to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Admitted,
    Refused { retry_after: Duration },
    InvalidKey,
}

#[derive(Debug)]
pub(crate) struct Books {
    quota: Vec<QuotaConfig>,
    faults: Faults,
    max_keys: usize,
    any_key: bool,
    account: All,
    keys: Vec<Account>,
    places: HashMap<String, usize>,
    symbols: Vec<SymbolStats>,
    totals: Stats,
}

/// One key's page.
#[derive(Debug)]
struct Account {
    quota: All,
    counted: u64,
    stats: KeyStats,
    arrived: Peak,
    admitted: Peak,
}

impl Books {
    pub(crate) fn new(config: &Config, places: usize) -> Self {
        let mut books = Self {
            quota: config.quota.clone(),
            faults: config.faults.clone(),
            max_keys: config.max_keys,
            any_key: config.keys.is_empty(),
            account: quotas(&config.quota, Scope::Account),
            keys: Vec::new(),
            places: HashMap::new(),
            symbols: vec![SymbolStats::default(); places],
            totals: Stats::default(),
        };
        for key in &config.keys {
            books.open(key);
        }
        books
    }

    /// Counts a request for the symbols at these positions (`None` for unknown ones), at a cost of one each.
    pub(crate) fn count(&mut self, now: Duration, key: Option<&str>, symbols: &[Option<usize>]) -> Counted {
        self.totals.requests += 1;
        let place = key.and_then(|key| self.place(key));
        let Some(account) = place.map(|place| &mut self.keys[place]) else {
            self.totals.invalid_key += 1;
            return Counted::InvalidKey;
        };
        if self.faults.is_revoked(&account.stats.key, account.counted) {
            account.stats.revoked += 1;
            self.totals.invalid_key += 1;
            return Counted::InvalidKey;
        }
        account.counted += 1;
        for position in symbols.iter().flatten() {
            self.symbols[*position].asked += 1;
        }
        let cost = u32::try_from(symbols.len()).unwrap_or(u32::MAX);
        let verdict = account.quota.check(now, cost).stricter(self.account.check(now, cost));
        let admitted = verdict.is_admitted();
        account.quota.record(now, cost, admitted);
        self.account.record(now, cost, admitted);
        account.arrived.push(now, cost);
        match verdict {
            Verdict::Admitted { .. } => {
                account.admitted.push(now, cost);
                account.stats.admitted += 1;
                self.totals.admitted += 1;
                self.totals.unknown_symbol +=
                    symbols.iter().filter(|position| position.is_none()).count() as u64;
                Counted::Admitted
            }
            Verdict::Refused { retry_after } => {
                account.stats.refused += 1;
                self.totals.refused += 1;
                Counted::Refused { retry_after }
            }
        }
    }

    /// Counts a request that could not be understood.
    pub(crate) fn bad_request(&mut self) {
        self.totals.requests += 1;
        self.totals.bad_request += 1;
    }

    /// Counts a fault of an admitted request.
    pub(crate) fn fault(&mut self, kind: FaultKind) {
        *self.totals.faults.entry(kind).or_default() += 1;
    }

    /// Counts an answer with its data.
    pub(crate) fn served(&mut self, symbols: &[Option<usize>]) {
        for position in symbols.iter().flatten() {
            self.symbols[*position].served += 1;
        }
        self.totals.served += u64::from(symbols.iter().any(Option::is_some));
    }

    pub(crate) fn connected(&mut self) {
        self.totals.connections += 1;
        self.totals.open_connections += 1;
    }

    pub(crate) fn disconnected(&mut self) {
        self.totals.open_connections -= 1;
    }

    pub(crate) fn stats(&self) -> Stats {
        let keys = self.keys.iter().map(|account| KeyStats {
            peak_in_window: account.arrived.most as u64,
            peak_admitted_in_window: account.admitted.most as u64,
            ..account.stats.clone()
        });
        Stats { keys: keys.collect(), ..self.totals.clone() }
    }

    /// The positions of the symbols that were asked for, with their counts.
    pub(crate) fn symbols(&self) -> BTreeMap<usize, SymbolStats> {
        let asked = self.symbols.iter().enumerate().filter(|(_, stats)| stats.asked > 0);
        asked.map(|(position, stats)| (position, *stats)).collect()
    }

    fn place(&mut self, key: &str) -> Option<usize> {
        let known = self.places.get(key).copied();
        let may_open = self.any_key && key.len() <= MAX_KEY_BYTES && self.keys.len() < self.max_keys;
        known.or_else(|| may_open.then(|| self.open(key)))
    }

    fn open(&mut self, key: &str) -> usize {
        let window = self.quota.first().map_or(Duration::from_secs(60), |quota| quota.per);
        self.keys.push(Account {
            quota: quotas(&self.quota, Scope::Key),
            counted: 0,
            stats: KeyStats { key: key.to_owned(), ..KeyStats::default() },
            arrived: Peak::new(window),
            admitted: Peak::new(window),
        });
        self.places.insert(key.to_owned(), self.keys.len() - 1);
        self.keys.len() - 1
    }
}

fn quotas(configured: &[QuotaConfig], scope: Scope) -> All {
    All::new(configured.iter().filter(|quota| quota.scope == scope).map(QuotaConfig::build).collect())
}

/// The most requests in any window, found as they come.
#[derive(Debug)]
struct Peak {
    window: Duration,
    stamps: VecDeque<Duration>,
    most: usize,
}

impl Peak {
    fn new(window: Duration) -> Self {
        Self { window, stamps: VecDeque::new(), most: 0 }
    }

    fn push(&mut self, now: Duration, cost: u32) {
        while self.stamps.front().is_some_and(|at| self.window <= now.saturating_sub(*at)) {
            self.stamps.pop_front();
        }
        for _ in 0..cost.min(MAX_PEAK as u32) {
            if self.stamps.len() == MAX_PEAK {
                self.stamps.pop_front();
            }
            self.stamps.push_back(now);
        }
        self.most = self.most.max(self.stamps.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Model;

    const SECOND: Duration = Duration::from_secs(1);

    fn quota(requests: u32, scope: Scope) -> QuotaConfig {
        QuotaConfig { scope, ..QuotaConfig::new(Model::SlidingLog, requests, SECOND) }
    }

    #[test]
    fn an_account_is_shared_and_a_key_is_not() {
        let config =
            Config { quota: vec![quota(2, Scope::Key), quota(3, Scope::Account)], ..Config::default() };
        let mut books = Books::new(&config, 1);
        let mut ask = |key| books.count(Duration::ZERO, Some(key), &[Some(0)]) == Counted::Admitted;
        assert_eq!([ask("k1"), ask("k1"), ask("k1")], [true, true, false], "two a key");
        assert_eq!([ask("k2"), ask("k2")], [true, false], "three an account");
        let stats = books.stats();
        assert_eq!((stats.requests, stats.admitted, stats.refused), (5, 3, 2));
        assert_eq!((stats.keys[0].peak_in_window, stats.keys[0].peak_admitted_in_window), (3, 2));
        assert_eq!(books.symbols()[&0], SymbolStats { asked: 5, served: 0 });
    }

    #[test]
    fn a_batch_costs_as_much_as_it_has_symbols() {
        let mut books = Books::new(&Config { quota: vec![quota(4, Scope::Key)], ..Config::default() }, 3);
        let batch = [Some(0), Some(1), None];
        assert_eq!(books.count(Duration::ZERO, Some("k1"), &batch), Counted::Admitted);
        assert_eq!(books.count(Duration::ZERO, Some("k1"), &batch), Counted::Refused { retry_after: SECOND });
        assert_eq!(books.count(Duration::ZERO, Some("k1"), &[Some(2)]), Counted::Admitted);
        assert_eq!(books.stats().unknown_symbol, 1);
    }

    #[test]
    fn keys_are_unknown_revoked_or_too_many() {
        let config = Config { faults: Faults::none().revoke("k2", 1), ..Config::default() };
        let mut books = Books::new(&config, 1);
        let mut ask = |key| books.count(Duration::ZERO, key, &[Some(0)]);
        assert_eq!(ask(None), Counted::InvalidKey);
        assert_eq!(ask(Some("k9")), Counted::InvalidKey);
        assert_eq!([ask(Some("k2")), ask(Some("k2"))], [Counted::Admitted, Counted::InvalidKey]);
        assert_eq!((books.stats().invalid_key, books.stats().keys[1].revoked), (3, 1));

        let any = Config { keys: Vec::new(), max_keys: 2, ..Config::default() };
        let mut books = Books::new(&any, 1);
        let mut ask = |key: &str| books.count(Duration::ZERO, Some(key), &[Some(0)]);
        assert_eq!([ask("a"), ask("b"), ask("a")], [Counted::Admitted; 3]);
        assert_eq!(ask("c"), Counted::InvalidKey, "no more keys than the bound");
        assert_eq!(books.stats().keys.len(), 2);
    }
}
