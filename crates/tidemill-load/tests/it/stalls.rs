//! A server that stalls: what a crowd waits must be seen, with one connection as with many.

use std::thread;
use std::time::Duration;

use tidemill_load::{Cancel, Model, Plan, Shape, run};

use crate::server::{Server, ok};

/// Stalls from 0.5 s to 2 s after the first request.
fn stalling() -> Server {
    Server::start(|_, since| {
        let (from, to) = (Duration::from_millis(500), Duration::from_millis(2000));
        if since > from && since < to {
            thread::sleep(to - since);
        }
        ok("late")
    })
}

fn plan(server: &Server) -> Plan {
    let mut plan = Plan::new(&server.url(), Shape::constant(100.0, Duration::from_secs(3)));
    plan.load.drain = Duration::from_secs(60);
    plan.load.timeout = Duration::from_secs(60);
    plan
}

/// Half of all arrivals come within the stall and wait between 0 and 1.5 s: a quarter waits above 0.75 s. A slow machine
/// makes it more, nothing makes it less.
#[test]
fn the_wait_of_a_crowd_is_seen_whatever_the_connections() {
    for connections in [1, 8, 300] {
        let mut plan = plan(&stalling());
        plan.load.connections = connections;
        let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
        assert_eq!(
            (summary.totals.ended, summary.totals.ok),
            (300, 300),
            "{connections}: {:?}",
            summary.errors
        );
        assert!(summary.response.p90_us > 1_000_000.0, "{connections}: {:?}", summary.response);
        assert!(summary.response.mean_us > 300_000.0, "{connections}: {:?}", summary.response);
        if connections == 1 {
            // One request stood in the stall, all others waited for it to come back.
            assert!(summary.lag.p90_us > 1_000_000.0 && summary.service.p90_us < summary.lag.p90_us);
        }
    }
}

/// The control: a closed user stops asking while the server stalls, and sees almost nothing of it.
#[test]
fn a_closed_user_does_not_see_it() {
    let mut plan = plan(&stalling());
    plan.load.model = Model::Closed;
    plan.load.shape = Shape::constant(1.0, Duration::from_secs(3));
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert!(summary.totals.ended > 20, "{:?}", summary.totals);
    let stalled = summary.response.max_us;
    assert!(stalled > 900_000.0 && summary.response.p90_us < stalled / 2.0, "{:?}", summary.response);
}
