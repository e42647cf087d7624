//! Whether an answer is what it must be, and the values that later steps need of it.

use serde_json::Value;

use crate::answer::{Answer, Wanted};
use crate::failure::Failure;
use crate::plan::Limits;
use crate::scenario::{Check, Step};

/// The longest extracted value.
const LONGEST_VALUE: usize = 4096;

/// A step's checks and extractions, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Inspection {
    pub(crate) wanted: Wanted,
    status: Vec<u16>,
    /// By the index into the wanted headers.
    headers: Vec<(usize, Vec<u8>)>,
    body: Option<Vec<u8>>,
    json: Vec<(String, Value)>,
    min_bytes: u64,
    extract: Vec<(usize, Extract)>,
    has_status: bool,
}

#[derive(Clone, Debug)]
enum Extract {
    Json(String),
    Header(usize),
    Between(Vec<u8>, Vec<u8>),
}

impl Inspection {
    /// `slot` gives the place of an extracted value; `has_status` is false where answers have none.
    pub(crate) fn new(
        step: &Step,
        limits: &Limits,
        has_status: bool,
        slot: impl Fn(&str) -> usize,
    ) -> Result<Self, String> {
        let Check { status, headers, body, json, min_bytes, until } = &step.check;
        let mut wanted = Wanted {
            largest: limits.answer,
            exactly: *min_bytes,
            until: until.as_ref().map(|text| text.as_bytes().to_vec()),
            is_head: step.method.eq_ignore_ascii_case("HEAD"),
            ..Wanted::default()
        };
        let mut checks = Vec::new();
        for (name, text) in headers {
            checks.push((want(&mut wanted, name), text.as_bytes().to_vec()));
        }
        let mut extract = Vec::new();
        for (name, text) in &step.extract {
            extract.push((slot(name), Extract::read(text, &mut wanted)?));
        }
        let of_body = extract.iter().any(|(_, extract)| !matches!(extract, Extract::Header(_)));
        if body.is_some() || !json.is_empty() || of_body {
            wanted.body = usize::try_from(limits.body).unwrap_or(usize::MAX);
        }
        Ok(Self {
            wanted,
            status: status.clone(),
            headers: checks,
            body: body.as_ref().map(|text| text.as_bytes().to_vec()),
            json: json.iter().map(|(pointer, value)| (pointer.clone(), value.clone())).collect(),
            min_bytes: *min_bytes,
            extract,
            has_status,
        })
    }

    /// Judges an answer and takes its values.
    pub(crate) fn look(&self, answer: &Answer, extracted: &mut [String]) -> Result<(), Failure> {
        if self.has_status {
            let accepted = if self.status.is_empty() {
                (200..400).contains(&answer.status)
            } else {
                self.status.contains(&answer.status)
            };
            if !accepted {
                return Err(Failure::Status);
            }
        }
        let header =
            |n: usize| answer.headers.iter().find(|(kept, _)| *kept == n).map(|(_, value)| value.as_slice());
        let headers =
            self.headers.iter().all(|(n, text)| header(*n).is_some_and(|value| contains(value, text)));
        let body = self.body.as_ref().is_none_or(|text| contains(&answer.body, text));
        if !headers || !body || answer.length < self.min_bytes {
            return Err(Failure::Check);
        }
        let parsed = self.needs_json().then(|| serde_json::from_slice::<Value>(&answer.body).ok()).flatten();
        let at = |pointer: &str| parsed.as_ref().and_then(|value| value.pointer(pointer));
        if !self.json.iter().all(|(pointer, value)| at(pointer) == Some(value)) {
            return Err(Failure::Check);
        }
        for (slot, extract) in &self.extract {
            let value = match extract {
                Extract::Json(pointer) => at(pointer).map(|value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                }),
                Extract::Header(n) => header(*n).map(|value| String::from_utf8_lossy(value).into_owned()),
                Extract::Between(before, after) => between(&answer.body, before, after),
            };
            let value = value.filter(|value| value.len() <= LONGEST_VALUE).ok_or(Failure::Check)?;
            extracted[*slot] = value;
        }
        Ok(())
    }

    fn needs_json(&self) -> bool {
        !self.json.is_empty() || self.extract.iter().any(|(_, extract)| matches!(extract, Extract::Json(_)))
    }
}

impl Extract {
    fn read(text: &str, wanted: &mut Wanted) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("json", pointer)) if pointer.is_empty() || pointer.starts_with('/') => {
                Ok(Self::Json(pointer.to_owned()))
            }
            Some(("header", name)) if !name.is_empty() => Ok(Self::Header(want(wanted, name))),
            Some(("between", ends)) => {
                let (before, after) = ends
                    .split_once('|')
                    .ok_or_else(|| format!("`{text}` has no `|` between its two ends"))?;
                Ok(Self::Between(before.as_bytes().to_vec(), after.as_bytes().to_vec()))
            }
            _ => Err(format!("`{text}` is not json:/pointer, header:name or between:before|after")),
        }
    }
}

fn want(wanted: &mut Wanted, name: &str) -> usize {
    let name = name.to_ascii_lowercase();
    wanted.headers.iter().position(|kept| *kept == name).unwrap_or_else(|| {
        wanted.headers.push(name);
        wanted.headers.len() - 1
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    find(text, part).is_some()
}

/// Where a part begins; an empty part begins everywhere.
pub(crate) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let Some(first) = part.first() else { return Some(0) };
    let last = text.len().checked_sub(part.len())?;
    (0..=last).find(|at| text[*at] == *first && text[*at..].starts_with(part))
}

fn between(text: &[u8], before: &[u8], after: &[u8]) -> Option<String> {
    let start = find(text, before)? + before.len();
    let length = find(&text[start..], after)?;
    Some(String::from_utf8_lossy(&text[start..start + length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> Step {
        toml::from_str(text).unwrap()
    }

    fn look(text: &str, answer: &Answer) -> (Result<(), Failure>, Vec<String>) {
        let inspection = Inspection::new(&step(text), &Limits::default(), true, |_| 0).unwrap();
        let mut kept = Answer { status: answer.status, length: answer.length, ..Answer::default() };
        kept.header(&inspection.wanted, "X-Id", b"abc-7");
        kept.push(&inspection.wanted, &answer.body);
        let mut extracted = vec![String::new()];
        (inspection.look(&kept, &mut extracted), extracted)
    }

    #[test]
    fn status_header_and_body_are_checked() {
        let body = br#"{"ok": true, "token": "t-1", "n": 5}<b>in</b>"#;
        let answer = Answer { status: 200, body: body[..36].to_vec(), ..Answer::default() };
        let text = Answer { status: 404, body: body.to_vec(), ..Answer::default() };
        for (plan, expected) in [
            ("", Ok(())),
            ("check.status = [201]", Err(Failure::Status)),
            ("check.headers.x-id = \"abc\"", Ok(())),
            ("check.headers.x-id = \"z\"", Err(Failure::Check)),
            ("check.headers.none = \"\"", Err(Failure::Check)),
            ("check.body = \"token\"", Ok(())),
            ("check.body = \"nothing\"", Err(Failure::Check)),
            ("check.json.\"/ok\" = true", Ok(())),
            ("check.json.\"/n\" = 6", Err(Failure::Check)),
            ("check.min_bytes = 100", Err(Failure::Check)),
            ("extract.a = \"json:/token\"", Ok(())),
            ("extract.a = \"json:/none\"", Err(Failure::Check)),
        ] {
            assert_eq!(look(plan, &answer).0, expected, "{plan}");
        }
        assert_eq!(look("", &text).0, Err(Failure::Status));
        assert_eq!(look("check.status = [404]", &text).0, Ok(()));
        assert_eq!(look("extract.a = \"json:/n\"", &answer).1, ["5"]);
        assert_eq!(look("extract.a = \"header:X-ID\"", &answer).1, ["abc-7"]);
        assert_eq!(look("check.status = [404]\nextract.a = \"between:<b>|</b>\"", &text).1, ["in"]);
    }

    #[test]
    fn an_extraction_that_cannot_be_read_is_an_error() {
        for bad in ["", "json:x", "header:", "between:a", "regex:a"] {
            let step = step(&format!("extract.a = \"{bad}\""));
            assert!(Inspection::new(&step, &Limits::default(), true, |_| 0).is_err(), "{bad}");
        }
    }
}
