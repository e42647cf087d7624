//! A monitor that watches: every path, thresholds, custom and business metrics, probes, and a restart.

use std::time::Instant;

use serde_json::Value;

use crate::running::{Monitor, Server, ask, configured, end, means, reply, target_of};

#[test]
fn this_host_is_watched_out_of_the_box() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(dir.path(), &["--interval", "1"], &[]);
    monitor.target("host");
    let current = monitor.json("/api/metrics/current");
    let host = target_of(&current, "host").unwrap();
    let names: Vec<&str> =
        host["series"].as_array().unwrap().iter().filter_map(|series| series["name"].as_str()).collect();
    for name in [
        "system_cpu_percent",
        "system_load1",
        "system_context_switches_per_second",
        "system_memory_used_bytes",
        "system_memory_available_bytes",
        "system_memory_peak_used_bytes",
        "system_disk_written_bytes_per_second",
        "system_network_received_bytes_per_second",
        "process_resident_memory_bytes",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let asked = monitor.until("/api/metrics/history?metric=system_memory_percent&hours=1", |answer| {
        means(answer).len() >= 3
    });
    assert_eq!(asked["tier"], "raw");
    let health = monitor.json("/api/health");
    for subject in ["host.memory", "host.cpu"] {
        assert!(health["verdicts"].as_array().unwrap().iter().any(|v| v["subject"] == subject), "{health}");
    }
    assert!(health["monitor"]["version"].is_string() && health["monitor"]["uptime_s"].is_number());
    let (status, text) = monitor.get("/metrics");
    assert_eq!(status, 200);
    for name in
        ["tidemill_monitor_rounds_total{outcome=\"answered\",target=\"host\"}", "\nsystem_memory_percent "]
    {
        assert!(text.contains(name), "{name}\n{text}");
    }
    for (path, says) in [
        ("/api/metrics/history", "metric is missing"),
        ("/api/metrics/history?metric=up&hours=0", "is not understood"),
        ("/api/metrics/history?metric=up&points=0", "is not understood"),
        ("/api/metrics/history?metric=up&color=red", "is no parameter"),
        ("/api/metrics/history?metric=up&from_ms=9&to_ms=8", "must lie before"),
    ] {
        let (status, body) = monitor.get(path);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 400, "{path}");
        assert!(body["error"].as_str().unwrap().contains(says), "{body}");
        assert!(!body["do"].as_str().unwrap().is_empty(), "it says what to do: {body}");
    }
    let (code, log) = monitor.stop();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("post_deployment_monitoring_started"), "{log}");
}

#[test]
fn targets_are_read_counters_become_rates_and_thresholds_judge() {
    // 3 s for 4 requests: 750 ms each; one in two fails; 6 of 10 are hits.
    let collector = Server::text(|n| {
        let n = n + 1;
        format!(
            "# TYPE c_requests_total counter\nc_requests_total{{endpoint=\"/a\"}} {}\nc_requests_total{{endpoint=\"/b\"}} {n}\n\
             # TYPE c_errors_total counter\nc_errors_total {}\n\
             # TYPE c_request_duration_seconds summary\nc_request_duration_seconds_sum {}\nc_request_duration_seconds_count {}\n\
             # TYPE c_cache_hits_total counter\nc_cache_hits_total {}\n# TYPE c_cache_misses_total counter\nc_cache_misses_total {}\n\
             # TYPE sessions_active gauge\nsessions_active{{kind=\"web\"}} 30\nsessions_active{{kind=\"api\"}} 20\n",
            3 * n,
            2 * n,
            3 * n,
            4 * n,
            6 * n,
            4 * n,
        )
    });
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "[[target]]\nname = \"c\"\nurl = \"{}/metrics\"\n\
         [[business]]\nname = \"by_endpoint\"\ntarget = \"c\"\nmetric = \"c_requests_total\"\nby = [\"endpoint\"]\nstat = \"rate\"\nscale = 60.0\n\
         [[business]]\nname = \"utilisation\"\ntarget = \"c\"\nmetric = \"sessions_active\"\nper = {{ constant = 200.0 }}\nscale = 100.0\n\
         [[business]]\nname = \"error_share\"\ntarget = \"c\"\nmetric = \"c_errors_total\"\nstat = \"rate\"\nper = {{ metric = \"c_requests_total\", stat = \"rate\" }}\n",
        collector.url
    );
    let file = configured(dir.path(), &config);
    let args = ["--interval", "1", "--config", &file, "--response-threshold", "600"];
    let monitor = Monitor::start(dir.path(), &args, &[]);
    let subject = |health: &Value, name: &str| {
        health["verdicts"].as_array().unwrap().iter().find(|v| v["subject"] == name).cloned()
    };
    let health = monitor.until("/api/health", |health| subject(health, "c.errors").is_some());
    let response = subject(&health, "c.response").unwrap();
    let near = |value: &Value, wanted: f64| value.as_f64().is_some_and(|value| (value - wanted).abs() < 1e-6);
    assert!(near(&response["value"], 750.0) && near(&response["threshold"], 600.0), "{response}");
    assert_eq!(response["status"], "poor");
    assert!(response["recommendation"].as_str().unwrap().contains("750.0 ms, above 600.0 ms"));
    let errors = subject(&health, "c.errors").unwrap();
    assert!(near(&errors["value"], 50.0) && errors["status"] == "critical", "{errors}");
    let hits = subject(&health, "c.hits").unwrap();
    assert!(near(&hits["value"], 60.0) && hits["status"] == "fair", "{hits}");
    assert_eq!(health["status"], "critical");
    // A counter is shown as told, with its rate.
    let current = monitor.json("/api/metrics/current");
    let series = target_of(&current, "c").unwrap()["series"].clone();
    let a = series.as_array().unwrap().iter().find(|s| s["labels"]["endpoint"] == "/a").unwrap();
    assert!(
        a["rate"].as_f64().unwrap() > 0.5 && a["value"].as_f64().unwrap() >= 6.0 && a["kind"] == "counter"
    );
    // By target and label, of a counter rates.
    let history = monitor
        .until("/api/metrics/history?metric=c_requests_total&target=c&label.endpoint=/a", |answer| {
            means(answer).len() >= 2
        });
    assert_eq!(history["series"].as_array().unwrap().len(), 1);
    assert!(means(&history).iter().all(|rate| (0.3..30.0).contains(rate)), "{history}");
    // Business metrics: sums by label, shares, utilisation.
    let business = |name: &str| {
        monitor.until(&format!("/api/metrics/history?metric=business_{name}"), |a| !means(a).is_empty())
    };
    assert_eq!(means(&business("utilisation")).last(), Some(&25.0));
    assert!((means(&business("error_share")).last().unwrap() - 0.5).abs() < 1e-9);
    assert_eq!(business("by_endpoint")["series"].as_array().unwrap().len(), 2);
    assert!(monitor.get("/metrics").1.contains("business_utilisation 25"));
}

#[test]
fn numbers_of_your_own_come_from_a_command_a_file_and_http() {
    let server = Server::text(|_| "{\"orders\": {\"open\": 3, \"done\": 7}}".into());
    let dir = tempfile::tempdir().unwrap();
    let number = dir.path().join("number");
    std::fs::write(&number, "41.5\n").unwrap();
    let config = format!(
        "[[metric]]\nname = \"from_command\"\ncommand = [\"sh\", \"-c\", \"echo 17\"]\n\
         [[metric]]\nname = \"from_file\"\nfile = {:?}\nlabels = {{ where = \"here\" }}\n\
         [[metric]]\nname = \"orders\"\nurl = \"{}\"\nformat = \"json\"\npointer = \"/orders\"\n\
         [[metric]]\nname = \"from_text\"\ncommand = [\"printf\", \"queue_length{{q=\\\"a\\\"}} 5\\\\n\"]\nformat = \"prometheus\"\n\
         [[metric]]\nname = \"slow\"\ncommand = [\"sleep\", \"60\"]\ntimeout = \"300ms\"\n\
         [[metric]]\nname = \"failing\"\ncommand = [\"false\"]\n\
         [[metric]]\nname = \"chatty\"\ncommand = [\"yes\"]\n\
         [[metric]]\nname = \"wordy\"\ncommand = [\"echo\", \"many\"]\n",
        number, server.url
    );
    let file = configured(dir.path(), &config);
    let monitor = Monitor::start(dir.path(), &["--interval", "1", "--config", &file], &[]);
    for (name, error) in [
        ("slow", "nothing came within"),
        ("failing", "false ended with"),
        ("chatty", "prints more than"),
        ("wordy", "is no number"),
    ] {
        let target = monitor.target(name);
        assert!(target["error"].as_str().unwrap().contains(error), "{target}");
    }
    for (metric, values) in [
        ("from_command", vec![17.0]),
        ("from_file&label.where=here", vec![41.5]),
        ("orders&label.key=done", vec![7.0]),
        ("queue_length&label.q=a", vec![5.0]),
    ] {
        let path = format!("/api/metrics/history?metric={metric}");
        let answer = monitor.until(&path, |answer| !means(answer).is_empty());
        assert_eq!(&means(&answer)[..1], values, "{metric}");
    }
    let exposed = monitor.get("/metrics").1;
    assert!(exposed.contains("from_command 17") && exposed.contains("orders{key=\"open\"} 3"), "{exposed}");
}

#[test]
fn probes_tell_uptime_outages_and_budget_and_survive_a_restart() {
    let shop = Server::start(|number, stream| {
        let well = number % 4 != 1;
        reply(stream, if well { "200 OK" } else { "503 Busy" }, "all is well");
    });
    let text = Server::text(|_| "all is well".into());
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "[[probe]]\nname = \"shop\"\nurl = \"{0}\"\ncontains = \"well\"\nobjective = 99.0\n\
         [[probe]]\nname = \"port\"\ntcp = \"{1}\"\n\
         [[probe]]\nname = \"text\"\nurl = \"{2}\"\ncontains = \"ill\"\n[[probe]]\nname = \"nobody\"\ntcp = \"127.0.0.1:1\"\n",
        shop.url,
        shop.url.trim_start_matches("http://"),
        text.url
    );
    let file = configured(dir.path(), &config);
    let args = ["--interval", "1", "--config", file.as_str()];
    let monitor = Monitor::start(dir.path(), &args, &[]);
    let probe = |value: &Value, name: &str| {
        value["probes"].as_array().unwrap().iter().find(|probe| probe["name"] == name).unwrap().clone()
    };
    let told = monitor.until("/api/probes", |value| {
        let shop = probe(value, "shop");
        shop["outages"].as_array().unwrap().iter().any(|outage| outage["to_ms"].is_i64())
            && shop["checks"].as_u64() >= Some(4)
    });
    let shop_told = probe(&told, "shop");
    let uptime = shop_told["uptime_percent"].as_f64().unwrap();
    assert!(uptime > 10.0 && uptime < 100.0, "{shop_told}");
    assert!(shop_told["budget_left_percent"].as_f64().unwrap() < 100.0);
    assert!(shop_told["outages"].to_string().contains("503"), "{shop_told}");
    assert_eq!(probe(&told, "port")["up"], true);
    assert!(probe(&told, "text")["outages"].to_string().contains("does not hold"));
    assert!(probe(&told, "nobody")["outages"].to_string().contains("cannot connect"));
    let answer =
        monitor.until("/api/metrics/history?metric=probe_success&target=nobody", |a| !means(a).is_empty());
    assert!(means(&answer).iter().all(|value| *value == 0.0));
    let checks = probe(&monitor.json("/api/probes"), "shop")["checks"].as_u64();
    assert_eq!(monitor.stop().0, 0);
    let again = Monitor::start(dir.path(), &args, &[]);
    assert!(probe(&again.json("/api/probes"), "shop")["checks"].as_u64() >= checks);
}

#[test]
fn history_survives_a_restart_without_a_hole() {
    // Ten a second of the clock, whenever it is asked.
    let begun = Instant::now();
    let counter = Server::text(move |_| {
        format!("# TYPE steps_total counter\nsteps_total {}\n", begun.elapsed().as_secs_f64() * 10.0)
    });
    let dir = tempfile::tempdir().unwrap();
    let config = format!("[monitor]\nhost = false\n[[target]]\nname = \"t\"\nurl = \"{}\"\n", counter.url);
    let file = configured(dir.path(), &config);
    let args = ["--interval", "1", "--config", file.as_str()];
    let path = "/api/metrics/history?metric=steps_total&hours=1&points=3600";
    let monitor = Monitor::start(dir.path(), &args, &[]);
    let before = monitor.until(path, |answer| means(answer).len() >= 3);
    assert_eq!(monitor.stop().0, 0);
    let monitor = Monitor::start(dir.path(), &args, &[]);
    let first = before["series"][0]["t"][0].clone();
    let after = monitor.until(path, |answer| means(answer).len() >= means(&before).len() + 2);
    assert_eq!(after["series"][0]["t"][0], first, "what was is still there");
    // The rate over the time in which nobody ran is that of the total: nothing was counted twice.
    assert!(means(&after).iter().all(|rate| (0.0..60.0).contains(rate)), "{after}");
}

#[test]
fn a_port_in_use_is_told_clearly_and_the_folder_is_left_sound() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = dir.path().to_str().unwrap();
    let (code, _, error) = end(&["run", "--port", &port, "--data", data], &[]);
    assert_eq!(code, 2);
    assert!(error.contains(&format!("port {port} on 127.0.0.1 is in use; stop the process")), "{error}");
    Monitor::start(dir.path(), &[], &[]);
}

#[test]
fn two_monitors_do_not_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start(dir.path(), &["--interval", "1"], &[]);
    monitor.target("host");
    monitor.until("/api/health", |health| health["monitor"]["history"]["values"].as_u64() > Some(0));
    let (code, _, error) = end(&["run", "--port", "0", "--data", dir.path().to_str().unwrap()], &[]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("another monitor keeps its history there"), "{error}");
}

#[test]
fn off_loopback_a_token_is_needed_and_changes_ask_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let (code, _, error) = end(&["run", "--listen", "0.0.0.0:0", "--data", data], &[]);
    assert_eq!(code, 2);
    assert!(error.contains("is not loopback") && error.contains("bearer token"), "{error}");
    let file = configured(dir.path(), "[monitor]\ntoken_env = \"MONITOR_TOKEN\"\nprefix = \"/monitor\"\n");
    let (code, _, error) = end(&["run", "--config", &file, "--data", data], &[]);
    assert!(code == 2 && error.contains("MONITOR_TOKEN is not set"), "{error}");
    let secret = [("MONITOR_TOKEN", "s3cret-t0ken")];
    let monitor = Monitor::start(dir.path(), &["--config", &file, "--interval", "1"], &secret);
    monitor.target("host");
    let url = format!("{}/api/backup", monitor.url);
    assert!(monitor.url.ends_with("/monitor"));
    assert_eq!(ask("POST", &url, &[]).0, 401);
    assert_eq!(ask("POST", &url, &[("Authorization", "Bearer wrong")]).0, 401);
    let (status, _, body) = ask("POST", &url, &[("Authorization", "Bearer s3cret-t0ken")]);
    assert_eq!(status, 200, "{body}");
    let (_, log) = monitor.stop();
    assert!(!log.contains("s3cret-t0ken"), "{log}");
}

#[test]
fn check_tells_what_is_wrong_before_a_run_does() {
    let target = Server::text(|_| "up 1\n".into());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let config = format!(
        "[[target]]\nname = \"there\"\nurl = \"{}\"\n[[target]]\nname = \"gone\"\nurl = \"http://127.0.0.1:1/metrics\"\n",
        target.url
    );
    let file = configured(dir.path(), &config);
    let (code, said, _) = end(&["check", "--config", &file, "--data", data, "--port", "0"], &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("ok     target there") && said.contains("WRONG  target gone"), "{said}");
    assert!(said.contains("ok     folder") && said.contains("ok     address 127.0.0.1:0"), "{said}");
    let (code, said, _) = end(&["check", "--data", data, "--port", &port], &[]);
    assert_eq!(code, 1);
    assert!(said.contains("WRONG  address") && said.contains("choose another --port"), "{said}");
    let (code, said, _) = end(&["check", "--data", "/proc/nowhere", "--port", "0"], &[]);
    assert!(code == 1 && said.contains("WRONG  folder"), "{said}");
    assert_eq!(end(&["check", "--data", data, "--port", "0"], &[]).0, 0);
    // The tuner: its target's knobs, and what was decided last.
    let knobs = "{\"knobs\": [], \"enabled\": true, \"trials\": [], \"journal\": []}";
    let knobs = Server::text(move |_| knobs.into());
    let config = format!(
        "[[target]]\nname = \"there\"\nurl = \"{}\"\n[[tuning.target]]\nname = \"there\"\nurl = \"{}\"\n",
        target.url, knobs.url
    );
    let file = configured(dir.path(), &config);
    let (_, said, _) =
        end(&["check", "--config", &file, "--data", data, "--port", "0", "--no-auto-tuning"], &[]);
    assert!(said.contains("ok     tuner of there: 0 knobs"), "{said}");
    assert!(said.contains("nothing was decided yet") && said.contains("tuning: off"), "{said}");
}
