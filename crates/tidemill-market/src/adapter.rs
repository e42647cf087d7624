//! One provider: builds its requests and reads its answers.

use crate::checks::Checks;
use crate::error::Error;
use crate::interval::Interval;
use crate::mapping::Mapping;
use crate::reading::{Answer, Reading};
use crate::request::{self, Ask, RequestParts};

/// Which of its formats Alpha Vantage is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `datatype=json`.
    Json,
    /// `datatype=csv`: a quarter of the bytes. Refusals come as JSON all the same.
    Csv,
}

/// A provider: a [`Mapping`] that was checked.
#[derive(Debug, Clone)]
pub struct Adapter {
    mapping: Mapping,
}

/// The bundled mappings by name.
const BUNDLED: [(&str, &str); 8] = [
    ("alpha-vantage", include_str!("../providers/alpha-vantage.toml")),
    ("alpha-vantage-csv", include_str!("../providers/alpha-vantage-csv.toml")),
    ("twelve-data", include_str!("../providers/twelve-data.toml")),
    ("polygon", include_str!("../providers/polygon.toml")),
    ("yahoo", include_str!("../providers/yahoo.toml")),
    ("binance", include_str!("../providers/binance.toml")),
    ("coinbase", include_str!("../providers/coinbase.toml")),
    ("tiingo", include_str!("../providers/tiingo.toml")),
];

impl Adapter {
    /// Alpha Vantage, daily and intraday.
    pub fn alpha_vantage(format: Format) -> Self {
        Self::bundled(match format {
            Format::Json => "alpha-vantage",
            Format::Csv => "alpha-vantage-csv",
        })
    }

    /// Twelve Data, `/time_series` of one symbol.
    pub fn twelve_data() -> Self {
        Self::bundled("twelve-data")
    }

    /// A provider described by the caller.
    pub fn generic(mapping: Mapping) -> Result<Self, Error> {
        mapping.check()?;
        Ok(Self { mapping })
    }

    /// A bundled provider: see [`Adapter::names`].
    pub fn by_name(name: &str) -> Result<Self, Error> {
        match BUNDLED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::generic(Mapping::from_toml(text)?),
            None => Err(Error::adapter(name, &Self::names())),
        }
    }

    /// The names of the bundled providers.
    pub fn names() -> [&'static str; BUNDLED.len()] {
        BUNDLED.map(|(name, _)| name)
    }

    /// The mapping behind this adapter.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// True if the provider can be asked for bars of this length.
    pub fn supports(&self, interval: Interval) -> bool {
        self.mapping.intervals.contains_key(&interval.to_string())
    }

    /// The request for an ask. Check [`Adapter::supports`] once before: an interval the provider does not have leaves
    /// its variables out.
    pub fn request(&self, ask: &Ask<'_>, key: Option<&str>) -> RequestParts {
        request::build(&self.mapping, ask, key)
    }

    /// The request for [`Reading::next`]: always to the provider's own host, whatever host the answer names, and with
    /// the key put in again. `None` if the address is no plain path and query.
    pub fn request_next(&self, ask: &Ask<'_>, next: &str, key: Option<&str>) -> Option<RequestParts> {
        request::next_page(&self.mapping, ask, next, key)
    }

    /// Reads an answer. Never fails and never panics: what cannot be read is a [`Class`](crate::Class) that says so.
    pub fn read(&self, ask: &Ask<'_>, answer: Answer<'_>, checks: &Checks) -> Reading {
        crate::classify::read(&self.mapping, ask, answer, checks)
    }

    fn bundled(name: &'static str) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the text is part of this crate and a test reads every one of them"
        )]
        Self::by_name(name).expect("bundled mapping")
    }
}
