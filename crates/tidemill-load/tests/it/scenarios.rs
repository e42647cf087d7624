//! Steps, variables, cookies, data files and sizes, as the server saw them.

use std::time::Duration;

use tidemill_load::{Cancel, ErrorKind, Plan, run};

use crate::server::{Act, Server, ok};

fn toml(server: &Server, rest: &str) -> Plan {
    let text = format!(
        "target.url = \"{}base?q=1\"\nload.connections = 2\nload.drain = \"60s\"\n\
         load.shape = {{ kind = \"constant\", level = 100, duration = \"100ms\" }}\n{rest}",
        server.url()
    );
    Plan::from_toml(&text).unwrap()
}

#[test]
fn a_login_carries_its_token_and_its_cookie() {
    let server = Server::start(|text, _| {
        if text.starts_with("POST /login") {
            let json = r#"{"auth":{"token":"t-77"}}"#;
            let head = format!(
                "HTTP/1.1 201 Made\r\nSet-Cookie: sid=abc; Path=/\r\nContent-Length: {}\r\n\r\n",
                json.len()
            );
            return Act::Say(format!("{head}{json}").into_bytes());
        }
        let known = text.contains("authorization: Bearer t-77\r\n") && text.contains("cookie: sid=abc\r\n");
        if known { ok("welcome back") } else { ok("who are you") }
    });
    let plan = toml(
        &server,
        r#"
        [[scenario]]
        name = "visit"
        [[scenario.step]]
        path = "/login"
        body = '{"user": 1}'
        check.status = [201]
        extract.token = "json:/auth/token"
        [[scenario.step]]
        path = "/home"
        headers.authorization = "Bearer {{token}}"
        check.body = "welcome"
        "#,
    );
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!(
        (summary.totals.due, summary.totals.ok, summary.errors.total()),
        (10, 20, 0),
        "{:?}",
        server.texts()
    );
    let steps: Vec<_> =
        summary.steps.iter().map(|step| (step.step.as_str(), step.ended, step.service.count)).collect();
    assert_eq!(steps, [("POST /login", 10, 10), ("GET /home", 10, 10)]);
    assert!(
        !server.texts().iter().any(|text| text.starts_with("POST") && text.contains("cookie")),
        "users are new"
    );
}

#[test]
fn a_failed_step_ends_its_scenario() {
    let server = Server::start(|_, _| ok("no token here"));
    let plan = toml(
        &server,
        "[[scenario]]\n[[scenario.step]]\nextract.token = \"json:/token\"\n[[scenario.step]]\npath = \"/x/{{token}}\"\n",
    );
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!((summary.errors.check, summary.totals.ended), (10, 10));
}

#[test]
fn rows_and_sizes_fill_the_templates() {
    let server = Server::start(|_, _| ok(""));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("symbols.csv");
    std::fs::write(&path, "symbol,name\nA,x\nB,\"y z\"\n").unwrap();
    let mut plan = toml(
        &server,
        r#"
        volume = { start = "10B", factor = 3, levels = 2, each = "1s" }
        [[scenario]]
        [[scenario.step]]
        path = "/bars/{{symbol}}?name={{name}}&n={{arrival}}&size={{volume}}"
        body = "{{payload}}"
        "#,
    );
    plan.data = Some(tidemill_load::Data { path, pick: tidemill_load::Pick::InTurn });
    plan.load.shape = tidemill_load::Shape::constant(10.0, Duration::from_secs(2));
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert_eq!((summary.totals.ok, summary.errors.total()), (20, 0));
    let texts = server.texts();
    let has =
        |start: &str, end: &str| texts.iter().any(|text| text.starts_with(start) && text.ends_with(end));
    let (ten, thirty) = ("x".repeat(10), "x".repeat(30));
    assert!(
        has("POST /bars/A?name=x&n=0&size=10 HTTP/1.1\r\n", &format!("content-length: 10\r\n\r\n{ten}")),
        "{texts:?}"
    );
    assert!(
        has("POST /bars/B?name=y%20z&n=19&size=30 HTTP/1.1\r\n", &format!("\r\n\r\n{thirty}")),
        "{texts:?}"
    );
    let levels: Vec<u64> = summary.levels.iter().map(|level| level.size).collect();
    assert_eq!(levels, [10, 30]);
    assert_eq!(summary.levels.iter().map(|level| level.ended).sum::<u64>(), 20);
}

#[test]
fn scenarios_come_by_their_weights() {
    let server = Server::start(|_, _| ok(""));
    let mut plan = toml(
        &server,
        "[[scenario]]\nweight = 3\n[[scenario.step]]\npath = \"/often\"\n[[scenario]]\n[[scenario.step]]\npath = \"/rarely\"\n",
    );
    plan.load.shape = tidemill_load::Shape::constant(800.0, Duration::from_secs(1));
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    let often = summary.steps[0].ended;
    assert!(summary.totals.ok == 800 && (540..660).contains(&often), "{often}");
}

#[test]
fn a_plan_that_makes_no_sense_is_refused_by_field() {
    let server = Server::start(|_, _| ok(""));
    for (rest, field) in [
        ("[[scenario]]\nstep = []\n", "scenario"),
        ("[[scenario]]\n[[scenario.step]]\npath = \"x\"\n", "scenario[0].step[0].path"),
        ("[[scenario]]\n[[scenario.step]]\npath = \"/{{nobody}}\"\n", "scenario[0].step[0].path"),
        ("[[scenario]]\n[[scenario.step]]\nmethod = \"G T\"\n", "scenario[0].step[0].method"),
        ("[[scenario]]\n[[scenario.step]]\nheaders.content-length = \"5\"\n", "scenario[0].step[0].headers"),
        ("[[scenario]]\n[[scenario.step]]\nheaders.a = \"x\\r\\ny: z\"\n", "scenario[0].step[0].headers"),
        ("[[scenario]]\nweight = 0\n[[scenario.step]]\n", "scenario.weight"),
        ("load.connections = 0\n", "duplicate key"),
        ("limits.rate = 10\n", "load.shape"),
        ("limits.duration = \"10ms\"\n", "load.shape"),
        ("pass.\"response.p99\" = \"<5%\"\n", "pass.response.p99"),
        ("stop.\"drift.response\" = \"5 over 5s\"\n", "stop.drift.response"),
    ] {
        let text = format!(
            "target.url = \"{}\"\nload.connections = 2\nload.shape = {{ kind = \"constant\", level = 100, duration = \"100ms\" }}\n{rest}",
            server.url()
        );
        let error =
            Plan::from_toml(&text).and_then(|plan| run(&plan, &mut |_| {}, &Cancel::new())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Plan, "{rest}");
        assert!(error.to_string().contains(field), "{rest}: {error}");
    }
}
