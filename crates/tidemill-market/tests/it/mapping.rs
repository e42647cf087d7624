//! Mappings written by users: what is wrong with one is said by name.

use tidemill_market::{Adapter, Ask, Class, ErrorKind, Interval, Mapping};

use crate::shared::{always, read};

const FINNHUB: &str = r#"
name = "finnhub-like"
[request]
path = "/api/v1/stock/candle"
query = [["symbol", "{symbol}"], ["resolution", "{resolution}"], ["from", "{start_s}"], ["to", "{end_s}"]]
headers = [["X-Token", "{key}"]]
[intervals]
1min = { resolution = "1" }
[rows]
shape = "columns"
[fields]
time = "t"
open = "o"
high = "h"
low = "l"
close = "c"
volume = "v"
[time]
format = "unix-s"
[[says]]
as = "empty"
at = ["s"]
equals = ["no_data"]
"#;

#[test]
fn a_new_provider_needs_no_code() {
    let adapter = Adapter::generic(Mapping::from_toml(FINNHUB).unwrap()).unwrap();
    let ask = Ask { interval: Interval::Minute(1), ..Ask::daily("X") };
    let body = r#"{"s":"ok","t":[1700000040,1700000100],"o":[1,2],"h":[3,3],"l":[1,1],"c":[2,2],"v":[10,0]}"#;
    assert_eq!(read(&adapter, &ask, body, &always()).bars.len(), 2);
    assert_eq!(read(&adapter, &ask, r#"{"s":"no_data"}"#, &always()).class, Class::Empty);
    assert_eq!(read(&adapter, &ask, r#"{"s":"ok"}"#, &always()).class, Class::Malformed);
    let request = adapter.request(&ask, Some("k"));
    assert_eq!(request.headers, [("X-Token".to_owned(), "k".to_owned())]);
}

#[test]
fn faults_name_their_field() {
    let faults = [
        ("close = \"c\"\n", "", "close"),
        ("shape = \"columns\"", "shape = \"columns\"\nsymbl_at = [\"x\"]", "symbl_at"),
        ("shape = \"columns\"", "shape = \"columnar\"", "columnar"),
        ("{resolution}", "{resolutoin}", "{resolutoin}"),
        ("{resolution}", "{resolution", "request.query"),
        ("path = \"/", "path = \"", "request.path"),
        ("1min = { resolution = \"1\" }", "", "intervals"),
        ("1min", "1m", "intervals"),
        ("1min", "2w", "2w"),
        ("time = \"t\"\n", "", "fields.time"),
        ("open = \"o\"", "open = 1", "fields.open"),
        ("shape = \"columns\"", "shape = \"arrays\"", "fields.time"),
        ("shape = \"columns\"", "shape = \"keyed\"", "fields.time"),
        ("at = [\"s\"]\n", "", "says[0]"),
        ("at = [\"s\"]\nequals = [\"no_data\"]", "", "says[0]"),
        ("format = \"unix-s\"", "format = \"unix\"", "unix"),
        ("format = \"unix-s\"", "format = \"unix-s\"\nzone = \"Mars\"", "Mars"),
    ];
    for (from, to, named) in faults {
        assert!(FINNHUB.contains(from), "{from}");
        let error = Mapping::from_toml(&FINNHUB.replace(from, to)).expect_err(from);
        assert!(error.to_string().contains(named), "{named}: {error}");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(!error.is_retryable());
    }
    let error = Adapter::by_name("alphavantage").unwrap_err().to_string();
    assert!(error.contains("alpha-vantage") && error.contains("twelve-data"), "{error}");
}

#[test]
fn every_bundled_mapping_is_read_and_carries_its_own_name() {
    for name in Adapter::names() {
        assert_eq!(Adapter::by_name(name).unwrap().mapping().name, name);
    }
}
