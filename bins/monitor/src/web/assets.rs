//! The page's files: in the program, compressed once, known by their contents.

use std::io::Write as _;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

macro_rules! files {
    ($($name:literal: $kind:expr),* $(,)?) => {
        &[$(($name, $kind, include_bytes!(concat!("../../assets/", $name)))),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

const FILES: &[(&str, &str, &[u8])] = files! {
    "index.html": HTML,
    "app.css": CSS,
    "icon.svg": "image/svg+xml",
    "js/alerts.js": JS,
    "js/api.js": JS,
    "js/app.js": JS,
    "js/chart.js": JS,
    "js/charts.js": JS,
    "js/dom.js": JS,
    "js/format.js": JS,
    "js/live.js": JS,
    "js/logs.js": JS,
    "js/series.js": JS,
    "js/theme.js": JS,
    "js/tuning.js": JS,
    "uplot/LICENSE": TEXT,
    "uplot/uPlot.iife.min.js": JS,
    "uplot/uPlot.min.css": CSS,
};

/// Every file of the page, ready to be sent.
#[derive(Debug)]
pub struct Assets {
    files: Vec<Asset>,
    /// Of all files: a part of their addresses in the page, so that a browser keeps them for good.
    version: String,
}

#[derive(Debug)]
struct Asset {
    name: &'static str,
    kind: &'static str,
    plain: Bytes,
    packed: Bytes,
    tag: HeaderValue,
}

impl Assets {
    /// Compresses them: once, a few milliseconds.
    #[must_use]
    pub fn new() -> Self {
        let page = |name: &str| name == "index.html";
        let mut files: Vec<Asset> = FILES
            .iter()
            .filter(|(name, ..)| !page(name))
            .map(|(name, kind, plain)| Asset::new(name, kind, Bytes::from_static(plain)))
            .collect();
        let tags: Vec<u8> = files.iter().flat_map(|asset| asset.tag.as_bytes().to_vec()).collect();
        let version = digest(&tags);
        for (name, kind, plain) in FILES.iter().filter(|(name, ..)| page(name)) {
            let text = String::from_utf8_lossy(plain).replace("\"assets/", &format!("\"assets/{version}/"));
            files.push(Asset::new(name, kind, Bytes::from(text)));
        }
        Self { files, version }
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.files.iter().map(|asset| asset.name)
    }

    /// Bytes that a browser receives for the whole page.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        self.files.iter().filter(|asset| asset.name != "uplot/LICENSE").map(|asset| asset.packed.len()).sum()
    }

    /// The file of this name as this request wants it.
    #[must_use]
    pub fn answer(&self, name: &str, request: &HeaderMap) -> Response<Body> {
        // A page of another version that is still open gets what there is.
        let (version, name) = match name.split_once('/') {
            Some((version, name)) if is_version(version) => (Some(version), name),
            _ => (None, name),
        };
        let stays = version == Some(self.version.as_str());
        match self.files.iter().find(|asset| asset.name == name) {
            Some(asset) => asset.answer(request, stays),
            None => {
                let mut response = Response::new(Body::from("no such file\n"));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        }
    }
}

impl Default for Assets {
    fn default() -> Self {
        Self::new()
    }
}

impl Asset {
    fn new(name: &'static str, kind: &'static str, plain: Bytes) -> Self {
        let ours = matches!(kind, CSS | JS) && !name.starts_with("uplot/");
        let plain = match std::str::from_utf8(&plain) {
            Ok(text) if ours => Bytes::from(lean(text)),
            _ => plain,
        };
        let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 3), Compression::best());
        // A vector takes everything; should it not, the file goes out as it is.
        let packed = encoder.write_all(&plain).and_then(|()| encoder.finish()).unwrap_or_default();
        // Weak: the same tag stands for both encodings.
        let tag = HeaderValue::from_str(&format!("W/\"{}\"", digest(&plain)))
            .unwrap_or(HeaderValue::from_static("\"\""));
        Self { name, kind, plain, packed: packed.into(), tag }
    }

    fn answer(&self, request: &HeaderMap, stays: bool) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        // The page is asked for again each time, and answered 304: a new version of the program shows its own at once, and
        // that one names its files by another version.
        let kept = if stays { "max-age=31536000, immutable" } else { "no-cache" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if fresh(request, &self.tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        if !self.packed.is_empty() && takes_gzip(request) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            *response.body_mut() = Body::from(self.packed.clone());
        } else {
            *response.body_mut() = Body::from(self.plain.clone());
        }
        response
    }
}

/// Without indentation and without lines that are comments: a tenth less to send, and every other line as it was written.
/// No line of ours stands within a text of several lines; a test sees to it.
fn lean(text: &str) -> String {
    let comment = |line: &&str| line.starts_with("//") || (line.starts_with("/*") && line.ends_with("*/"));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !comment(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// 16 letters and digits that stand for these bytes.
fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_version(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the browser has this version already.
fn fresh(request: &HeaderMap, tag: &HeaderValue) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(tag) = tag.to_str() else { return false };
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|given| given.trim() == "*" || bare(given) == bare(tag))
}

fn takes_gzip(request: &HeaderMap) -> bool {
    request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| {
            let mut fields = coding.split(';').map(str::trim);
            let named = fields.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let refused =
                fields.any(|field| field.strip_prefix("q=").is_some_and(|q| q.parse::<f32>() == Ok(0.0)));
            named && !refused
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(axum::http::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_page_is_light() {
        let packed = Assets::new().packed_bytes();
        assert!(packed <= 60_000, "{packed} bytes: the page and its files are to stay within 60 KB");
    }

    #[test]
    fn a_file_is_sent_once_and_known_again() {
        let assets = Assets::new();
        let first = assets.answer("app.css", &asked(&[(ACCEPT_ENCODING, "br, gzip")]));
        assert_eq!(
            (first.status(), &first.headers()[CONTENT_ENCODING]),
            (StatusCode::OK, &"gzip".parse().unwrap())
        );
        let tag = first.headers()[ETAG].clone();
        for given in
            [tag.to_str().unwrap().to_owned(), format!("\"x\", {}", tag.to_str().unwrap()), "*".to_owned()]
        {
            let mut request = HeaderMap::new();
            request.insert(IF_NONE_MATCH, given.parse().unwrap());
            assert_eq!(assets.answer("app.css", &request).status(), StatusCode::NOT_MODIFIED, "{given}");
        }
        let other = asked(&[(IF_NONE_MATCH, "\"x\"")]);
        let plain = assets.answer("app.css", &other);
        assert!(plain.status() == StatusCode::OK && !plain.headers().contains_key(CONTENT_ENCODING));
        let refuses = asked(&[(ACCEPT_ENCODING, "gzip;q=0")]);
        assert!(!assets.answer("app.css", &refuses).headers().contains_key(CONTENT_ENCODING));
        assert_eq!(assets.answer("../Cargo.toml", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_page_names_its_files_by_their_version_and_only_those_are_kept_for_good() {
        let assets = Assets::new();
        let page = assets.files.iter().find(|asset| asset.name == "index.html").unwrap();
        let text = std::str::from_utf8(&page.plain).unwrap();
        let named = text.split("\"assets/").skip(1).map(|rest| rest.split('"').next().unwrap());
        for name in named {
            let answer = assets.answer(name, &HeaderMap::new());
            assert_eq!(answer.status(), StatusCode::OK, "{name}");
            assert!(answer.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"), "{name}");
        }
        for name in ["js/app.js", "0123456789abcdef/js/app.js", "index.html"] {
            let answer = assets.answer(name, &HeaderMap::new());
            assert_eq!(
                (answer.status(), &answer.headers()[CACHE_CONTROL]),
                (StatusCode::OK, &"no-cache".parse().unwrap())
            );
        }
    }

    #[test]
    fn whatever_the_page_names_is_there_and_comes_from_here() {
        let assets = Assets::new();
        let names: Vec<_> = assets.names().collect();
        for (name, _, text) in FILES.iter().filter(|(name, ..)| !name.starts_with("uplot/")) {
            let text = std::str::from_utf8(text).unwrap();
            for quote in ["\"assets/", "'assets/"] {
                for (at, _) in text.match_indices(quote) {
                    let named = text[at + quote.len()..].split(['"', '\'']).next().unwrap();
                    assert!(names.contains(&named), "{name} names {named}");
                }
            }
            for (at, _) in text.match_indices("from './") {
                let named = text[at + 8..].split('\'').next().unwrap();
                assert!(names.contains(&&*format!("js/{named}")), "{name} imports {named}");
            }
            let foreign = text.replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1", "");
            assert!(
                !foreign.contains("http://") && !foreign.contains("https://"),
                "{name} names another host"
            );
            assert!(
                text.lines().all(|line| line.matches('`').count() % 2 == 0),
                "{name} has a text of several lines"
            );
            for inline in ["innerHTML", "style=\"", "onclick=\"", "eval("] {
                assert!(!text.contains(inline), "{name} has {inline}");
            }
        }
    }
}
