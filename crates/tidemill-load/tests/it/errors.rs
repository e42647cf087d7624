//! Every way an answer can be wrong is counted as what it is, and the run goes on.

use std::time::Duration;

use tidemill_load::{Cancel, Errors, Plan, Shape, Summary, run};

use crate::server::{Act, Server, ok};

/// Ten requests on one connection, a tenth of a second apart at most.
fn ten(url: &str, change: impl FnOnce(&mut Plan)) -> Summary {
    let mut plan = Plan::new(url, Shape::constant(50.0, Duration::from_millis(200)));
    plan.load.connections = 1;
    plan.load.drain = Duration::from_secs(60);
    change(&mut plan);
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!(summary.totals.due, 10);
    assert_eq!(summary.totals.ok + summary.errors.total(), summary.totals.ended);
    summary
}

fn always(act: impl Fn() -> Act + Send + Sync + 'static) -> Errors {
    ten(&Server::start(move |_, _| act()).url(), |_| {}).errors
}

fn say(text: &str) -> Act {
    Act::Say(text.as_bytes().to_vec())
}

#[test]
fn whole_answers_are_no_errors() {
    assert_eq!(always(|| ok("x")), Errors::default());
    assert_eq!(
        always(|| say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")),
        Errors::default()
    );
    assert_eq!(
        always(|| Act::SayAndClose(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec())),
        Errors::default()
    );
    assert_eq!(always(|| say("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")), Errors::default());
}

#[test]
fn broken_answers_are_counted_by_kind() {
    let status = always(|| say("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(status, Errors { status: 10, ..Errors::default() });
    let truncated = always(|| Act::SayAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_vec()));
    assert_eq!(truncated, Errors { reset: 10, ..Errors::default() });
    let nothing = always(|| Act::SayAndClose(Vec::new()));
    assert_eq!(nothing, Errors { reset: 10, ..Errors::default() });
    let reset = always(|| Act::Reset(b"HTTP/1.1 200".to_vec()));
    assert_eq!(reset, Errors { reset: 10, ..Errors::default() });
    let noise = always(|| say("SSH-2.0-OpenSSH_9.2\r\n"));
    assert_eq!(noise, Errors { protocol: 10, ..Errors::default() });
    let lying = always(|| say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc"));
    assert_eq!(lying, Errors { protocol: 10, ..Errors::default() });
    let huge = always(|| say("HTTP/1.1 200 OK\r\nContent-Length: 900000000000\r\n\r\n"));
    assert_eq!(huge, Errors { too_large: 10, ..Errors::default() });
}

#[test]
fn who_does_not_answer_times_out_and_his_wait_counts() {
    let server = Server::start(|_, _| Act::Silence);
    let summary = ten(&server.url(), |plan| plan.load.timeout = Duration::from_millis(50));
    assert_eq!(summary.errors, Errors { timeout: 10, ..Errors::default() });
    assert!(summary.response.count == 10 && summary.response.min_us >= 49_000.0, "{:?}", summary.response);
}

#[test]
fn what_never_found_a_connection_is_unsent_and_its_wait_counts() {
    let server = Server::start(|_, _| Act::Silence);
    let summary = ten(&server.url(), |plan| plan.load.drain = Duration::from_millis(1500));
    assert_eq!(summary.errors, Errors { timeout: 1, unsent: 9, ..Errors::default() });
    assert!(summary.response.count == 10, "{:?}", summary.response);
}

#[test]
fn a_closed_port_is_a_connect_error_and_no_time_of_an_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let summary = ten(&url, |_| {});
    assert_eq!(summary.errors, Errors { connect: 10, ..Errors::default() });
    assert_eq!((summary.response.count, summary.totals.sent), (0, 0));
}

#[test]
fn a_connection_closed_between_two_requests_is_no_error() {
    let server =
        Server::start(|_, _| Act::SayAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec()));
    let summary = ten(&server.url(), |plan| plan.load.shape = Shape::constant(10.0, Duration::from_secs(1)));
    // On a machine that is busy the server may close after the next request went out; unseen, it would be every second.
    let Errors { reset, .. } = summary.errors;
    assert!(summary.totals.ok > 5 && summary.totals.ok + reset == 10, "{:?}", summary.errors);
}

#[test]
fn a_rule_ends_the_run_and_says_which() {
    let server = Server::start(|_, _| say("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"));
    let mut plan = Plan::new(&server.url(), Shape::constant(100.0, Duration::from_secs(60)));
    plan.stop.set("errors", "10% over 2s").unwrap();
    plan.load.drain = Duration::from_secs(1);
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    let tidemill_load::Ended::Stopped { rule } = &summary.ended else { panic!("{:?}", summary.ended) };
    assert!(rule.contains("errors was 100%") && summary.elapsed_s < 50.0, "{rule}");
}

/// A device that is always full stands for a disk that became it.
#[cfg(target_os = "linux")]
#[test]
fn a_recording_that_cannot_go_on_is_said_and_ends_no_run() {
    let server = Server::start(|_, _| ok("x"));
    let whole = ten(&server.url(), |_| {});
    assert_eq!(whole.unrecorded, None);
    let cut = ten(&server.url(), |plan| plan.record.path = Some("/dev/full".into()));
    assert!(cut.totals.ok == 10 && cut.errors.total() == 0, "{:?}", cut.errors);
    assert!(cut.unrecorded.is_some_and(|why| why.contains("end at 0 s")));
}

#[test]
fn a_run_can_be_cancelled() {
    let server = Server::start(|_, _| ok("x"));
    let plan = Plan::new(&server.url(), Shape::constant(100.0, Duration::from_secs(60)));
    let cancel = Cancel::new();
    let mut seconds = 0;
    let summary = run(
        &plan,
        &mut |_| {
            seconds += 1;
            cancel.cancel();
        },
        &cancel,
    );
    let summary = summary.unwrap();
    assert_eq!(summary.ended, tidemill_load::Ended::Cancelled);
    assert!(summary.elapsed_s < 50.0 && seconds >= 1 && summary.totals.ok > 0);
}
