//! A provider described as data: how to ask, where the rows stand, what its bodies mean when there are none.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::Error;
use crate::interval::Interval;
use crate::zone::Zone;

/// Names of variables and what they stand for.
pub type Variables = BTreeMap<String, String>;

/// A provider as data, usually read from TOML by [`Mapping::from_toml`]; unknown fields are errors.
///
/// A path such as `at` is a list of member names (or array indices as text) from the root of the body; every element
/// may hold `{variables}` of the interval.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Name for messages.
    pub name: String,
    /// How to ask.
    pub request: Template,
    /// Variables by interval (`"1d"`, `"5min"`…), for the request and for paths. An interval that is not named
    /// here cannot be asked for.
    pub intervals: BTreeMap<String, Variables>,
    /// Where the rows stand.
    pub rows: Rows,
    /// Where each value of a row stands.
    pub fields: Fields,
    /// How times are written.
    pub time: Time,
    /// Volumes may be fractions. Default false.
    #[serde(default)]
    pub fractional_volume: bool,
    /// Where the header of the answer names what V13 compares.
    #[serde(default)]
    pub header: HeaderAt,
    /// What an answer without rows means; the first sign that fits decides.
    #[serde(default)]
    pub says: Vec<Sign>,
}

/// How to ask. Variables: `{symbol}`, `{key}`, `{start}` and `{end}` (dates), `{start_s}`, `{start_ms}` (00:00 UTC of
/// the first day), `{end_s}`, `{end_ms}` (last second or millisecond of the last day), and those of the interval. A
/// query parameter or header whose variable has no value is left out; in the path an absent start is 1970-01-01, an
/// absent end 2100-01-01.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Path with variables, percent-encoded where they are put in.
    pub path: String,
    /// Query parameters in order, each `[name, value]`.
    #[serde(default)]
    pub query: Vec<(String, String)>,
    /// Query parameters that are added only when the ask has a start.
    #[serde(default)]
    pub query_with_start: Vec<(String, String)>,
    /// Query parameters that are added only when the ask has no start.
    #[serde(default)]
    pub query_without_start: Vec<(String, String)>,
    /// Headers in order, each `[name, value]`.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

/// Where the rows stand.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Path to them (for columns: to the object that holds the arrays). Default: the root.
    #[serde(default)]
    pub at: Vec<String>,
    /// Their shape.
    pub shape: Shape,
    /// Path to the symbol the answer is about (V14). Default: not told.
    #[serde(default)]
    pub symbol_at: Vec<String>,
    /// Path to the address of the next page. Default: one page.
    #[serde(default)]
    pub next_at: Vec<String>,
    /// Other fields a row may have; any further one is flagged (V15).
    #[serde(default)]
    pub others: Vec<String>,
    /// Any further field may stand in a row. Default false.
    #[serde(default)]
    pub any_others: bool,
}

/// The shape of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// An array of objects.
    Objects,
    /// An array of arrays; fields are indices.
    Arrays,
    /// An object whose keys are the times and whose values are objects.
    Keyed,
    /// One array per field; a field is a path from `at`, its steps joined by dots.
    Columns,
    /// Comma-separated lines under a header line.
    Csv,
}

/// Where each value of a row stands: a name, or an index for [`Shape::Arrays`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Time; left out for [`Shape::Keyed`].
    pub time: Option<Field>,
    /// First price.
    pub open: Field,
    /// Highest price.
    pub high: Field,
    /// Lowest price.
    pub low: Field,
    /// Last price.
    pub close: Field,
    /// Traded quantity.
    pub volume: Field,
}

/// A name or an index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Field {
    /// Member of an object, path of a column, column of a CSV.
    Name(String),
    /// Element of an array, from 0.
    Index(usize),
}

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// The notation.
    pub format: TimeFormat,
    /// The zone of naive times, and the zone in which the instant of a daily bar is turned into its date. Default UTC.
    #[serde(default)]
    pub zone: Zone,
}

/// A notation of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeFormat {
    /// `YYYY-MM-DD`, or `YYYY-MM-DD HH:MM[:SS]` in the zone.
    Naive,
    /// RFC 3339 with `Z` or an offset.
    Rfc3339,
    /// Seconds since 1970.
    UnixS,
    /// Milliseconds since 1970.
    UnixMs,
    /// Nanoseconds since 1970.
    UnixNs,
}

/// Paths to what the header says, each optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderAt {
    /// Currency.
    #[serde(default)]
    pub currency: Vec<String>,
    /// Exchange.
    #[serde(default)]
    pub exchange: Vec<String>,
    /// Zone of the times.
    #[serde(default)]
    pub zone: Vec<String>,
    /// Seconds east of UTC: the dates of daily bars in a zone that is not the mapping's own.
    #[serde(default)]
    pub zone_offset: Vec<String>,
    /// Names under which the provider writes the mapping's own zone; another one in the header breaks V13.
    #[serde(default)]
    pub zone_names: Vec<String>,
}

/// What an answer means. All conditions that are given must hold; at least one must be given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// The meaning.
    #[serde(rename = "as")]
    pub meaning: Meaning,
    /// The HTTP status is one of these.
    #[serde(default)]
    pub status: Vec<u16>,
    /// Something other than null stands here; its text is the message.
    #[serde(default)]
    pub at: Vec<String>,
    /// Nothing or null stands here.
    #[serde(default)]
    pub missing: Vec<String>,
    /// The text or number at `at` is exactly one of these.
    #[serde(default)]
    pub equals: Vec<String>,
    /// The text at `at` holds one of these, in any case of ASCII letters.
    #[serde(default)]
    pub contains: Vec<String>,
    /// The body holds one of these, in any case of ASCII letters.
    #[serde(default)]
    pub text: Vec<String>,
}

/// What a sign means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meaning {
    /// [`Class::Throttled`](crate::Class::Throttled).
    Throttled,
    /// [`Class::Blocked`](crate::Class::Blocked).
    Blocked,
    /// [`Class::Empty`](crate::Class::Empty).
    Empty,
    /// [`Class::ServerError`](crate::Class::ServerError).
    ServerError,
    /// Refused: the key is unknown, expired or revoked.
    KeyRevoked,
    /// Refused: the plan does not include this.
    NotEntitled,
    /// Refused: no such symbol.
    UnknownSymbol,
    /// Refused for another reason.
    Refused,
    /// The rows are samples (V16): looked for even where rows stand.
    Sample,
}

impl Mapping {
    /// Reads a mapping; an unknown or missing field is an error that names it and its line.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let mapping: Self = toml::from_str(text).map_err(Error::toml)?;
        mapping.check()?;
        Ok(mapping)
    }

    /// Everything that the types cannot say.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let fail = |field: &str, why: String| Err(Error::mapping(&self.name, field, why));
        for name in self.intervals.keys() {
            let canonical = name.parse::<Interval>().map(|interval| interval.to_string());
            if canonical.ok().as_ref() != Some(name) {
                return fail("intervals", format!("{name:?} is no interval: write 1d, 5min, 1h"));
            }
        }
        if self.intervals.is_empty() {
            return fail("intervals", "name at least one".into());
        }
        self.check_variables()?;
        match (self.rows.shape, &self.fields.time) {
            (Shape::Keyed, Some(_)) => {
                return fail("fields.time", "keyed rows carry their time as key".into());
            }
            (Shape::Keyed, None) | (_, Some(_)) => {}
            (_, None) => return fail("fields.time", "missing".into()),
        }
        for (name, field) in self.fields.all() {
            let wrong = match field {
                Some(Field::Index(index)) => self.rows.shape != Shape::Arrays || *index > 255,
                Some(Field::Name(_)) => self.rows.shape == Shape::Arrays,
                None => false,
            };
            if wrong {
                let wanted = if self.rows.shape == Shape::Arrays { "an index up to 255" } else { "a name" };
                return fail(&format!("fields.{name}"), format!("{:?} rows need {wanted}", self.rows.shape));
            }
        }
        for (index, sign) in self.says.iter().enumerate() {
            if let Some(why) = sign.fault() {
                return fail(&format!("says[{index}]"), why.into());
            }
        }
        Ok(())
    }

    fn check_variables(&self) -> Result<(), Error> {
        const KNOWN: [&str; 8] = ["symbol", "key", "start", "end", "start_s", "start_ms", "end_s", "end_ms"];
        let templates = std::iter::once(("request.path", &self.request.path))
            .chain(self.request.query.iter().map(|(_, value)| ("request.query", value)))
            .chain(self.request.query_with_start.iter().map(|(_, value)| ("request.query_with_start", value)))
            .chain(
                self.request
                    .query_without_start
                    .iter()
                    .map(|(_, value)| ("request.query_without_start", value)),
            )
            .chain(self.request.headers.iter().map(|(_, value)| ("request.headers", value)))
            .chain(self.rows.at.iter().map(|step| ("rows.at", step)))
            .chain(self.header.zone.iter().map(|step| ("header.zone", step)));
        for (field, template) in templates {
            for variable in variables_of(template) {
                let variable = variable.map_err(|why| Error::mapping(&self.name, field, why))?;
                let known =
                    KNOWN.contains(&variable) || self.intervals.values().any(|v| v.contains_key(variable));
                if !known {
                    return Err(Error::mapping(
                        &self.name,
                        field,
                        format!("nothing gives {{{variable}}} a value"),
                    ));
                }
            }
        }
        if !self.request.path.starts_with('/') {
            return Err(Error::mapping(&self.name, "request.path", "must begin with /"));
        }
        Ok(())
    }
}

impl Fields {
    /// Time, open, high, low, close, volume, with their names.
    pub(crate) fn all(&self) -> [(&'static str, Option<&Field>); 6] {
        [
            ("time", self.time.as_ref()),
            ("open", Some(&self.open)),
            ("high", Some(&self.high)),
            ("low", Some(&self.low)),
            ("close", Some(&self.close)),
            ("volume", Some(&self.volume)),
        ]
    }
}

impl Sign {
    fn fault(&self) -> Option<&'static str> {
        let named = !self.equals.is_empty() || !self.contains.is_empty();
        if named && self.at.is_empty() {
            return Some("equals and contains need at");
        }
        let any = !(self.status.is_empty()
            && self.at.is_empty()
            && self.missing.is_empty()
            && self.text.is_empty());
        (!any).then_some("needs a condition: status, at, missing or text")
    }
}

/// The `{names}` in a template.
pub(crate) fn variables_of(template: &str) -> impl Iterator<Item = Result<&str, &'static str>> {
    template
        .split('{')
        .skip(1)
        .map(|rest| rest.split_once('}').map(|(name, _)| name).ok_or("a { without its }"))
}
