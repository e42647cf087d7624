//! Texts with `{{variables}}`, read once and written for every request.

/// A text whose variables are numbered by the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Variable(Variable),
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// A column of the data file.
    Column(usize),
    /// A value that an earlier step extracted.
    Extracted(usize),
    /// The arrival's number.
    Arrival,
    /// The size of now.
    Volume,
    /// So many bytes as the size of now.
    Payload,
}

/// What a template is written into; each place has bytes that would break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A request's path: spaces and what is not ASCII are percent-encoded.
    Path,
    /// A header's value: line breaks become spaces.
    Header,
    /// A body: as it is.
    Body,
}

/// What the variables are for one request.
#[derive(Debug, Default)]
pub(crate) struct Values<'a> {
    pub(crate) row: &'a [String],
    pub(crate) extracted: &'a [String],
    pub(crate) arrival: u64,
    pub(crate) volume: u64,
}

/// The largest payload that is made.
pub(crate) const LARGEST_PAYLOAD: u64 = 256 << 20;

impl Template {
    /// Reads a text; `name` says which variable a name is.
    pub(crate) fn read(text: &str, name: impl Fn(&str) -> Option<Variable>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (variable, after) = after.split_once("}}").ok_or("`{{` without `}}`")?;
            let found = name(variable.trim()).ok_or_else(|| {
                format!(
                    "`{{{{{}}}}}` is no column, extracted value, arrival, volume or payload",
                    variable.trim()
                )
            })?;
            if !before.is_empty() {
                parts.push(Part::Text(before.as_bytes().to_vec()));
            }
            parts.push(Part::Variable(found));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.as_bytes().to_vec()));
        }
        Ok(Self(parts))
    }

    /// Whether it is the same for every request.
    pub(crate) fn is_fixed(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Appends the text with its values.
    pub(crate) fn write(&self, values: &Values<'_>, place: Place, out: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Variable(variable) => variable.write(values, place, out),
            }
        }
    }

    /// How many bytes [`write`](Self::write) appends to a body.
    pub(crate) fn body_length(&self, values: &Values<'_>) -> usize {
        let mut digits = Vec::new();
        let lengths = self.0.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Variable(Variable::Payload) => values.volume.min(LARGEST_PAYLOAD) as usize,
            Part::Variable(variable) => {
                digits.clear();
                variable.write(values, Place::Body, &mut digits);
                digits.len()
            }
        });
        lengths.sum()
    }
}

impl Variable {
    fn write(self, values: &Values<'_>, place: Place, out: &mut Vec<u8>) {
        let text = match self {
            Self::Column(n) => values.row.get(n),
            Self::Extracted(n) => values.extracted.get(n),
            Self::Arrival => return out.extend_from_slice(values.arrival.to_string().as_bytes()),
            Self::Volume => return out.extend_from_slice(values.volume.to_string().as_bytes()),
            Self::Payload => {
                let length = values.volume.min(LARGEST_PAYLOAD) as usize;
                out.resize(out.len() + length, b'x');
                return;
            }
        };
        let Some(text) = text else { return };
        match place {
            Place::Body => out.extend_from_slice(text.as_bytes()),
            Place::Header => {
                out.extend(
                    text.bytes()
                        .map(|byte| if byte < b' ' && byte != b'\t' || byte == 0x7f { b' ' } else { byte }),
                );
            }
            Place::Path => {
                for byte in text.bytes() {
                    if byte.is_ascii_graphic() && byte != b'#' {
                        out.push(byte);
                    } else {
                        const HEX: &[u8; 16] = b"0123456789ABCDEF";
                        out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Template, String> {
        Template::read(text, |name| match name {
            "symbol" => Some(Variable::Column(0)),
            "token" => Some(Variable::Extracted(0)),
            "arrival" => Some(Variable::Arrival),
            "payload" => Some(Variable::Payload),
            _ => None,
        })
    }

    fn written(text: &str, place: Place) -> String {
        let values = Values { row: &["A B\r\nC#%".into()], extracted: &["t".into()], arrival: 7, volume: 3 };
        let mut out = Vec::new();
        read(text).unwrap().write(&values, place, &mut out);
        if place == Place::Body {
            assert_eq!(read(text).unwrap().body_length(&values), out.len());
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_cannot_leave_their_place() {
        assert_eq!(written("/q/{{ symbol }}?n={{arrival}}", Place::Path), "/q/A%20B%0D%0AC%23%?n=7");
        assert_eq!(written("Bearer {{token}} {{symbol}}", Place::Header), "Bearer t A B  C#%");
        assert_eq!(written("{{payload}}{{symbol}}", Place::Body), "xxxA B\r\nC#%");
    }

    #[test]
    fn what_cannot_be_filled_is_an_error() {
        assert!(read("{{nobody}}").unwrap_err().contains("nobody"));
        assert!(read("a {{symbol").is_err());
        assert!(read("}} { } {").unwrap().is_fixed() && !read("{{token}}").unwrap().is_fixed());
    }
}
