//! Which names and label values the exposition format takes, and how they are escaped.

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

/// Appends a help text.
pub(crate) fn push_help(out: &mut String, help: &str) {
    for c in help.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}
