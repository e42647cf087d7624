//! The header reader under a hundred thousand texts: it never panics, never allocates a bound away, and reads what it should.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidemill_rate_limit::headers::{Reader, RetryAfter};

use crate::sim::Random;

const NAMES: [&str; 14] = [
    "Retry-After",
    "RateLimit",
    "ratelimit-policy",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "x-ratelimit-limit",
    "X-RateLimit-Remaining",
    "x-ratelimit-reset",
    "X-MBX-USED-WEIGHT-1M",
    "x-mbx-used-weight-10s",
    "x-mbx-used-weight-",
    "x-mbx-used-weight-1\u{e9}",
    "content-type",
];

/// What real servers send, to be cut and mixed.
const SEEDS: [&str; 16] = [
    "120",
    "0.25",
    "-1",
    "1700000000000",
    "18446744073709551616",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Thu, 31 Dec 9999 23:59:60 GMT",
    r#""burst";r=9;t=1, "day";r=2;t=3600"#,
    r#""burst";q=100;w=60;qu="requests";pk=:cHJvZA==:, "day";q=1000;w=86400"#,
    r#""a, \";r=1;\\";r=3;t=1"#,
    "limit=100, remaining=50, reset=5",
    "100, 100;w=60, 5000;w=3600",
    "100;w=60;comment=\"no, really\"",
    "1148",
    "\u{1F980};r=5;t=5",
    "",
];

const SIGNS: &[u8] = b"0123456789.,;=\"\\ :-+rtqwGMT\t?*";

/// A text that is nearly right: a seed with parts of others spliced in, signs replaced, doubled or lost.
fn text(random: &mut Random) -> String {
    let mut bytes = SEEDS[random.next() as usize % SEEDS.len()].as_bytes().to_vec();
    for _ in 0..random.next() % 6 {
        let at = random.next() as usize % (bytes.len() + 1);
        match random.next() % 6 {
            0 => bytes.insert(at, SIGNS[random.next() as usize % SIGNS.len()]),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] = random.next() as u8,
            3 => bytes.truncate(at),
            4 if bytes.len() < 4096 => {
                let other = SEEDS[random.next() as usize % SEEDS.len()].bytes();
                bytes.splice(at..at, other);
            }
            _ if bytes.len() < 4096 => bytes.extend_from_within(..at),
            _ => {}
        }
    }
    // As a client does: what is no text is not read.
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn nothing_that_a_server_may_send_panics_or_goes_beyond_its_bound() {
    let cases = if std::env::var_os("TIDEMILL_TEST_FULL").is_some() { 5_000_000 } else { 120_000 };
    let longest = Duration::from_secs(366 * 86_400 + 1);
    let mut random = Random(1);
    let mut told = [0u32; 6];
    for case in 0..cases {
        let now = UNIX_EPOCH + Duration::from_secs(random.next() % 4_000_000_000);
        let mut reader = Reader::new(now);
        for _ in 0..=random.next() % 4 {
            let name = NAMES[random.next() as usize % NAMES.len()];
            reader.header(name, &text(&mut random));
        }
        let hints = reader.hints();
        for wait in [reader.retry_after(), hints.reset, hints.per].into_iter().flatten() {
            assert!(wait <= longest, "{wait:?} in case {case}");
        }
        for used in hints.used.iter().flatten() {
            assert!(used.per.is_some_and(|per| !per.is_zero() && per <= longest), "case {case}");
        }
        let seen = [
            reader.retry_after().is_some(),
            hints.limit.is_some(),
            hints.remaining.is_some(),
            hints.reset.is_some(),
            hints.per.is_some(),
            hints.used[0].is_some(),
        ];
        told.iter_mut().zip(seen).for_each(|(count, seen)| *count += u32::from(seen));
    }
    // The control: texts of which nothing could be read would prove nothing.
    assert!(told.iter().all(|count| *count > cases / 200), "{told:?} of {cases}");
}

#[test]
fn what_is_written_is_read_back() {
    let mut random = Random(2);
    for case in 0..20_000u64 {
        let mut quotas = Vec::new();
        for i in 0..=random.next() % 4 {
            // Escaped signs, separators and blanks belong to a name.
            let name = ["a", r#"a, b"#, r#"x;r=1"#, r#"\"q\\"#, "a-b.c"][random.next() as usize % 5];
            let name = format!("\"{name}{i}\"");
            quotas.push((name, random.next() % 100_000, random.next() % 1000, 1 + random.next() % 86_400));
        }
        let blank = ["", " ", "  ", "\t"];
        let mut join = |parts: Vec<String>| {
            let comma =
                format!("{},{}", blank[random.next() as usize % 4], blank[random.next() as usize % 4]);
            parts.join(&comma)
        };
        let states = join(quotas.iter().map(|(name, left, t, _)| format!("{name};r={left};t={t}")).collect());
        let policies =
            join(quotas.iter().map(|(name, left, _, w)| format!("{name};q={};w={w}", left + 7)).collect());
        let mut reader = Reader::new(SystemTime::UNIX_EPOCH);
        let headers = [("RateLimit", states.as_str()), ("RateLimit-Policy", policies.as_str())];
        for i in [case % 2, 1 - case % 2] {
            let (name, value) = headers[i as usize];
            reader.header(name, value);
        }
        let (_, left, t, w) = quotas.iter().take(4).min_by_key(|(_, left, ..)| *left).unwrap();
        let hints = reader.hints();
        assert_eq!((hints.remaining, hints.limit), (Some(*left), Some(left + 7)), "{states} {policies}");
        assert_eq!((hints.reset, hints.per), (Some(Duration::from_secs(*t)), Some(Duration::from_secs(*w))));
    }
}

#[test]
fn every_day_of_four_centuries_is_its_date() {
    let (mut day, mut weekday) = (0u64, 4);
    let months = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for year in 1970..2400u64 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (month, name) in "JanFebMarAprMayJunJulAugSepOctNovDec".as_bytes().chunks(3).enumerate() {
            let days = months[month] + u64::from(leap && month == 1);
            for of_month in 1..=days {
                let second = (day * 7919) % 86_400;
                let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
                let name = std::str::from_utf8(name).unwrap();
                let called = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][weekday];
                let text = format!("{called}, {of_month:02} {name} {year} {h:02}:{m:02}:{s:02} GMT");
                let then = UNIX_EPOCH + Duration::from_secs(day * 86_400 + second);
                let before = then - Duration::from_secs(second.min(5));
                assert_eq!(
                    RetryAfter::parse(&text, before),
                    Some(Duration::from_secs(second.min(5))),
                    "{text}"
                );
                day += 1;
                weekday = (weekday + 1) % 7;
            }
        }
    }
}
