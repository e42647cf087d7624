//! The header reader under whatever bytes the fuzzer thinks of: one header a line, `name: value`.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use tidemill_rate_limit::headers::{Reader, RetryAfter};

/// Longest wait that may ever be read: a year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut reader = Reader::new(now);
    for line in text.lines() {
        let (name, value) = line.split_once(": ").unwrap_or(("ratelimit", line));
        reader.header(name, value);
        assert!(RetryAfter::parse(value, now).is_none_or(|wait| wait <= LONGEST), "{value:?}");
    }
    assert!(reader.retry_after().is_none_or(|wait| wait <= LONGEST), "{text:?}");
    // Reading them twice says the same.
    assert_eq!(format!("{:?}", reader.hints()), format!("{:?}", reader.hints()));
});
