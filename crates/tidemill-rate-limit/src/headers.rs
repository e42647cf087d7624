//! What servers say about their quota in headers: `Retry-After`, `RateLimit`, `X-RateLimit-*`, `X-MBX-USED-WEIGHT-*`; feature
//! `headers`.
//!
//! The functions take the text of a header and give plain numbers; unknown or malformed text gives nothing. None
//! panics and none allocates, and time and memory are bounded by the length of the text.
//!
//! ```
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//! use tidemill_rate_limit::headers::{Reader, RetryAfter};
//!
//! let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
//! assert_eq!(RetryAfter::parse("120", now), Some(Duration::from_secs(120)));
//! assert_eq!(RetryAfter::parse("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_secs(60)));
//!
//! let mut reader = Reader::new(now);
//! for (name, value) in [("x-ratelimit-limit", "75"), ("X-RateLimit-Remaining", "0"), ("retry-after", "2")] {
//!     reader.header(name, value);
//! }
//! assert_eq!(reader.hints().remaining, Some(0));
//! assert_eq!(reader.retry_after(), Some(Duration::from_secs(2)));
//! ```

mod date;
mod ratelimit;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::date::imf_fixdate;
use self::ratelimit::Quotas;
use crate::outcome::{Hints, Used};

/// What stands before the window in the header that tells a used weight.
const USED_WEIGHT: &str = "x-mbx-used-weight-";

/// Longest wait that is believed: a year.
const LONGEST_S: u64 = 366 * 86_400;

/// A number above this is a time since 1970, not a wait: the year 2001 in seconds.
const EPOCH_S: u64 = 1_000_000_000;

/// `Retry-After` of RFC 9110, section 10.2.3.
#[derive(Debug, Clone, Copy)]
pub struct RetryAfter;

impl RetryAfter {
    /// The wait from `now`: a number of seconds (a fraction is rounded up to the next ms), or an IMF-fixdate. A date in
    /// the past is no wait.
    pub fn parse(text: &str, now: SystemTime) -> Option<Duration> {
        let text = text.trim();
        if let Some(wait) = seconds(text) {
            return Some(wait);
        }
        let at = imf_fixdate(text)?;
        Some(at.duration_since(now).unwrap_or(Duration::ZERO).min(Duration::from_secs(LONGEST_S)))
    }
}

/// Gathers what the headers of one answer say; give it each header in turn, in any order.
///
/// Of several quotas in `RateLimit` the one with the least left is kept, unless `RateLimit-Policy` counts it in another
/// unit than requests. The first four quotas and used weights are read, the rest are not.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    now: SystemTime,
    hints: Hints,
    retry_after: Option<Duration>,
    quotas: Quotas,
}

impl Reader {
    /// A reader of headers that arrived at `now`.
    pub fn new(now: SystemTime) -> Self {
        Self { now, hints: Hints::default(), retry_after: None, quotas: Quotas::default() }
    }

    /// Takes in one header; names are compared without regard to case.
    pub fn header(&mut self, name: &str, value: &str) {
        let value = value.trim();
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("retry-after") {
            self.retry_after = RetryAfter::parse(value, self.now);
        } else if is("ratelimit") {
            self.quotas.state(value);
        } else if is("ratelimit-policy") {
            self.quotas.policy(value);
        } else if is("x-ratelimit-limit") || is("ratelimit-limit") {
            // An early draft lists its windows behind the number.
            let first = value.split(',').next().unwrap_or(value);
            self.hints.limit = number(first.trim_end()).or(self.hints.limit);
        } else if is("x-ratelimit-remaining") || is("ratelimit-remaining") {
            // Some servers go below zero.
            let left = if value.starts_with('-') { Some(0) } else { number(value) };
            self.hints.remaining = left.or(self.hints.remaining);
        } else if is("x-ratelimit-reset") || is("ratelimit-reset") {
            self.hints.reset = self.reset(value).or(self.hints.reset);
        } else if let Some((head, window)) = name.split_at_checked(USED_WEIGHT.len())
            && head.eq_ignore_ascii_case(USED_WEIGHT)
            && let Some((per, count)) = interval(window).zip(number(value))
        {
            self.used(Used { count, per: Some(per) });
        }
    }

    /// What was said of the quota.
    pub fn hints(&self) -> Hints {
        let mut hints = self.hints;
        if let Some(told) = self.quotas.scarcest() {
            hints.limit = hints.limit.or(told.limit);
            hints.remaining = hints.remaining.or(told.remaining);
            hints.reset = hints.reset.or(told.reset);
            hints.per = hints.per.or(told.per);
        }
        hints
    }

    /// The wait that `Retry-After` asks for.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Of one window the largest count is kept, for a proxy may have added its own.
    fn used(&mut self, used: Used) {
        let places = &mut self.hints.used;
        let same = places.iter().position(|place| place.is_some_and(|other| other.per == used.per));
        let place = same.or_else(|| places.iter().position(Option::is_none));
        if let Some(place) = place.and_then(|place| places.get_mut(place))
            && place.is_none_or(|other| other.count < used.count)
        {
            *place = Some(used);
        }
    }

    /// A reset is a wait in seconds for some servers and a time since 1970, in s or ms, for others.
    fn reset(&self, value: &str) -> Option<Duration> {
        let whole = value.split('.').next().and_then(number);
        match whole {
            Some(ms) if ms >= EPOCH_S * 1000 => self.until(Duration::from_millis(ms)),
            Some(s) if s >= EPOCH_S => self.until(Duration::from_secs(s)),
            _ => RetryAfter::parse(value, self.now),
        }
    }

    fn until(&self, since_1970: Duration) -> Option<Duration> {
        let now = self.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(since_1970.saturating_sub(now).min(Duration::from_secs(LONGEST_S)))
    }
}

/// The window of `X-MBX-USED-WEIGHT-1M`: a number of seconds, minutes, hours or days.
fn interval(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" | "S" => 1,
        "m" | "M" => 60,
        "h" | "H" => 3_600,
        "d" | "D" => 86_400,
        _ => return None,
    };
    let seconds = number(count)?.checked_mul(unit)?;
    (1..=LONGEST_S).contains(&seconds).then(|| Duration::from_secs(seconds))
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    // `parse` would take a sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole = number(whole)?.min(LONGEST_S);
    // `number` would take blanks around the digits.
    if fraction.is_empty() || fraction.len() > 64 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut ms = 0;
    for (place, digit) in fraction.bytes().take(3).enumerate() {
        ms += u64::from(digit - b'0') * [100, 10, 1][place];
    }
    let rest = fraction.bytes().skip(3).any(|digit| digit != b'0');
    let wait = Duration::from_secs(whole) + Duration::from_millis(ms + u64::from(rest));
    Some(wait.min(Duration::from_secs(LONGEST_S)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_S: u64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT, the example of the RFC

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW_S)
    }

    /// Found by the fuzzer: the fraction came on top of the bound.
    #[test]
    fn no_fraction_exceeds_the_longest_wait() {
        let longest = Some(Duration::from_secs(LONGEST_S));
        assert_eq!(RetryAfter::parse("31622400.5", now()), longest);
        assert_eq!(RetryAfter::parse("2222222222.2222", now()), longest);
    }

    fn read(headers: &[(&str, &str)]) -> Reader {
        let mut reader = Reader::new(now());
        for (name, value) in headers {
            reader.header(name, value);
        }
        reader
    }

    #[test]
    fn retry_after_is_a_wait_or_a_date() {
        let ms = |text: &str| RetryAfter::parse(text, now()).map(|wait| wait.as_millis());
        assert_eq!(ms("1"), Some(1_000));
        assert_eq!(ms(" 0 "), Some(0));
        assert_eq!(ms("1.25"), Some(1_250));
        assert_eq!(ms("0.0001"), Some(1));
        assert_eq!(ms("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(ms("Mon, 07 Nov 1994 08:49:37 GMT"), Some(86_400_000));
        assert_eq!(ms("Sat, 05 Nov 1994 08:49:37 GMT"), Some(0), "past");
        assert_eq!(
            ms("Thu, 29 Feb 1996 00:00:00 GMT").map(|ms| ms / 86_400_000),
            Some(366),
            "a year at most"
        );
        for bad in [
            "",
            "-1",
            "+1",
            "1e3",
            "soon",
            "1.",
            ".5",
            "5.  5",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "\u{1F980}".repeat(8).as_str(),
        ] {
            assert_eq!(ms(bad), None, "{bad}");
        }
        assert_eq!(ms("99999999999999999999"), None);
    }

    #[test]
    fn the_common_families_are_read() {
        let haproxy =
            read(&[("X-RateLimit-Limit", "75"), ("X-RateLimit-Remaining", "-1"), ("Retry-After", "1")]);
        assert_eq!(haproxy.hints(), Hints { limit: Some(75), remaining: Some(0), ..Hints::default() });
        let ietf = read(&[("RateLimit", r#""burst";r=9;t=1, "day";r=2;t=3600"#)]);
        assert_eq!(ietf.hints().remaining, Some(2));
        assert_eq!(ietf.hints().reset, Some(Duration::from_secs(3600)));
        for (reset, wait_s) in
            [("30", 30), ("784111807", 0), ("1000000001", 215_888_224 % (366 * 86_400 + 1))]
        {
            let github = read(&[("x-ratelimit-reset", reset)]).hints().reset.unwrap();
            if reset == "30" {
                assert_eq!(github.as_secs(), wait_s);
            } else {
                assert!(github.as_secs() <= LONGEST_S);
            }
        }
        let mut late = Reader::new(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        late.header("x-ratelimit-reset", "1700000030");
        assert_eq!(late.hints().reset, Some(Duration::from_secs(30)));
        late.header("x-ratelimit-reset", "1700000040000");
        assert_eq!(late.hints().reset, Some(Duration::from_secs(40)));
        let used = |headers: &[(&str, &str)]| {
            read(headers)
                .hints()
                .used
                .map(|used| used.map(|used| (used.count, used.per.map(|per| per.as_secs()))))
        };
        let binance = [
            ("x-mbx-used-weight", "148"),
            ("X-MBX-USED-WEIGHT-1M", "148"),
            ("X-MBX-USED-WEIGHT-1m", "149"),
            ("x-mbx-used-weight-6h", "2000"),
            ("x-mbx-used-weight-1y", "5"),
            ("x-mbx-used-weight-0s", "5"),
            ("x-mbx-used-weight-m", "5"),
            ("x-mbx-used-weight-1d", "-5"),
        ];
        assert_eq!(used(&binance), [Some((149, Some(60))), Some((2000, Some(21_600))), None, None]);
    }

    proptest! {
        #[test]
        fn no_text_panics(name in "(?i)(retry-after|ratelimit|x-ratelimit-(limit|reset|remaining)|x-mbx-used-weight-1m|.{0,20})", value in ".{0,40}") {
            let mut reader = Reader::new(now());
            reader.header(&name, &value);
            if let Some(wait) = reader.retry_after() {
                prop_assert!(wait <= Duration::from_secs(LONGEST_S + 1));
            }
        }

        #[test]
        fn what_looks_right_does_not_panic(value in "[0-9.;=rtq,\" A-Za-z:-]{0,40}", day in "[A-Z][a-z]{2}, [0-9]{2} (Jan|Feb|Nov) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT") {
            let mut reader = Reader::new(now());
            for name in ["retry-after", "ratelimit", "x-ratelimit-reset"] {
                reader.header(name, &value);
                reader.header(name, &day);
            }
        }

        #[test]
        fn a_number_of_seconds_is_that_wait(s in 0u64..LONGEST_S) {
            prop_assert_eq!(RetryAfter::parse(&s.to_string(), now()), Some(Duration::from_secs(s)));
        }
    }
}
