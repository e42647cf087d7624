//! What kind of answer it is.

use crate::bars::Bars;
use crate::checks::Checks;
use crate::mapping::Mapping;
use crate::reading::{Answer, Class, Header, Reading};
use crate::request::Ask;

pub(crate) fn read(_mapping: &Mapping, ask: &Ask<'_>, _answer: Answer<'_>, _checks: &Checks) -> Reading {
    Reading {
        class: Class::Malformed,
        bars: Bars { symbol: ask.symbol.to_owned(), ..Bars::default() },
        quarantined: Vec::new(),
        duplicates: 0,
        received: 0,
        flags: Vec::new(),
        message: None,
        retry_after: None,
        quota_window: None,
        next: None,
        header: Header::default(),
    }
}
