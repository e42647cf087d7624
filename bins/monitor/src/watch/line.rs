//! The pieces of one line of an exposition: where its series ends, its name, its labels, its number.

use std::borrow::Cow;

/// The metric's name at the start of a line.
pub(super) fn name_of(text: &[u8]) -> Result<&str, &'static str> {
    let end = text.iter().position(|b| matches!(b, b'{' | b' ' | b'\t')).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).map_err(|_| "is no UTF-8")
}

/// Where the series ends and its value begins.
pub(super) fn end_of_series(line: &[u8]) -> Option<usize> {
    let open = line.iter().position(|b| matches!(b, b'{' | b' ' | b'\t'))?;
    if line[open] != b'{' {
        return Some(open);
    }
    let (mut at, mut quoted) = (open + 1, false);
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

pub(super) fn number_of(text: &[u8]) -> Option<f64> {
    match text {
        b"+Inf" | b"Inf" => Some(f64::INFINITY),
        b"-Inf" => Some(f64::NEG_INFINITY),
        _ => std::str::from_utf8(text).ok()?.parse().ok(),
    }
}

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}

pub(super) type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// The labels within braces, if there are braces; empty values are no labels.
pub(super) fn labels_of<'a>(
    text: &'a str,
    bound: usize,
    seen: &mut Vec<&'a str>,
) -> Result<Labels<'a>, String> {
    let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        return Ok(Vec::new());
    };
    let mut labels = Labels::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=').ok_or("has a label without a value")?;
        let name = name.trim();
        if !is_name(name) {
            return Err(format!("has a label {name:?}, which is no name"));
        }
        let quoted = behind.trim_start().strip_prefix('"').ok_or("has a label value without quotes")?;
        let end = end_of_quotes(quoted).ok_or("has a label value that does not end")?;
        let value = unescape(&quoted[..end]);
        rest = quoted[end + 1..].trim_start();
        rest = match rest.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if rest.is_empty() => rest,
            None => return Err("has labels without a comma between them".into()),
        };
        if seen.contains(&name) {
            return Err(format!("has the label {name:?} twice"));
        }
        seen.push(name);
        if !value.is_empty() {
            labels.push((name, value));
        }
        if seen.len() > bound {
            return Err(format!("has more than {bound} labels"));
        }
    }
    Ok(labels)
}

fn end_of_quotes(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            (c, false) => out.push(c),
        }
    }
    out.into()
}
