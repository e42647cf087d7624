//! Whole runs against a server in this process: reports, exit codes, signals, searches, comparisons.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tidemill_bench::report::{Content, Document};
use tidemill_load::Ended;

use crate::pages::well_formed;
use crate::program::{bench, output, said};
use crate::server;

const FAST: Duration = Duration::from_millis(2);

#[test]
fn a_run_leaves_every_report_and_ends_with_0() {
    let url = server::start(FAST);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut args =
        vec!["load", &url, "--users", "4", "--time", "3s", "--pass", "response.p99<30s", "--label", "v1"];
    let reports =
        ["json", "html", "markdown", "junit", "store"].map(|kind| (format!("--{kind}"), path(kind)));
    reports.iter().for_each(|(flag, file)| args.extend([flag.as_str(), file.as_str()]));
    let run = output(&args);
    let exit = run.status.code();
    // A machine that is busy enough may spoil the run, which it must then say.
    assert!(
        exit == Some(0) && said(&run).contains("PASS") || exit == Some(4) && said(&run).contains("INVALID"),
        "{}",
        said(&run)
    );
    let document = Document::read(path("json").as_ref()).unwrap();
    let Content::Run(run) = &document.content else { panic!("another kind") };
    assert!(run.summary.totals.ok > 20 && run.summary.errors.total() == 0, "{:?}", run.summary.totals);
    assert!(run.summary.response.p50_us >= 2000.0);
    let page = std::fs::read_to_string(path("html")).unwrap();
    well_formed(&page);
    assert!(page.contains("Response time"));
    assert!(std::fs::read_to_string(path("junit")).unwrap().contains("response.p99 &lt;30s"));
    let stored: Vec<_> = std::fs::read_dir(path("store")).unwrap().collect();
    assert_eq!(stored.len(), 1);
}

#[test]
fn a_broken_promise_ends_with_3() {
    let url = server::start(FAST) + "/fail";
    let run = output(["load", &url, "--users", "2", "--time", "2s", "--pass", "errors<1%"]);
    let exit = run.status.code();
    assert!(exit == Some(3) || exit == Some(4) && said(&run).contains("INVALID"), "{}", said(&run));
    assert!(said(&run).contains("MISSED") && said(&run).contains("status"), "{}", said(&run));
}

#[test]
fn a_stop_rule_ends_with_5_long_before_the_plan() {
    let url = server::start(FAST) + "/half";
    let begun = Instant::now();
    let run = output(["load", &url, "--users", "8", "--time", "10m", "--stop", "errors=10% over 1s"]);
    assert_eq!(run.status.code(), Some(5), "{}", said(&run));
    assert!(said(&run).contains("STOPPED") && said(&run).contains("10%"), "{}", said(&run));
    assert!(begun.elapsed() < Duration::from_secs(300));
}

#[test]
fn a_signal_ends_with_5_and_the_report_is_written() {
    let url = server::start(FAST);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.json");
    for signal in [nix::sys::signal::Signal::SIGINT, nix::sys::signal::Signal::SIGTERM] {
        let mut child = bench(["load", &url, "--users", "2", "--time", "1h", "--json"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The first line of progress says that it runs.
        let mut progress = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut progress, &mut line).unwrap();
        assert!(line.contains("eta"), "{line}");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).unwrap();
        std::io::copy(&mut progress, &mut std::io::sink()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(5));
        let Content::Run(run) = Document::read(&file).unwrap().content else { panic!("another kind") };
        assert_eq!(run.summary.ended, Ended::Cancelled);
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_search_tells_what_it_tried() {
    let url = server::start(FAST);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("found.json");
    let args = [
        "search",
        &url,
        "--low",
        "20",
        "--high",
        "40",
        "--tolerance",
        "20",
        "--probe-time",
        "1s",
        "--pass",
        "response.p99<30s",
        "--json",
    ];
    let run = bench(args).arg(&file).output().unwrap();
    let exit = run.status.code();
    assert!(exit == Some(0) || exit == Some(4), "{}", said(&run));
    let Content::Search(found) = Document::read(&file).unwrap().content else { panic!("another kind") };
    assert!(
        !found.capacity.probes.is_empty() && (exit == Some(4) || found.capacity.rate.is_some()),
        "{:?}",
        found.capacity
    );
}

#[test]
fn a_server_three_times_as_slow_is_worse() {
    let (a, b) = (server::start(Duration::from_millis(4)), server::start(Duration::from_millis(12)));
    let run = output(["compare", "--pairs", "4", "--turn", "200ms", "--users", "2", &a, &b]);
    let exit = run.status.code();
    assert!(exit == Some(6) || exit == Some(4) && said(&run).contains("INVALID"), "{}", said(&run));
    assert!(said(&run).contains("response.p50") && said(&run).contains("WORSE"), "{}", said(&run));
}

#[test]
fn two_commands_that_serve_are_started_compared_and_ended() {
    let own = std::env::current_exe().unwrap();
    let command = |slow: &str| {
        format!("'{}' loads::serves_when_told --exact --nocapture {slow} port-{{port}}", own.display())
    };
    let run = output([
        "compare",
        "--pairs",
        "4",
        "--turn",
        "200ms",
        "--users",
        "2",
        &command("fast"),
        &command("slow"),
    ]);
    let exit = run.status.code();
    assert!(exit == Some(6) || exit == Some(4) && said(&run).contains("INVALID"), "{}", said(&run));
    let broken = output(["compare", "--turn", "100ms", "true {port}", "true {port}"]);
    assert_eq!(broken.status.code(), Some(2), "{}", said(&broken));
    assert!(said(&broken).contains("before it listened"), "{}", said(&broken));
}

/// Not a test but the server of the one above: it serves when its own arguments name a port.
#[test]
fn serves_when_told() {
    let args: Vec<String> = std::env::args().collect();
    let Some(port) = args.iter().find_map(|arg| arg.strip_prefix("port-")?.parse::<u16>().ok()) else {
        return;
    };
    let slow = args.iter().any(|arg| arg == "slow");
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    server::serve(&listener, Duration::from_millis(if slow { 12 } else { 4 }));
}

#[test]
fn a_scenario_runs_with_its_own_promises() {
    let url = server::start(FAST);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("small.toml");
    let text = format!(
        "[target]\nurl = \"{url}\"\n[load.shape]\nkind = \"constant\"\nlevel = 30\nduration = \"2s\"\n[pass]\n\"response.p50\" = \"<1us\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let run = output(["run", file.to_str().unwrap()]);
    let exit = run.status.code();
    assert!(exit == Some(3) || exit == Some(4) && said(&run).contains("INVALID"), "{}", said(&run));
    assert!(said(&run).contains("small: http://") || said(&run).contains("<1us"), "{}", said(&run));
}
