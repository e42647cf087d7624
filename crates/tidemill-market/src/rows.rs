//! Finds the rows of an answer by its mapping and hands their cells to the sheet.

use std::borrow::Cow;

use crate::csv::{Record, Records};
use crate::json::{Kind, Tape, Value};
use crate::mapping::{Field, Mapping, Shape, Variables};
use crate::sheet::{Cells, MISSING, Sheet};

/// Whether there are rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing stands where rows would, or something of another shape.
    Nothing,
    /// The place of the rows is there; the sheet knows how many.
    Rows,
    /// More than the bound.
    TooMany,
}

/// How many names of unknown fields are reported.
const UNKNOWN_NAMES: usize = 8;

/// Walks one answer.
pub(crate) struct Reader<'r, 'c> {
    pub(crate) mapping: &'r Mapping,
    pub(crate) variables: &'r Variables,
    pub(crate) max_rows: usize,
    pub(crate) sheet: &'r mut Sheet<'c>,
    /// Fields that are not in the contract (V15).
    pub(crate) unknown: Vec<String>,
}

/// The value at a path whose steps may hold variables.
pub(crate) fn value_at<'t, 'a>(
    root: Value<'t, 'a>,
    path: &[String],
    variables: &Variables,
) -> Option<Value<'t, 'a>> {
    root.at(path.iter().map(|step| fill(step, variables)))
}

fn fill<'s>(step: &'s str, variables: &Variables) -> Cow<'s, str> {
    if !step.contains('{') {
        return Cow::Borrowed(step);
    }
    let filled = variables
        .iter()
        .fold(step.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
    Cow::Owned(filled)
}

/// The six columns of a columnar answer; an absent one is empty.
pub(crate) struct Columns<'t, 'a>([Vec<Value<'t, 'a>>; 6]);

impl<'t, 'a> Columns<'t, 'a> {
    /// The columns below the place of the rows; `None` if not one of them is there.
    pub(crate) fn find(root: Value<'t, 'a>, mapping: &Mapping, variables: &Variables) -> Option<Self> {
        let base = value_at(root, &mapping.rows.at, variables)?;
        let mut any = false;
        let columns = mapping.fields.all().map(|(_, field)| {
            let Some(Field::Name(path)) = field else { return Vec::new() };
            let column = base.at(path.split('.')).filter(|value| value.kind() == Kind::Array);
            any |= column.is_some();
            column.map(|array| array.children().collect()).unwrap_or_default()
        });
        any.then_some(Self(columns))
    }

    fn rows(&self) -> usize {
        self.0.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The row put together as a JSON array.
    pub(crate) fn raw(&self, row: usize) -> Vec<u8> {
        let mut out = b"[".to_vec();
        for (index, column) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            match column.get(row) {
                Some(value) if value.kind() == Kind::Text => {
                    out.push(b'"');
                    out.extend_from_slice(value.source().as_bytes());
                    out.push(b'"');
                }
                Some(value) => out.extend_from_slice(value.source().as_bytes()),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b']');
        out
    }
}

impl Reader<'_, '_> {
    pub(crate) fn columns(&mut self, columns: &Columns<'_, '_>) -> Found {
        if columns.rows() > self.max_rows {
            return Found::TooMany;
        }
        self.sheet.reserve(columns.rows());
        for row in 0..columns.rows() {
            let cells: Cells<'_> =
                std::array::from_fn(|field| columns.0[field].get(row).map_or(MISSING, |v| cell(*v)));
            self.sheet.push(&cells, (row as u32, 0));
        }
        Found::Rows
    }

    pub(crate) fn json(&mut self, tape: &Tape<'_>) -> Found {
        let Some(place) = value_at(tape.root(), &self.mapping.rows.at, self.variables) else {
            return Found::Nothing;
        };
        match (self.mapping.rows.shape, place.kind()) {
            (Shape::Objects, Kind::Array) => self.objects(place.children().map(|row| (None, row))),
            (Shape::Keyed, Kind::Object) => self.objects(place.members().map(|(key, row)| (Some(key), row))),
            (Shape::Arrays, Kind::Array) => self.arrays(place),
            _ => Found::Nothing,
        }
    }

    fn objects<'t, 'a: 't>(
        &mut self,
        rows: impl Iterator<Item = (Option<Value<'t, 'a>>, Value<'t, 'a>)>,
    ) -> Found {
        let mapping = self.mapping;
        let names = mapping.fields.all().map(|(_, field)| match field {
            Some(Field::Name(name)) => name.as_str(),
            _ => "",
        });
        let slot_of = |name: &str| match names.iter().position(|known| *known == name && !name.is_empty()) {
            Some(slot) => Slot::Cell(slot),
            None if mapping.rows.any_others || mapping.rows.others.iter().any(|other| other == name) => {
                Slot::Other
            }
            None => Slot::Unknown,
        };
        // Rows repeat the order of their members: the name at the same position of the row before is tried first.
        let mut order: Vec<(&str, Slot)> = Vec::new();
        for (key, row) in rows {
            if self.sheet.received() >= self.max_rows {
                return Found::TooMany;
            }
            let (start, end) = row.span();
            let place = (key.map_or(start, |key| key.span().0), end);
            if row.kind() != Kind::Object {
                self.sheet.push_broken("row is no object", place);
                continue;
            }
            let mut cells: Cells<'_> = [MISSING; 6];
            if let Some(key) = key {
                cells[0] = Ok(key.text());
            }
            for (position, (name, value)) in row.members().enumerate() {
                let slot = match order.get(position) {
                    Some((known, slot)) if *known == name.source() => *slot,
                    _ => {
                        let slot = slot_of(&name.text());
                        if position == order.len() && position < 64 {
                            order.push((name.source(), slot));
                        }
                        slot
                    }
                };
                match slot {
                    Slot::Cell(slot) if cells[slot] == MISSING => cells[slot] = cell(value),
                    Slot::Cell(slot) => cells[slot] = Err("stands twice"),
                    Slot::Other => {}
                    Slot::Unknown => note(&mut self.unknown, &name.text()),
                }
            }
            self.sheet.push(&cells, place);
        }
        Found::Rows
    }

    fn arrays(&mut self, place: Value<'_, '_>) -> Found {
        let indices = self.mapping.fields.all().map(|(_, field)| match field {
            Some(Field::Index(index)) => *index,
            _ => usize::MAX,
        });
        let longest = indices.iter().max().map_or(0, |last| last.saturating_add(1));
        for row in place.children() {
            if self.sheet.received() >= self.max_rows {
                return Found::TooMany;
            }
            if row.kind() != Kind::Array {
                self.sheet.push_broken("row is no array", row.span());
                continue;
            }
            let mut cells: Cells<'_> = [MISSING; 6];
            let mut length = 0;
            for (index, value) in row.children().enumerate() {
                length = index + 1;
                for (slot, _) in indices.iter().enumerate().filter(|(_, wanted)| **wanted == index) {
                    cells[slot] = cell(value);
                }
            }
            if length > longest && !self.mapping.rows.any_others {
                note(&mut self.unknown, &format!("[{longest}]"));
            }
            self.sheet.push(&cells, row.span());
        }
        Found::Rows
    }

    pub(crate) fn csv(&mut self, text: &str) -> Found {
        let mut records = Records::new(text);
        let mut record = Record::empty();
        if !records.read(&mut record) {
            return Found::Nothing;
        }
        let header: Vec<String> = record.fields.iter().map(|name| name.trim().to_owned()).collect();
        let mut columns = [0; 6];
        for (column, (_, field)) in columns.iter_mut().zip(self.mapping.fields.all()) {
            let Some(Field::Name(name)) = field else { return Found::Nothing };
            let mut places = header.iter().enumerate().filter(|(_, known)| *known == name);
            match (places.next(), places.next()) {
                (Some((index, _)), None) => *column = index,
                _ => return Found::Nothing,
            }
        }
        let rows = &self.mapping.rows;
        for (index, name) in header.iter().enumerate() {
            if !columns.contains(&index) && !rows.any_others && !rows.others.contains(name) {
                note(&mut self.unknown, name);
            }
        }
        while records.read(&mut record) {
            if self.sheet.received() >= self.max_rows {
                return Found::TooMany;
            }
            if record.broken || record.fields.len() != header.len() {
                let reason = format!("row has {} fields, its header {}", record.fields.len(), header.len());
                let reason = if record.broken { "quotes are broken".into() } else { reason };
                self.sheet.push_broken(&reason, record.span);
                continue;
            }
            let cells: Cells<'_> = columns.map(|column| Ok(Cow::Borrowed(record.fields[column].as_ref())));
            self.sheet.push(&cells, record.span);
        }
        Found::Rows
    }
}

/// What a member of a row is to us.
#[derive(Clone, Copy)]
enum Slot {
    Cell(usize),
    Other,
    Unknown,
}

fn cell<'a>(value: Value<'_, 'a>) -> Result<Cow<'a, str>, &'static str> {
    match value.kind() {
        Kind::Number | Kind::Text => Ok(value.text()),
        Kind::Null => Err("is null"),
        Kind::Bool | Kind::Array | Kind::Object => Err("is neither number nor text"),
    }
}

fn note(unknown: &mut Vec<String>, name: &str) {
    if unknown.len() < UNKNOWN_NAMES && !unknown.iter().any(|known| known == name) {
        unknown.push(name.chars().take(60).collect());
    }
}
