//! WebSockets against tungstenite's server: round trips, standing readers with a known delay, wrong answers.

use std::time::{Duration, SystemTime};

use futures_util::{SinkExt as _, StreamExt as _};
use tidemill_load::{Cancel, Errors, Plan, Shape, StampUnit, Subscribe, run};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use crate::server::{Act, Server, ok};

/// Echoes texts; `feed` instead starts a feed of stamps that say "sent 300 ms ago", with pings and fragments between.
fn server() -> u16 {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                    while let Some(Ok(message)) = socket.next().await {
                        let Message::Text(text) = message else { continue };
                        if !text.starts_with("feed") {
                            _ = socket.send(Message::Ping("are you there".into())).await;
                            _ = socket.send(Message::Text(text)).await;
                            continue;
                        }
                        for _ in 0..20 {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                            let sent = (now - Duration::from_millis(300)).as_micros();
                            let json = format!(
                                "{{\"reader\":\"{text}\",\"sent\":{sent},\"pad\":\"{}\"}}",
                                "x".repeat(200)
                            );
                            if socket.send(Message::Text(json.into())).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
    });
    told.recv().unwrap()
}

#[test]
fn a_round_trip_is_a_request() {
    let text = format!(
        "target.url = \"ws://127.0.0.1:{}/feed\"\nload.drain = \"60s\"\n\
         load.shape = {{ kind = \"constant\", level = 100, duration = \"500ms\" }}\n\
         [[scenario]]\n[[scenario.step]]\nbody = '{{\"n\":{{{{arrival}}}}}}'\ncheck.body = '{{\"n\":'\n",
        server()
    );
    let summary = run(&Plan::from_toml(&text).unwrap(), &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!((summary.totals.ok, summary.errors), (50, Errors::default()));
}

#[test]
fn readers_measure_the_delay_that_the_sender_made() {
    let mut plan =
        Plan::new(&format!("ws://127.0.0.1:{}/", server()), Shape::constant(10.0, Duration::from_secs(2)));
    plan.subscribe = Some(Subscribe {
        message: Some("feed {{reader}}".to_owned()),
        sent_at: "/sent".to_owned(),
        unit: StampUnit::Us,
    });
    plan.pass.set("delivery.p50", ">=299ms").unwrap();
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!(summary.errors, Errors::default());
    assert!((20..=200).contains(&summary.totals.messages), "{:?}", summary.totals);
    assert!(summary.delivery.min_us >= 299_000.0 && summary.passed(), "{:?}", summary.delivery);
    assert_eq!(summary.totals.connections, 10);
}

#[test]
fn who_does_not_agree_is_no_websocket() {
    let once = |server: &Server| {
        let url = format!("ws://127.0.0.1:{}/", server.port);
        let mut plan = Plan::new(&url, Shape::constant(10.0, Duration::from_millis(300)));
        plan.load.drain = Duration::from_secs(60);
        run(&plan, &mut |_| {}, &Cancel::new()).unwrap().errors
    };
    assert_eq!(once(&Server::start(|_, _| ok("x"))), Errors { connect: 3, ..Errors::default() });
    let lies =
        Server::start(|_, _| Act::Say(b"HTTP/1.1 101 Ok\r\nSec-WebSocket-Accept: no\r\n\r\n".to_vec()));
    assert_eq!(once(&lies), Errors { protocol: 3, ..Errors::default() });
}
