//! Expositions as they are, as they should not be, and as no program would write them.

use proptest::prelude::*;

use super::super::intern::Wanted;
use super::*;

fn parser(wanted: Wanted) -> Parser {
    let limits = Limits { series: 100, labels: 4, series_bytes: 200 };
    Parser::new(Interner::new(&Arc::from("t"), wanted, 1000), limits)
}

fn read(text: &str) -> Result<Vec<(String, Kind, f64)>, String> {
    parser(Wanted::default())
        .parse(text.as_bytes())
        .map(|readings| shown(&readings))
        .map_err(|e| e.to_string())
}

fn shown(readings: &[Reading]) -> Vec<(String, Kind, f64)> {
    let one = |reading: &Reading| {
        let series = &reading.series;
        let labels: Vec<_> = series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (format!("{}[{}]", series.name, labels.join(",")), series.kind, reading.value)
    };
    readings.iter().map(one).collect()
}

#[test]
fn kinds_labels_escapes_and_numbers_are_read() {
    let text = "# HELP r Requests.\n# TYPE r counter\nr{z=\"1\",a=\"x\\\"y\\\\z\\nq}\"} 1e3 1700000000000\n\
                # TYPE g gauge\ng -2.5\n\nlonely{} 7\n# TYPE n gauge\nn NaN\nn2 +Inf\n";
    assert_eq!(
        read(text).unwrap(),
        [
            ("r[a=x\"y\\z\nq},z=1]".to_owned(), Kind::Counter, 1000.0),
            ("g[]".to_owned(), Kind::Gauge, -2.5),
            ("lonely[]".to_owned(), Kind::Unknown, 7.0),
        ]
    );
}

#[test]
fn openmetrics_counters_exemplars_and_its_end_are_read() {
    let text =
        "# TYPE r counter\nr_total{a=\"b\"} 5 # {trace=\"x\"} 1\nr_created 1.5e9\n# EOF\nnot read at all\n";
    assert_eq!(read(text).unwrap(), [("r_total[a=b]".to_owned(), Kind::Counter, 5.0)]);
}

#[test]
fn of_two_lines_of_a_series_the_first_counts() {
    assert_eq!(read("a 1\na 2\n").unwrap().len(), 1);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, says) in [
        ("a 1\nb\n", "line 2 of the answer has no value"),
        ("a x\n", "no number"),
        ("a{l=\"v} 1\n", "has no value"),
        ("a{l=v} 1\n", "without quotes"),
        ("a{l=\"1\" m=\"2\"} 1\n", "comma"),
        ("a{l=\"1\",l=\"2\"} 1\n", "twice"),
        ("a{1=\"1\"} 1\n", "no name"),
        ("<html> 1\n", "no metric name"),
        ("a{a=\"1\",b=\"1\",c=\"1\",d=\"1\",e=\"1\"} 1\n", "more than 4 labels"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
    let long = format!("a{{l=\"{}\"}} 1\n", "x".repeat(300));
    assert!(read(&long).unwrap_err().contains("too long"));
    let many: String = (0..101).map(|n| format!("m{n} 1\n")).collect();
    assert!(read(&many).unwrap_err().contains("one series more than 100"));
}

#[test]
fn names_that_are_not_wanted_cost_nothing() {
    let wanted = Wanted { keep: vec!["node_*".into()], drop: vec!["node_scrape*".into()] };
    let mut parser = parser(wanted);
    let readings = parser.parse(b"node_load1 1\nnode_scrape_x 1\ngo_threads 3\n").unwrap();
    assert_eq!(readings.len(), 1);
}

fn histogram(counts: [u64; 3], sum: f64) -> String {
    format!(
        "# TYPE h histogram\nh_bucket{{le=\"0.1\"}} {}\nh_bucket{{le=\"1\"}} {}\nh_bucket{{le=\"+Inf\"}} {}\nh_sum {sum}\nh_count {}\n",
        counts[0], counts[1], counts[2], counts[2]
    )
}

#[test]
fn buckets_become_quantiles_of_what_came_since() {
    let mut parser = parser(Wanted::default());
    let first = shown(&parser.parse(histogram([100, 100, 100], 5.0).as_bytes()).unwrap());
    assert_eq!(first.len(), 2, "sum and count; nothing is known of the time before: {first:?}");
    // Ten more, all between 0.1 and 1: the hundred quick ones of before do not count.
    let second = shown(&parser.parse(histogram([100, 110, 110], 10.0).as_bytes()).unwrap());
    let of = |name: &str| second.iter().find(|(n, ..)| n == name).map(|(.., value)| *value);
    assert_eq!(of("h[quantile=0.5]"), Some(0.55));
    assert!((of("h[quantile=0.99]").unwrap() - 0.991).abs() < 1e-9);
    assert_eq!(of("h_mean[]"), Some(0.5));
    // Nothing observed: no quantile at all.
    assert_eq!(parser.parse(histogram([100, 110, 110], 10.0).as_bytes()).unwrap().len(), 2);
    // The process began anew: what it shows is all that it observed.
    let again = shown(&parser.parse(histogram([1, 1, 1], 0.05).as_bytes()).unwrap());
    assert!(again.iter().any(|(name, _, value)| name == "h[quantile=0.5]" && *value == 0.05), "{again:?}");
}

#[test]
fn histograms_that_come_and_go_are_told_apart() {
    let mut parser = parser(Wanted::default());
    parser.parse(histogram([1, 2, 3], 1.0).as_bytes()).unwrap();
    parser.parse(b"a 1\n").unwrap();
    let back = parser.parse(histogram([2, 3, 4], 1.0).as_bytes()).unwrap();
    assert_eq!(back.len(), 2, "it was away: there is nothing to compare with");
    assert!(parser.parse(histogram([3, 4, 5], 2.0).as_bytes()).unwrap().len() > 2);
}

#[test]
fn a_summary_keeps_its_own_quantiles() {
    let read = read("# TYPE s summary\ns{quantile=\"0.5\"} 2\ns_sum 4\ns_count 2\n").unwrap();
    assert_eq!(read[0], ("s[quantile=0.5]".to_owned(), Kind::Histogram, 2.0));
    assert_eq!(read[1].1, Kind::Counter);
}

proptest! {
    /// Any bytes: an error or readings, never a panic, and the same in a parser that has seen others.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), lines in "[a-c{}=\",0-9\\\\ \n#]{0,200}") {
        let mut parser = parser(Wanted::default());
        parser.parse(&bytes).ok();
        parser.parse(lines.as_bytes()).ok();
        parser.parse(&bytes).ok();
    }

    /// Lines that come, go, change their order, stand twice and are declared anew: who remembers the round before reads what
    /// who does not reads.
    #[test]
    fn who_remembers_reads_the_same(rounds in prop::collection::vec(prop::collection::vec((0usize..6, 0usize..9), 0..14), 1..8)) {
        let lines = ["# TYPE a counter", "# TYPE a gauge", "# TYPE b_total counter", "# TYPE", "# HELP a A.", "# TYPE a{} counter"];
        let mut remembers = parser(Wanted::default());
        for (nth, round) in rounds.iter().enumerate() {
            let mut text = String::new();
            for (comment, series) in round {
                if nth % 2 == 0 || *comment > 2 {
                    text += lines[*comment];
                    text.push('\n');
                }
                let series = ["a", "a{l=\"1\"}", "a{l=\"2\"}", "b_total", "b_total{l=\"}\"}", "a{l=\"1\",m=\"x y\"}", "c", "ab", "a{}"][*series];
                text += &format!("{series} {}\n", nth + comment);
            }
            let of = |parser: &mut Parser| parser.parse(text.as_bytes()).map(|readings| shown(&readings));
            prop_assert_eq!(of(&mut remembers), of(&mut parser(Wanted::default())), "{}", text);
        }
    }

    /// What is written is read, whatever the values of the labels.
    #[test]
    fn labels_are_read_as_they_were_written(value in "[^\u{0}]{1,20}", number in -1e9f64..1e9) {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        prop_assume!(!value.contains('\r'));
        let readings = parser(Wanted::default()).parse(format!("m{{l=\"{escaped}\"}} {number}\n").as_bytes()).unwrap();
        prop_assert_eq!(readings[0].series.label("l"), Some(value.as_str()));
        prop_assert_eq!(readings[0].value, number);
    }
}
