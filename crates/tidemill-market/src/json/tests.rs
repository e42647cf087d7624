//! The tape against another parser, on sound and damaged bodies.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

fn accepts(text: &str) -> bool {
    Tape::parse(text, 100).is_ok()
}

/// The tape as another parser's tree, for comparison.
fn tree(value: Value<'_, '_>) -> serde_json::Value {
    match value.kind() {
        Kind::Null => serde_json::Value::Null,
        Kind::Bool => serde_json::Value::Bool(value.source() == "true"),
        Kind::Number => serde_json::from_str(value.source()).unwrap(),
        Kind::Text => serde_json::Value::String(value.text().into_owned()),
        Kind::Array => value.children().map(tree).collect(),
        Kind::Object => value.members().map(|(k, v)| (k.text().into_owned(), tree(v))).collect(),
    }
}

const SEED: &str = r#" {"Meta Data": {"2. Symbol": "IBM\u00e9\n\ud83d\ude00"}, "rows":[ 1,-2.5e+3 ,0.1,null,true,false,{} ,[]],
                         "s":"", "deep":[[[[{"a":[ ]}]]]] } "#;

#[test]
fn reads_what_serde_json_reads() {
    let tape = Tape::parse(SEED, 32).unwrap();
    assert_eq!(tree(tape.root()), serde_json::from_str::<serde_json::Value>(SEED).unwrap());
    let value = tape.root().at(["rows", "1"]).unwrap();
    assert_eq!((value.source(), value.kind()), ("-2.5e+3", Kind::Number));
    let (start, end) = tape.root().get("s").unwrap().span();
    assert_eq!(&SEED[start as usize..end as usize], "\"\"");
}

#[test]
fn bounds_the_depth() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(Tape::parse(&nested(32), 32).is_ok());
    assert_eq!(Tape::parse(&nested(33), 32).err().unwrap().what, "nested too deep");
    assert!(Tape::parse(&"[".repeat(1_000_000), 32).is_err());
}

#[test]
fn every_prefix_of_a_body_is_refused() {
    let body = SEED.trim();
    for end in (0..body.len()).filter(|end| body.is_char_boundary(*end)) {
        assert!(!accepts(&body[..end]), "{end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_serde_json_on_anything(text in r#"[\[\]{}",:\\a-f0-9eE+.\-tnrulsx \n\t]{0,24}"#) {
        prop_assert_eq!(accepts(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
    }

    #[test]
    fn agrees_with_serde_json_on_damaged_bodies(at in 0usize..240, byte in 0u8..128, drop in 0usize..4) {
        let mut bytes = SEED.as_bytes().to_vec();
        let at = at.min(bytes.len() - 4);
        bytes.splice(at..at + drop, [byte]);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            prop_assert_eq!(accepts(text), serde_json::from_str::<IgnoredAny>(text).is_ok(), "{}", text);
            if let (Ok(tape), Ok(oracle)) = (Tape::parse(text, 100), serde_json::from_str::<serde_json::Value>(text)) {
                prop_assert_eq!(tree(tape.root()), oracle);
            }
        }
    }
}
