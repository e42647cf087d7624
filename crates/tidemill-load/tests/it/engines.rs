//! Protocols besides HTTP/1.1, and several threads.

use std::time::Duration;

use tidemill_load::{Cancel, Errors, Model, Plan, Shape, run};

use crate::server::{Act, Server, ok};

#[test]
fn plain_tcp_by_length_and_by_ending() {
    let server = Server::start(|text, _| {
        let text = text.trim();
        if text == "long" { Act::Say(b"0123456789".to_vec()) } else { Act::Say(b"echo\r\n.\r\n".to_vec()) }
    });
    for (body, check) in [
        ("long", "min_bytes = 10"),
        ("x", "until = \"\\r\\n.\\r\\n\""),
        ("y", "min_bytes = 9\ncheck.body = \"ech\""),
    ] {
        let text = format!(
            "target.url = \"tcp://127.0.0.1:{}\"\nload.drain = \"60s\"\n\
             load.shape = {{ kind = \"constant\", level = 100, duration = \"100ms\" }}\n\
             [[scenario]]\n[[scenario.step]]\nbody = \"{body}\\n\"\ncheck.{check}\n",
            server.port
        );
        let summary = run(&Plan::from_toml(&text).unwrap(), &mut |_| {}, &Cancel::new()).unwrap();
        assert_eq!((summary.totals.ok, summary.errors), (10, Errors::default()), "{check}");
    }
}

#[test]
fn threads_send_every_arrival_once() {
    let server = Server::start(|_, _| ok(""));
    let mut plan = Plan::new(&server.url(), Shape::constant(300.0, Duration::from_secs(1)));
    plan.load.threads = 3;
    plan.load.connections = 7;
    plan.load.drain = Duration::from_secs(60);
    plan.scenarios = vec![toml::from_str("step = [{ path = \"/{{arrival}}\" }]").unwrap()];
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!((summary.totals.ok, summary.totals.due), (300, 300));
    let mut numbers: Vec<u32> =
        server.texts().iter().map(|text| text.split(' ').nth(1).unwrap()[1..].parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<u32>>());
}

#[test]
fn closed_users_come_at_their_rate_and_keep_their_connections() {
    let server = Server::start(|_, _| ok(""));
    let mut plan = Plan::new(&server.url(), Shape::constant(20.0, Duration::from_secs(2)));
    plan.load.model = Model::Closed;
    plan.load.spawn_rate = 5.0;
    plan.load.think = Duration::from_millis(20);
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    // 1 at the start and 5 a second: 10 of the 20 within 2 s.
    assert!((2..=10).contains(&summary.totals.connections), "{:?}", summary.totals);
    assert!(summary.totals.ok > 10 && summary.errors.total() == 0 && summary.lag.count == 0);
}

#[test]
fn without_keep_alive_every_request_has_its_connection() {
    let server = Server::start(|_, _| ok(""));
    let mut plan = Plan::new(&server.url(), Shape::constant(100.0, Duration::from_millis(200)));
    plan.load.keep_alive = false;
    plan.load.drain = Duration::from_secs(60);
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!((summary.totals.ok, summary.totals.connections, summary.connect.count), (20, 20, 20));
    assert!(server.texts().iter().all(|text| text.contains("connection: close\r\n")));
}
