//! What to send: a path with its query and headers, and a printable form in which no key shows.

use std::fmt;

use crate::date::Date;
use crate::interval::Interval;
use crate::mapping::{Mapping, Template, Variables};

/// What is wanted from a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Symbol as the provider spells it.
    pub symbol: &'a str,
    /// Length of the bars.
    pub interval: Interval,
    /// First day wanted; `None` for what the provider gives by itself (its recent bars).
    pub start: Option<Date>,
    /// Last day wanted; `None` for up to now.
    pub end: Option<Date>,
}

impl<'a> Ask<'a> {
    /// The recent daily bars of a symbol.
    pub fn daily(symbol: &'a str) -> Self {
        Self { symbol, interval: Interval::Day, start: None, end: None }
    }
}

/// A request without its host. `Debug` and [`RequestParts::redacted`] print `***` where the key stands.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestParts {
    /// Path and query, percent-encoded. The key may stand in it: log [`RequestParts::redacted`].
    pub path_and_query: String,
    /// Header names and values. The key may stand in them.
    pub headers: Vec<(String, String)>,
    redacted: String,
    redacted_headers: Vec<(String, String)>,
}

impl RequestParts {
    /// Path and query for logs: `***` stands for the key.
    pub fn redacted(&self) -> &str {
        &self.redacted
    }
}

impl fmt::Debug for RequestParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestParts")
            .field("path_and_query", &self.redacted)
            .field("headers", &self.redacted_headers)
            .finish_non_exhaustive()
    }
}

pub(crate) fn build(mapping: &Mapping, ask: &Ask<'_>, key: Option<&str>) -> RequestParts {
    let none = Variables::new();
    let variables = mapping.intervals.get(&ask.interval.to_string()).unwrap_or(&none);
    let fill = |key: Option<&str>| {
        let values = Values { ask, key, variables };
        (values.path_and_query(&mapping.request), values.headers(&mapping.request))
    };
    let (path_and_query, headers) = fill(key);
    let (redacted, redacted_headers) = fill(key.map(|_| "***"));
    RequestParts { path_and_query, headers, redacted, redacted_headers }
}

/// The request for the page at `next`: its path and query at the provider's own host, with the key put in again.
pub(crate) fn next_page(
    mapping: &Mapping,
    ask: &Ask<'_>,
    next: &str,
    key: Option<&str>,
) -> Option<RequestParts> {
    let path = match next.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => next,
    };
    // What a body says goes into a request line: nothing that could end the line or hide in it.
    if !path.starts_with('/')
        || path.starts_with("//")
        || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return None;
    }
    let template = Template {
        path: String::new(),
        query: mapping.request.query.iter().filter(|(_, value)| value.contains("{key}")).cloned().collect(),
        query_with_start: Vec::new(),
        query_without_start: Vec::new(),
        headers: mapping.request.headers.clone(),
    };
    let none = Variables::new();
    let fill = |key: Option<&str>| {
        let values = Values { ask, key, variables: &none };
        let added = values.path_and_query(&template);
        let added = if path.contains('?') { added.replacen('?', "&", 1) } else { added };
        (format!("{path}{added}"), values.headers(&template))
    };
    let (path_and_query, headers) = fill(key);
    let (redacted, redacted_headers) = fill(key.map(|_| "***"));
    Some(RequestParts { path_and_query, headers, redacted, redacted_headers })
}

struct Values<'a> {
    ask: &'a Ask<'a>,
    key: Option<&'a str>,
    variables: &'a Variables,
}

impl Values<'_> {
    fn path_and_query(&self, template: &Template) -> String {
        let mut out = self.expand(&template.path, true, true).unwrap_or_default();
        let optional = match self.ask.start {
            Some(_) => &template.query_with_start,
            None => &template.query_without_start,
        };
        let mut separator = if out.contains('?') { '&' } else { '?' };
        for (name, value) in template.query.iter().chain(optional) {
            if let Some(value) = self.expand(value, true, false) {
                out.push(separator);
                encode(name, &mut out);
                out.push('=');
                out.push_str(&value);
                separator = '&';
            }
        }
        out
    }

    fn headers(&self, template: &Template) -> Vec<(String, String)> {
        let filled =
            |(name, value): &(String, String)| Some((name.clone(), self.expand(value, false, false)?));
        template.headers.iter().filter_map(filled).collect()
    }

    /// The template with its variables put in, or nothing if one of them has no value.
    fn expand(&self, template: &str, encoded: bool, in_path: bool) -> Option<String> {
        let mut out = String::with_capacity(template.len() + 16);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            put(before, encoded && !in_path, &mut out);
            let value = self.value(name, in_path)?;
            // The mask is printed as it is, so that a reader sees three stars and not their codes.
            put(&value, encoded && value != "***", &mut out);
            rest = after;
        }
        put(rest, encoded && !in_path, &mut out);
        Some(out)
    }

    fn value(&self, name: &str, in_path: bool) -> Option<String> {
        let start = self.ask.start.or(if in_path { Date::new(1970, 1, 1) } else { None });
        let end = self.ask.end.or(if in_path { Date::new(2100, 1, 1) } else { None });
        let midnight_s = |date: Date| i64::from(date.days()) * 86_400;
        match name {
            "symbol" => Some(self.ask.symbol.to_owned()),
            "key" => self.key.map(str::to_owned),
            "start" => start.map(|d| d.to_string()),
            "end" => end.map(|d| d.to_string()),
            "start_s" => start.map(|d| midnight_s(d).to_string()),
            "start_ms" => start.map(|d| (midnight_s(d) * 1000).to_string()),
            "end_s" => end.map(|d| (midnight_s(d) + 86_399).to_string()),
            "end_ms" => end.map(|d| (midnight_s(d) * 1000 + 86_399_999).to_string()),
            _ => self.variables.get(name).cloned(),
        }
    }
}

fn put(text: &str, encoded: bool, out: &mut String) {
    if encoded {
        encode(text, out);
    } else {
        out.push_str(text);
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
}
