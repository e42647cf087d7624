//! Which names and label values the exposition format takes, and how they are escaped.

/// What is wrong with a metric name that is none.
pub(crate) const METRIC: &str = "not of the form [a-zA-Z_:][a-zA-Z0-9_:]*";

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
pub(crate) fn is_metric(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    name.bytes().all(inner) && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, and not beginning with the two underscores that Prometheus keeps for itself.
pub(crate) fn is_label(name: &str) -> bool {
    is_metric(name) && !name.contains(':') && !name.starts_with("__")
}

/// Appends `name="value"`.
pub(crate) fn push_label(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The labels of an escaped text, names and values as they were given.
pub(crate) fn labels(text: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    rest = after[at + 1..].strip_prefix(',').unwrap_or("");
                    return Some((name, value));
                }
                '\\' => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                c => value.push(c),
            }
        }
        None
    })
}

/// Appends a help text; OpenMetrics wants quotes escaped as well.
pub(crate) fn push_help(out: &mut String, help: &str, quotes: bool) {
    for c in help.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}
