//! The New York Stock Exchange since 1986: holidays by rule, closures and early closes by rule and exception.

use super::Table;
use crate::date::Date;

/// Days on which the exchange stayed closed against its rules.
const CLOSED: [(i32, u8, u8); 11] = [
    (1994, 4, 27), // mourning: Nixon
    (2001, 9, 11), // the attacks, four days
    (2001, 9, 12),
    (2001, 9, 13),
    (2001, 9, 14),
    (2004, 6, 11),  // mourning: Reagan
    (2007, 1, 2),   // mourning: Ford
    (2012, 10, 29), // hurricane, two days
    (2012, 10, 30),
    (2018, 12, 5), // mourning: Bush
    (2025, 1, 9),  // mourning: Carter
];

/// Early closes at 13:00 that follow no rule.
const EARLY: [(i32, u8, u8); 5] =
    [(1996, 7, 5), (1997, 12, 26), (1999, 12, 31), (2002, 7, 5), (2003, 12, 26)];

const FIRST_YEAR: i32 = 1986;
const VERIFIED_YEAR: i32 = 2026;
const LAST_YEAR: i32 = 2035;
const OPEN: u16 = 9 * 60 + 30;
const CLOSE: u16 = 16 * 60;
const ONE: u16 = 13 * 60;
const TWO: u16 = 14 * 60;

pub(super) fn table() -> Table {
    let day = |year, month, day| Date::new(year, month, day).unwrap_or(Date::MIN);
    let (first, last) = (day(FIRST_YEAR, 1, 1), day(LAST_YEAR, 12, 31));
    let mut closed: Vec<Date> = CLOSED.iter().map(|&(y, m, d)| day(y, m, d)).collect();
    closed.extend((FIRST_YEAR..=LAST_YEAR).flat_map(holidays));
    closed.sort_unstable();

    let days = (last.days() - first.days() + 1) as usize;
    let mut bits = vec![0u64; days.div_ceil(64)];
    for index in 0..days {
        let date = first.plus_days(index as i32);
        if date.weekday() < 5 && closed.binary_search(&date).is_err() {
            bits[index / 64] |= 1 << (index % 64);
        }
    }
    let mut ranks = vec![0u32];
    for (word, bits) in bits.iter().enumerate() {
        ranks.push(ranks[word] + bits.count_ones());
    }

    let mut early: Vec<(Date, u16)> = EARLY.iter().map(|&(y, m, d)| (day(y, m, d), ONE)).collect();
    early.extend((FIRST_YEAR..=LAST_YEAR).flat_map(early_closes));
    early.retain(|(date, _)| date.weekday() < 5 && closed.binary_search(date).is_err());
    early.sort_unstable();

    Table {
        name: "XNYS",
        first,
        last,
        verified_to: day(VERIFIED_YEAR, 12, 31),
        bits,
        ranks,
        early,
        open_minute: OPEN,
        close_minute: CLOSE,
    }
}

fn holidays(year: i32) -> impl Iterator<Item = Date> {
    // New Year's Day on a Saturday is not made up for: the books of the old year close on that Friday.
    let new_year = Date::new(year, 1, 1).filter(|d| d.weekday() != 5).map(observed);
    [
        new_year,
        (year >= 1998).then(|| nth(year, 1, 0, 3)).flatten(), // Martin Luther King
        nth(year, 2, 0, 3),                                   // Washington
        Some(easter(year).plus_days(-2)),
        nth(year, 5, 0, 5).or_else(|| nth(year, 5, 0, 4)), // Memorial Day: the last Monday
        (year >= 2022).then(|| Date::new(year, 6, 19)).flatten().map(observed),
        Date::new(year, 7, 4).map(observed),
        nth(year, 9, 0, 1),  // Labor Day
        nth(year, 11, 3, 4), // Thanksgiving
        Date::new(year, 12, 25).map(observed),
    ]
    .into_iter()
    .flatten()
}

fn early_closes(year: i32) -> impl Iterator<Item = (Date, u16)> {
    let hour = if year < 1993 { TWO } else { ONE };
    let after_thanksgiving = nth(year, 11, 3, 4).filter(|_| year >= 1992).map(|d| d.plus_days(1));
    let eve_of_fourth = Date::new(year, 7, 3).filter(|d| match d.weekday() {
        0 | 1 | 3 => year >= 1995,
        2 => year >= 2013,
        _ => false,
    });
    let christmas_eve = Date::new(year, 12, 24);
    [after_thanksgiving, eve_of_fourth, christmas_eve].into_iter().flatten().map(move |date| (date, hour))
}

/// A holiday on a Saturday is kept on Friday, one on a Sunday on Monday.
fn observed(date: Date) -> Date {
    match date.weekday() {
        5 => date.plus_days(-1),
        6 => date.plus_days(1),
        _ => date,
    }
}

/// The `n`-th such weekday (Monday 0) of a month, if the month has so many.
fn nth(year: i32, month: u8, weekday: u8, n: u8) -> Option<Date> {
    let first = Date::new(year, month, 1)?;
    let ahead = (weekday + 7 - first.weekday()) % 7;
    Date::new(year, month, 1 + ahead + 7 * (n - 1))
}

/// Easter Sunday by the anonymous Gregorian computus (Nature, 20 April 1876).
fn easter(year: i32) -> Date {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e, f) = (b / 4, b % 4, (b + 8) / 25);
    let g = (b - f + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    Date::new(year, (n / 31) as u8, (n % 31 + 1) as u8).unwrap_or(Date::MIN)
}
