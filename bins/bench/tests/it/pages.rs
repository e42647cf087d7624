//! The page is well-formed, needs no network, and what came from outside stays text.

use tidemill_bench::report::{Document, html, junit, markdown, text};

use crate::program::{output, said};
use crate::summaries::{document, summary};

/// Elements without an end.
const VOID: [&str; 2] = ["meta", "br"];

/// The tags of a page in order, those inside script and style left out; attributes are checked for quotes.
fn tags(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        assert!(tag.matches('"').count().is_multiple_of(2), "quotes do not match in <{tag}>");
        rest = &rest[end + 1..];
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        if tag.ends_with('/') || tag.starts_with('!') || VOID.contains(&name) {
            continue;
        }
        found.push(format!("{}{name}", if tag.starts_with('/') { "/" } else { "" }));
        if matches!(name, "script" | "style") && !tag.starts_with('/') {
            rest = &rest[rest.find(&format!("</{name}>")).expect("it ends")..];
        }
    }
    found
}

pub(crate) fn well_formed(page: &str) {
    let mut open: Vec<String> = Vec::new();
    for tag in tags(page) {
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name), "{open:?}"),
            None => open.push(tag),
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

fn page() -> (Document, String) {
    let document = document(summary("shop", 120, 12.0), 1_790_000_000);
    let page = html::page(&document).unwrap();
    (document, page)
}

#[test]
fn the_page_is_well_formed_and_has_its_charts() {
    let (_, page) = page();
    well_formed(&page);
    for title in
        ["Response time", "Latency by percentile", "Throughput", "Errors", "Processor", "Server&#39;s memory"]
    {
        assert!(page.contains(&format!("<b>{title}</b>")), "{title}");
    }
    assert!(page.matches("<svg").count() >= 8);
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("THRESHOLD MISSED"));
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let (_, page) = page();
    assert!(page.contains("default-src 'none'"));
    for reference in [
        "src=",
        "href",
        "url(",
        "@import",
        "<link",
        "<iframe",
        "<img",
        "fetch(",
        "XMLHttpRequest",
        "//cdn",
        "www.",
    ] {
        assert!(!page.contains(reference), "{reference}");
    }
    // The one address in it is the target's, as text.
    assert_eq!(
        page.matches("http").count(),
        page.matches("http-equiv").count() + page.matches("http://127.0.0.1:8080").count()
    );
}

#[test]
fn what_came_from_outside_stays_text() {
    let (document, page) = page();
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert(1)"));
    assert!(!page.contains("linux <b>"));
    assert!(!markdown(&document).contains("<script>"));
    assert!(!junit(&document).contains("<script>"));
    well_formed(junit(&document).split_once('\n').unwrap().1);
}

#[test]
fn a_day_of_seconds_is_a_small_page() {
    let document = document(summary("endurance", 86_400, 12.0), 1_790_000_000);
    let page = html::page(&document).unwrap();
    well_formed(&page);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn every_form_says_the_same() {
    let (document, _) = page();
    let plain = text(&document, false);
    for said in [plain.as_str(), &markdown(&document), &text(&document, true)] {
        for part in ["THRESHOLD MISSED", "1 of 2 promises kept", "response.p99", "72 ms", "timeout", "24"] {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
    }
    assert!(!plain.contains('\u{1b}'));
    let junit = junit(&document);
    assert!(junit.contains("tests=\"3\" failures=\"1\" errors=\"0\""), "{junit}");
}

#[test]
fn a_stored_document_is_written_again_in_any_form() {
    let dir = tempfile::tempdir().unwrap();
    let stored = dir.path().join("run.json");
    let original = document(summary("shop", 30, 12.0), 1_790_000_000);
    std::fs::write(&stored, original.to_json().unwrap()).unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let run = output([
        "report",
        &path("run.json"),
        "--html",
        &path("a.html"),
        "--markdown",
        &path("a.md"),
        "--junit",
        &path("a.xml"),
        "--json",
        &path("b.json"),
    ]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    well_formed(&std::fs::read_to_string(path("a.html")).unwrap());
    // Not bit for bit: a number may come back as its neighbour.
    assert_eq!(text(&Document::read(path("b.json").as_ref()).unwrap(), false), text(&original, false));
    assert!(std::fs::read_to_string(path("a.md")).unwrap().starts_with("# shop"));
    let shown = output(["report", &path("run.json")]);
    assert!(said(&shown).contains("THRESHOLD MISSED"), "{}", said(&shown));
}
