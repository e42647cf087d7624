//! Answers of market data providers, classified, validated and turned into columns; nothing is dropped in silence.

mod adapter;
mod bars;
mod calendar;
mod checks;
mod classify;
mod csv;
mod date;
mod error;
mod flags;
mod hints;
mod interval;
mod json;
mod mapping;
mod reading;
mod request;
mod rows;
mod rule;
mod series;
mod sheet;
mod timestamp;
mod zone;

pub use adapter::{Adapter, Format};
pub use bars::{Bars, Volume};
pub use calendar::Calendar;
pub use checks::{Checks, Provisional};
pub use date::Date;
pub use error::{Error, ErrorKind};
pub use interval::Interval;
pub use mapping::{
    Field, Fields, HeaderAt, Mapping, Meaning, Rows, Shape, Sign, Template, Time, TimeFormat, Variables,
};
pub use reading::{Answer, Class, Flag, Header, Quarantined, Reading, Refused};
pub use request::{Ask, RequestParts};
pub use rule::Rule;
pub use zone::Zone;
