//! Bodies: encodings, bounds, and what is cut off or false.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use tidemill_collector::http::{Config, Encoding, FetchErrorKind, InflaterPool, Refusal};

use super::server::{Do, Raw, answer, attempt, config, send};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bars() -> Vec<u8> {
    (0..2000)
        .map(|n| format!("2024-01-{:02},{}.25,{}.5,{}\n", n % 28 + 1, n * 7 % 313, n * 11 % 331, n * 1013))
        .collect::<String>()
        .into_bytes()
}

fn chunked(headers: &str, body: &[u8], piece: usize) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{headers}\r\n").into_bytes();
    for part in body.chunks(piece) {
        bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

const GZIP: &str = "content-encoding: gzip\r\n";
const DEFLATE: &str = "content-encoding: deflate\r\n";

#[tokio::test]
async fn every_encoding_gives_the_same_body() {
    let server = Raw::start([
        ("/plain", Do::Write(answer("200 OK", "", &bars()))),
        ("/plain-chunked", Do::Write(chunked("", &bars(), 777))),
        ("/identity", Do::Write(answer("200 OK", "content-encoding: identity\r\n", &bars()))),
        ("/gzip", Do::Write(answer("200 OK", GZIP, &gzip(&bars())))),
        ("/gzip-chunked", Do::Write(chunked("content-encoding: X-GZip\r\n", &gzip(&bars()), 3))),
        ("/zlib", Do::Write(answer("200 OK", DEFLATE, &zlib(&bars())))),
        ("/zlib-chunked", Do::Write(chunked(DEFLATE, &zlib(&bars()), 1))),
        ("/raw", Do::Write(answer("200 OK", DEFLATE, &raw(&bars())))),
        ("/raw-chunked", Do::Write(chunked(DEFLATE, &raw(&bars()), 1))),
        (
            "/members",
            Do::Write(answer("200 OK", GZIP, &[gzip(&bars()[..100]), gzip(&bars()[100..])].concat())),
        ),
        ("/until-close", Do::WriteClose([b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), bars()].concat())),
        ("/empty", Do::Write(answer("200 OK", GZIP, b""))),
    ])
    .await;
    let attempt = attempt(Config::default());
    for path in [
        "/plain",
        "/plain-chunked",
        "/identity",
        "/gzip",
        "/gzip-chunked",
        "/zlib",
        "/zlib-chunked",
        "/raw",
        "/raw-chunked",
        "/members",
        "/until-close",
    ] {
        let got = send(&attempt, server.call(path)).await.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        assert!(got.body == bars(), "{path}");
        let packed = ["gzip", "zlib", "raw", "members"].iter().any(|name| path.contains(name));
        assert_eq!(packed, got.wire_bytes < got.body.len() as u64, "{path}");
        if packed {
            assert!(
                !got.headers.contains_key("content-encoding") && !got.headers.contains_key("content-length")
            );
        }
    }
    assert!(send(&attempt, server.call("/empty")).await.unwrap().body.is_empty());
}

#[tokio::test]
async fn a_bomb_is_refused_at_its_bound_and_a_body_of_the_bound_passes() {
    let bomb = gzip(&vec![0; 5 << 20]);
    assert!(bomb.len() < 10_000);
    let server = Raw::start([
        ("/bomb", Do::Write(answer("200 OK", GZIP, &bomb))),
        ("/zlib", Do::Write(chunked(DEFLATE, &zlib(&vec![0; 5 << 20]), 100))),
    ])
    .await;
    for path in ["/bomb", "/zlib"] {
        let tight = attempt(config(|config| config.inflated_max = (5 << 20) - 1));
        let error = send(&tight, server.call(path)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.maybe_sent(), error.is_retryable()),
            (FetchErrorKind::InflateBomb, true, false)
        );
        let exact = attempt(config(|config| config.inflated_max = 5 << 20));
        assert_eq!(send(&exact, server.call(path)).await.unwrap().body.len(), 5 << 20);
    }
}

#[tokio::test]
async fn a_body_beyond_its_bound_is_refused_announced_or_not() {
    let server = Raw::start([
        ("/announced", Do::WriteStall(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec())),
        ("/chunked", Do::Write(chunked("", &[b'x'; 1001], 100))),
        ("/fits", Do::Write(chunked("", &[b'x'; 1000], 100))),
    ])
    .await;
    let attempt = attempt(config(|config| config.body_max = 1000));
    for path in ["/announced", "/chunked"] {
        assert_eq!(
            send(&attempt, server.call(path)).await.unwrap_err().kind(),
            FetchErrorKind::BodyTooLarge,
            "{path}"
        );
    }
    assert_eq!(send(&attempt, server.call("/fits")).await.unwrap().body.len(), 1000);
}

#[tokio::test]
async fn what_is_cut_off_or_false_is_never_an_answer() {
    let packed = gzip(&bars());
    let mut flipped = packed.clone();
    let last = flipped.len() - 5;
    flipped[last] ^= 1;
    let cut = |bytes: &[u8]| answer("200 OK", GZIP, bytes);
    use FetchErrorKind as K;
    let cases: Vec<(&'static str, Do, K)> = vec![
        (
            "/length",
            Do::WriteClose(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf".to_vec()),
            K::Truncated,
        ),
        (
            "/chunk",
            Do::WriteClose(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n32\r\nhalf".to_vec()),
            K::Truncated,
        ),
        (
            "/last-chunk",
            Do::WriteClose(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_vec()),
            K::Truncated,
        ),
        ("/gzip-head", Do::Write(cut(&packed[..7])), K::Truncated),
        ("/gzip-body", Do::Write(cut(&packed[..packed.len() / 2])), K::Truncated),
        ("/gzip-tail", Do::Write(cut(&packed[..packed.len() - 3])), K::Truncated),
        ("/crc", Do::Write(cut(&flipped)), K::BadEncoding),
        ("/not-gzip", Do::Write(cut(b"{\"plain\": true}")), K::BadEncoding),
        ("/after", Do::Write(cut(&[packed.clone(), b"rest".to_vec()].concat())), K::BadEncoding),
        ("/br", Do::Write(answer("200 OK", "content-encoding: br\r\n", b"x")), K::BadEncoding),
        ("/twice", Do::Write(answer("200 OK", "content-encoding: gzip, gzip\r\n", b"x")), K::BadEncoding),
        ("/zlib-cut", Do::Write(answer("200 OK", DEFLATE, &zlib(&bars())[..50])), K::Truncated),
        (
            "/zlib-after",
            Do::Write(answer("200 OK", DEFLATE, &[zlib(&bars()), b"x".to_vec()].concat())),
            K::BadEncoding,
        ),
    ];
    let server = Raw::start(cases.iter().map(|(path, deed, _)| (*path, deed.clone()))).await;
    let attempt = attempt(Config::default());
    for (path, _, kind) in cases {
        let error = send(&attempt, server.call(path)).await.expect_err(path);
        assert_eq!((error.kind(), error.maybe_sent()), (kind, true), "{path}: {error:?}");
    }
}

fn inflate(encoding: Encoding, pieces: &[&[u8]], max: usize, pool: &InflaterPool) -> Result<Bytes, Refusal> {
    let mut inflater = pool.take(encoding, max);
    for piece in pieces {
        inflater.push(piece)?;
    }
    inflater.finish()
}

/// Cuts bytes at the given places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    at.sort_unstable();
    at.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

proptest! {
    #[test]
    fn pieces_and_reuse_never_change_the_body(
        bodies in prop::collection::vec(prop::collection::vec(0u8..6, 0..3000), 1..4),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        order in prop::collection::vec(0usize..3, 4),
    ) {
        let pool = InflaterPool::default();
        for (body, kind) in bodies.iter().zip(order) {
            let (encoding, packed) = match kind {
                0 => (Encoding::Gzip, gzip(body)),
                1 => (Encoding::Deflate, zlib(body)),
                _ => (Encoding::Deflate, raw(body)),
            };
            let cut = pieces(&packed, &cuts);
            prop_assert_eq!(&inflate(encoding, &cut, body.len(), &pool).unwrap()[..], &body[..]);
            if !body.is_empty() {
                prop_assert_eq!(inflate(encoding, &cut, body.len() - 1, &pool), Err(Refusal::Bomb));
            }
            let short = packed.len() - 1;
            prop_assert_eq!(inflate(encoding, &[&packed[..short]], body.len(), &pool), Err(Refusal::Truncated));
        }
    }

    #[test]
    fn any_bytes_end_in_a_verdict_within_the_bound(
        head in prop::sample::select(vec![vec![], vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0], vec![0x1f, 0x8b, 8, 30], vec![0x78, 0x9c]]),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        cuts in prop::collection::vec(any::<usize>(), 0..5),
        gzip in any::<bool>(),
    ) {
        let bytes = [head, bytes].concat();
        let encoding = if gzip { Encoding::Gzip } else { Encoding::Deflate };
        if let Ok(body) = inflate(encoding, &pieces(&bytes, &cuts), 1000, &InflaterPool::default()) {
            prop_assert!(body.len() <= 1000);
        }
    }
}
