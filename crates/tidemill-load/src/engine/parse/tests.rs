//! The parser against bytes whole, in every split, cut short, and damaged by a seed.

use super::trial::{HEAD_LIMIT, means_one_thing, parse};
use super::*;
use crate::random::Random;

const ANSWERS: &[(&str, u16, &str, bool)] = &[
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true),
    ("HTTP/1.1 404 \r\ncontent-length: 0\r\nConnection: close\r\n\r\n", 404, "", false),
    ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
    ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false),
    ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true),
    ("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", false),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        200,
        "x",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4;a=\"b\"\r\nwiki\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
        200,
        "wiki0123456789",
        true,
    ),
];

#[test]
fn answers_are_the_same_in_every_split() {
    for (text, status, body, keep_alive) in ANSWERS {
        let expected = (*status, body.as_bytes().to_vec(), *keep_alive, 0);
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(parse(text.as_bytes(), |_| piece), Ok(expected.clone()), "{text:?} by {piece}");
        }
        for split in 1..text.len() {
            let cut = |end: usize| if end < split { split - end } else { 1000 };
            assert_eq!(parse(text.as_bytes(), cut), Ok(expected.clone()), "{text:?} at {split}");
        }
    }
}

#[test]
fn an_answer_cut_short_is_never_whole() {
    for (text, ..) in ANSWERS.iter().filter(|(text, ..)| !text.contains("until")) {
        for end in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..end], |_| 1000), Err(Failure::Reset), "{:?}", &text[..end]);
        }
    }
}

#[test]
fn what_follows_an_answer_is_left_over() {
    let two = format!("{}{}", ANSWERS[0].0, ANSWERS[0].0);
    assert_eq!(parse(two.as_bytes(), |_| 1000).unwrap().3, ANSWERS[0].0.len());
}

#[test]
fn lies_and_monsters_are_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(HEAD_LIMIT));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(HEADERS + 1));
    let trailers =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}", "A: b\r\n".repeat(TRAILERS));
    let extension =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "x".repeat(CHUNK_LINE));
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_001));
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(INTERIM as usize + 1);
    for (text, failure) in [
        (long.as_str(), Failure::TooLarge),
        (&many, Failure::TooLarge),
        (&trailers, Failure::TooLarge),
        (&extension, Failure::TooLarge),
        (&endless, Failure::TooLarge),
        (&interim, Failure::Protocol),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n", Failure::TooLarge),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", Failure::Protocol),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Failure::Protocol),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Failure::Protocol),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Failure::Protocol),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Failure::Protocol),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Failure::Protocol),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", Failure::Protocol),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", Failure::Protocol),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n", Failure::Protocol),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n", Failure::TooLarge),
        ("HTTP/1.1 101 Switching\r\n\r\n", Failure::Protocol),
        ("SSH-2.0-OpenSSH\r\n", Failure::Protocol),
    ] {
        for piece in [1, 10_000] {
            assert_eq!(parse(text.as_bytes(), |_| piece), Err(failure), "{:?}", &text[..text.len().min(80)]);
        }
    }
}

#[test]
fn damaged_answers_neither_panic_nor_depend_on_the_split() {
    let rounds = if std::env::var_os("TIDEMILL_TEST_FULL").is_some() { 400_000 } else { 20_000 };
    let mut random = Random::new(1);
    let (mut whole, mut refused) = (0, 0);
    for _ in 0..rounds {
        let mut bytes = ANSWERS[(random.next() % ANSWERS.len() as u64) as usize].0.as_bytes().to_vec();
        for _ in 0..random.next() % 4 {
            let at = (random.next() % bytes.len() as u64) as usize;
            match random.next() % 4 {
                0 => bytes[at] = random.next() as u8,
                1 => bytes.insert(at, b"\r\n0:;, f"[(random.next() % 8) as usize]),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let piece = (random.next() % 9 + 1) as usize;
        let at_once = means_one_thing(&bytes, piece);
        if at_once.is_ok() { whole += 1 } else { refused += 1 }
    }
    assert!(
        whole > rounds / 10 && refused > rounds / 10,
        "{whole} {refused}: the damage does not test both ends"
    );
}
