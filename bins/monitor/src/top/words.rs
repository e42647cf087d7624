//! Numbers as a terminal shows them: short, with their unit.

/// `2.9 MiB`.
pub(super) fn bytes(value: f64) -> String {
    stepped(value, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB"])
}

/// `9.2k`.
pub(super) fn count(value: f64) -> String {
    stepped(value, 1000.0, ["", "k", "M", "G", "T"]).replace(' ', "")
}

/// `42 %`.
pub(super) fn percent(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.1} %") } else { format!("{value:.0} %") }
}

/// `123 ms`.
pub(super) fn seconds(value: f64) -> String {
    match value.abs() {
        small if small < 0.001 => format!("{:.0} µs", value * 1e6),
        small if small < 1.0 => format!("{:.0} ms", value * 1e3),
        small if small < 120.0 => format!("{value:.1} s"),
        _ => span(value),
    }
}

/// `2 h 5 min`.
pub(super) fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

fn stepped(mut value: f64, base: f64, names: [&str; 5]) -> String {
    let mut at = 0;
    while value.abs() >= base * 0.9995 && at + 1 < names.len() {
        value /= base;
        at += 1;
    }
    let digits = match value.abs() {
        _ if value.fract() == 0.0 && at == 0 => 0,
        large if large >= 100.0 => 0,
        large if large >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {}", names[at]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!((bytes(0.0), bytes(1023.9)), ("0 B".into(), "1.00 KiB".into()));
        assert_eq!(
            (bytes(3.2e6), count(9200.0), count(14.0)),
            ("3.05 MiB".into(), "9.20k".into(), "14".into())
        );
        assert_eq!((percent(4.26), percent(42.4)), ("4.3 %".into(), "42 %".into()));
        assert_eq!(
            (seconds(0.123), seconds(2.0), seconds(7500.0)),
            ("123 ms".into(), "2.0 s".into(), "2 h 5 min".into())
        );
    }
}
