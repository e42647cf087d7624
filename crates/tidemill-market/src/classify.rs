//! What kind of answer it is: rows if there are any, else the provider's signs, else status and words; never a guess
//! in favour of success.

use crate::checks::Checks;
use crate::hints;
use crate::json::{Kind, Tape, Value};
use crate::mapping::{Mapping, Meaning, Shape, Sign, TimeFormat, Variables};
use crate::reading::{Answer, Class, Header, Reading, Refused};
use crate::request::Ask;
use crate::rows::{Columns, Found, Reader, value_at};
use crate::rule::Rule;
use crate::series;
use crate::sheet::{Accounted, Place, Sheet};
use crate::zone::Zone;

pub(crate) fn read(mapping: &Mapping, ask: &Ask<'_>, answer: Answer<'_>, checks: &Checks) -> Reading {
    let bound = checks.max_body.min(u32::MAX as usize - 1);
    if answer.body.len() > bound {
        let words = format!("body of {} bytes is longer than the bound of {bound}", answer.body.len());
        return without_rows(ask, by_status(answer.status, "").unwrap_or(Class::Malformed), words, checks);
    }
    let Ok(text) = std::str::from_utf8(answer.body) else {
        let lossy = String::from_utf8_lossy(&answer.body[..answer.body.len().min(4096)]).into_owned();
        let class = if hints::is_markup(&lossy) {
            by_markup(answer.status, &lossy)
        } else {
            by_status(answer.status, &lossy)
        };
        let words = format!("body is no UTF-8: {}", hints::snippet(&lossy));
        return without_rows(ask, class.unwrap_or(Class::Malformed), words, checks);
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let none = Variables::new();
    let variables = mapping.intervals.get(&ask.interval.to_string()).unwrap_or(&none);
    let desk = Desk { mapping, variables, ask, answer, checks, text };
    match text.trim_ascii_start().bytes().next() {
        Some(b'{' | b'[') => match Tape::parse(text, checks.max_depth) {
            Ok(tape) => desk.json(&tape),
            Err(fault) => {
                let words =
                    format!("broken JSON at byte {}: {}: {}", fault.at, fault.what, hints::snippet(text));
                without_rows(ask, by_status(answer.status, "").unwrap_or(Class::Malformed), words, checks)
            }
        },
        Some(b'<') => {
            let class = by_markup(answer.status, text).unwrap_or(Class::Malformed);
            without_rows(ask, class, hints::snippet(text), checks)
        }
        _ => desk.plain(),
    }
}

/// Everything about one answer.
struct Desk<'d> {
    mapping: &'d Mapping,
    variables: &'d Variables,
    ask: &'d Ask<'d>,
    answer: Answer<'d>,
    checks: &'d Checks,
    text: &'d str,
}

impl Desk<'_> {
    fn json(&self, tape: &Tape<'_>) -> Reading {
        let root = tape.root();
        let shape = self.mapping.rows.shape;
        let columns = match shape {
            Shape::Columns => Columns::find(root, self.mapping, self.variables),
            _ => None,
        };
        if self.answer.status == 200 {
            let raw: Box<dyn Fn(Place) -> Vec<u8> + '_> = match &columns {
                Some(columns) => Box::new(|(row, _)| columns.raw(row as usize)),
                None => Box::new(|place| self.bytes(place)),
            };
            let mut sheet = self.sheet(raw);
            let header = self.header(root);
            self.check_head(root, &header, &mut sheet);
            let mut reader = self.reader(&mut sheet);
            let found = match &columns {
                Some(columns) => reader.columns(columns),
                None if shape == Shape::Columns || shape == Shape::Csv => Found::Nothing,
                None => reader.json(tape),
            };
            let unknown = reader.unknown;
            match found {
                Found::TooMany => return self.too_many(),
                Found::Rows if sheet.received() > 0 => {
                    let mut reading = self.with_rows(sheet, unknown);
                    self.settle_rejected(root, &mut reading);
                    reading.header = header;
                    reading.next = value_at(root, &self.mapping.rows.next_at, self.variables)
                        .filter(|value| !self.mapping.rows.next_at.is_empty() && value.kind() == Kind::Text)
                        .map(|value| value.text().into_owned());
                    return reading;
                }
                Found::Rows => {
                    let signed = self.sign(Some(root));
                    let class = signed.as_ref().map_or(Class::Empty, |(class, _)| *class);
                    let words =
                        signed.and_then(|(_, words)| words).unwrap_or_else(|| hints::words(root, self.text));
                    return Reading { header, ..without_rows(self.ask, class, words, self.checks) };
                }
                Found::Nothing => {}
            }
        }
        let words = |said: Option<String>| said.unwrap_or_else(|| hints::words(root, self.text));
        match self.sign(Some(root)) {
            Some((class, said)) => without_rows(self.ask, class, words(said), self.checks),
            None => {
                let class = by_status(self.answer.status, self.text).unwrap_or(Class::Malformed);
                without_rows(self.ask, class, words(None), self.checks)
            }
        }
    }

    /// A body that is neither JSON nor markup: CSV, or a sentence.
    fn plain(&self) -> Reading {
        if self.answer.status == 200 && self.mapping.rows.shape == Shape::Csv {
            let mut sheet = self.sheet(Box::new(|place| self.bytes(place)));
            let mut reader = self.reader(&mut sheet);
            let found = reader.csv(self.text);
            let unknown = reader.unknown;
            match found {
                Found::TooMany => return self.too_many(),
                Found::Rows if sheet.received() > 0 => {
                    if !self.text.ends_with(['\n', '\r']) {
                        sheet
                            .flags
                            .add(Rule::V15, None, || "the last line has no end: the body may be cut".into());
                    }
                    return self.with_rows(sheet, unknown);
                }
                Found::Rows => {
                    return without_rows(
                        self.ask,
                        Class::Empty,
                        "a header line and no rows".into(),
                        self.checks,
                    );
                }
                Found::Nothing => {}
            }
        }
        let (class, words) = match self.sign(None) {
            Some((class, words)) => (class, words),
            None if self.is_page() => (Class::Blocked, None),
            None => (by_status(self.answer.status, self.text).unwrap_or(Class::Malformed), None),
        };
        without_rows(self.ask, class, words.unwrap_or_else(|| hints::snippet(self.text)), self.checks)
    }

    /// A success that calls itself a page for people, although it holds no markup.
    fn is_page(&self) -> bool {
        self.answer.status == 200
            && self.answer.content_type.is_some_and(|kind| kind.starts_with("text/html"))
    }

    fn sheet<'s>(&'s self, raw: Box<dyn Fn(Place) -> Vec<u8> + 's>) -> Sheet<'s> {
        let fractional = self.mapping.fractional_volume || self.checks.fractional_volume;
        Sheet::new(self.ask.symbol, self.ask.interval, self.mapping.time, fractional, self.checks, raw)
    }

    fn reader<'r, 'c>(&'r self, sheet: &'r mut Sheet<'c>) -> Reader<'r, 'c> {
        let (mapping, variables) = (self.mapping, self.variables);
        Reader { mapping, variables, max_rows: self.checks.max_rows, sheet, unknown: Vec::new() }
    }

    fn bytes(&self, (start, end): Place) -> Vec<u8> {
        self.text.as_bytes().get(start as usize..end as usize).unwrap_or_default().to_vec()
    }

    fn header(&self, root: Value<'_, '_>) -> Header {
        let said = |path: &[String]| {
            let value = value_at(root, path, self.variables).filter(|_| !path.is_empty())?;
            (value.kind() == Kind::Text).then(|| value.text().into_owned())
        };
        let at = &self.mapping.header;
        Header { currency: said(&at.currency), exchange: said(&at.exchange), zone: said(&at.zone) }
    }

    /// V13, V14, V16: what the head of the answer says about all of its rows.
    fn check_head(&self, root: Value<'_, '_>, header: &Header, sheet: &mut Sheet<'_>) {
        for sign in self.mapping.says.iter().filter(|sign| sign.meaning == Meaning::Sample) {
            if let Some(words) = self.fits(sign, Some(root)) {
                let words = words.unwrap_or_default();
                sheet.reject_all(Rule::V16, format!("sample rows: {}", hints::short(&words)));
            }
        }
        let path = &self.mapping.rows.symbol_at;
        match value_at(root, path, self.variables).filter(|_| !path.is_empty()) {
            Some(symbol) if !symbol.text().eq_ignore_ascii_case(self.ask.symbol) => {
                let answered = hints::short(&symbol.text());
                sheet.reject_all(Rule::V14, format!("answered {answered:?}, asked {:?}", self.ask.symbol));
            }
            None if !path.is_empty() => {
                sheet.flags.add(Rule::V14, None, || "the answer names no symbol".into())
            }
            _ => {}
        }
        let wanted = &self.checks.header;
        let pairs = [
            ("currency", &header.currency, &wanted.currency),
            ("exchange", &header.exchange, &wanted.exchange),
            ("zone", &header.zone, &wanted.zone),
        ];
        for (name, said, wanted) in pairs {
            if let (Some(said), Some(wanted)) = (said, wanted)
                && said != wanted
            {
                let said = hints::short(said);
                sheet.flags.add(Rule::V13, None, || format!("{name} is {said:?}, was {wanted:?}"));
            }
        }
        self.check_zone(root, header, sheet);
    }

    /// V13: a zone that is not the mapping's own would move times.
    fn check_zone(&self, root: Value<'_, '_>, header: &Header, sheet: &mut Sheet<'_>) {
        let at = &self.mapping.header;
        let foreign =
            header.zone.as_ref().filter(|zone| !at.zone_names.is_empty() && !at.zone_names.contains(zone));
        let Some(zone) = foreign else { return };
        let offset = value_at(root, &at.zone_offset, self.variables).filter(|_| !at.zone_offset.is_empty());
        let offset =
            offset.and_then(|value| value.source().parse::<i32>().ok()).filter(|s| s.abs() <= 86_400);
        let named = self.mapping.time.format == TimeFormat::Naive;
        match (self.ask.interval.is_daily(), offset) {
            // A date that is written stays the date of its exchange.
            (true, _) if named => {
                sheet.flags.add(Rule::V13, None, || format!("times are in {:?}", hints::short(zone)))
            }
            // An instant becomes a date by an offset that may be an hour off half the year: far from midnight.
            (true, Some(seconds)) => sheet.set_zone(Zone::East(seconds)),
            _ => sheet.reject_all(
                Rule::V13,
                format!("times are in {:?}, not in {:?}", hints::short(zone), at.zone_names[0]),
            ),
        }
    }

    fn with_rows(&self, mut sheet: Sheet<'_>, unknown: Vec<String>) -> Reading {
        if !unknown.is_empty() {
            sheet
                .flags
                .add(Rule::V15, None, || format!("fields outside the contract: {}", unknown.join(", ")));
        }
        let Accounted { bars, quarantined, duplicates, received, mut flags } = sheet.finish();
        series::flag(&bars, self.ask.interval, self.checks, &mut flags);
        if received as usize != bars.len() + quarantined.len() + duplicates as usize {
            flags.add(Rule::V20, None, || "rows received are not rows accounted for".into());
        }
        let only_provisional = quarantined.iter().all(|row| row.rule == Rule::V12);
        let class = if !bars.is_empty() || only_provisional { Class::Ok } else { Class::Malformed };
        let message = quarantined.first().filter(|_| class == Class::Malformed);
        let message =
            message.map(|row| hints::bounded(&format!("no row stands: {}: {}", row.rule, row.reason)));
        let flags = flags.into_vec();
        Reading {
            class,
            bars,
            quarantined,
            duplicates,
            received,
            flags,
            message,
            ..Reading::bare(self.ask.symbol)
        }
    }

    /// Samples are the provider's way to refuse a plan.
    fn settle_rejected(&self, root: Value<'_, '_>, reading: &mut Reading) {
        if reading.quarantined.first().is_some_and(|row| row.rule == Rule::V16) {
            reading.class = Class::Refused(Refused::NotEntitled);
            reading.message = Some(hints::words(root, self.text));
        }
    }

    fn too_many(&self) -> Reading {
        let words = format!("more than {} rows", self.checks.max_rows);
        without_rows(self.ask, Class::Malformed, words, self.checks)
    }

    /// The meaning of the first sign that fits, and the provider's words for it.
    fn sign(&self, root: Option<Value<'_, '_>>) -> Option<(Class, Option<String>)> {
        let mut signs = self.mapping.says.iter().filter(|sign| sign.meaning != Meaning::Sample);
        signs.find_map(|sign| Some((class_of(sign.meaning), self.fits(sign, root)?)))
    }

    /// `Some(words)` if all conditions of the sign hold.
    fn fits(&self, sign: &Sign, root: Option<Value<'_, '_>>) -> Option<Option<String>> {
        let found = |path: &[String]| {
            root.and_then(|root| value_at(root, path, self.variables))
                .filter(|value| value.kind() != Kind::Null)
        };
        if !sign.status.is_empty() && !sign.status.contains(&self.answer.status) {
            return None;
        }
        if !sign.missing.is_empty() && (root.is_none() || found(&sign.missing).is_some()) {
            return None;
        }
        if !sign.text.is_empty() && !hints::holds_any(self.text, &sign.text) {
            return None;
        }
        if sign.at.is_empty() {
            return Some(None);
        }
        let value = found(&sign.at)?;
        let words = value.text();
        if !sign.equals.is_empty() && !sign.equals.iter().any(|wanted| *wanted == words) {
            return None;
        }
        if !sign.contains.is_empty() && !hints::holds_any(&words, &sign.contains) {
            return None;
        }
        // A bare code is no message; the members that usually hold one are tried by the caller.
        Some((value.kind() == Kind::Text && words.contains(' ')).then(|| hints::bounded(&words)))
    }
}

fn class_of(meaning: Meaning) -> Class {
    match meaning {
        Meaning::Throttled => Class::Throttled,
        Meaning::Blocked => Class::Blocked,
        Meaning::Empty => Class::Empty,
        Meaning::ServerError => Class::ServerError,
        Meaning::KeyRevoked => Class::Refused(Refused::KeyRevoked),
        Meaning::NotEntitled | Meaning::Sample => Class::Refused(Refused::NotEntitled),
        Meaning::UnknownSymbol => Class::Refused(Refused::UnknownSymbol),
        Meaning::Refused => Class::Refused(Refused::Other),
    }
}

/// What status and words tell about an answer without rows; nothing for a success in an unknown shape.
fn by_status(status: u16, text: &str) -> Option<Class> {
    let hint = hints::class(text);
    match status {
        429 => Some(Class::Throttled),
        418 => Some(Class::Blocked),
        401 => Some(Class::Refused(Refused::KeyRevoked)),
        402 => Some(Class::Refused(Refused::NotEntitled)),
        403 => Some(hint.unwrap_or(Class::Refused(Refused::NotEntitled))),
        404 | 410 => Some(hint.unwrap_or(Class::Refused(hints::not_found(text)))),
        408 | 425 => Some(Class::ServerError),
        400..=499 => Some(hint.unwrap_or(Class::Refused(Refused::Other))),
        500..=599 => Some(Class::ServerError),
        // A long body that happens to hold such a word is an unknown shape, not a sentence.
        _ => hint.filter(|_| text.len() <= hints::SEARCHED),
    }
}

/// A page for people instead of data.
fn by_markup(status: u16, text: &str) -> Option<Class> {
    match status {
        200..=399 | 403 => Some(Class::Blocked),
        404 if hints::holds_any(text, &["NoSuchKey"]) => Some(Class::Refused(Refused::UnknownSymbol)),
        404 | 410 => Some(Class::Refused(Refused::Other)),
        _ => by_status(status, text),
    }
}

fn without_rows(ask: &Ask<'_>, class: Class, words: String, checks: &Checks) -> Reading {
    let waits = matches!(class, Class::Throttled | Class::Blocked | Class::ServerError);
    let retry_after = if waits { hints::retry_after(&words, checks.now_ns) } else { None };
    let quota_window = if waits { hints::quota_window(&words) } else { None };
    let message = Some(hints::bounded(&words));
    Reading { class, message, retry_after, quota_window, ..Reading::bare(ask.symbol) }
}
