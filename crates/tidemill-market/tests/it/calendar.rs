//! The compiled calendar against the reference table, over every day it has.

use std::collections::BTreeMap;

use tidemill_market::Calendar;

use crate::shared::{day, shared_text};

#[test]
fn agrees_with_the_reference_on_every_day_from_1986_to_2026() {
    let Some(text) = shared_text("data/calendar_XNYS.csv") else { return };
    let sessions: BTreeMap<_, _> = text
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            (day(&fields[0][..10]), (fields[1].to_owned(), fields[2].to_owned()))
        })
        .collect();
    assert_eq!(sessions.len(), 10_329);
    let xnys = Calendar::xnys();
    let (first, last) = (day("1986-01-01"), day("2026-12-31"));
    let mut date = first;
    while date <= last {
        assert_eq!(xnys.is_session(date), sessions.contains_key(&date), "{date}");
        assert_eq!(xnys.close_time_utc(date).is_some(), sessions.contains_key(&date), "{date}");
        date = date.plus_days(1);
    }
    assert_eq!(xnys.sessions_between(first, last), sessions.len());
    let clock = |ns: i64| {
        let minutes = ns.rem_euclid(86_400_000_000_000) / 60_000_000_000;
        format!("{:02}:{:02}:00Z", minutes / 60, minutes % 60)
    };
    for (date, (open, close)) in sessions {
        assert_eq!(format!("{date}T{}", clock(xnys.open_ns(date).unwrap())), open);
        assert_eq!(format!("{date}T{}", clock(xnys.close_ns(date).unwrap())), close);
    }
}

#[test]
fn counts_of_sessions_and_early_closes_are_those_of_the_reference() {
    let xnys = Calendar::xnys();
    let (first, last) = (day("1986-01-01"), day("2026-12-31"));
    assert_eq!(xnys.sessions_between(first, last), 10_329);
    let whole_day = 390 * 60_000_000_000;
    let early = xnys
        .sessions(first, last)
        .filter(|d| xnys.close_ns(*d).unwrap() - xnys.open_ns(*d).unwrap() != whole_day);
    assert_eq!(early.count(), 81);
}

#[test]
fn names() {
    assert_eq!(Calendar::by_name("XNYS").unwrap(), Some(Calendar::xnys()));
    assert_eq!(Calendar::by_name("none").unwrap(), None);
    let error = Calendar::by_name("XLON").unwrap_err();
    assert_eq!(error.to_string(), "no calendar is called \"XLON\": write XNYS or none");
}
