//! The same promises on a real server that speaks S3, on loopback.

use std::{path::Path, sync::Arc, time::SystemTime};

use tidemill_journal::sim::SimDisk;
use tidemill_storage::{Ack, Changes, Credentials, ErrorKind, Remote, RemoteConfig, Scan, Store};

use super::{DIR, TestBucket, local, open_on, put};
use crate::{Rows, bar, bars_of, collect};

struct Server {
    url: String,
    id: String,
    secret: String,
}

/// The server of the test harness, or nothing, loudly.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn server() -> Option<Server> {
    let variable = |name: &str| std::env::var(name).ok();
    let found = (|| {
        let url = variable("TIDEMILL_TEST_S3_URL")?;
        Some(Server {
            url,
            id: variable("TIDEMILL_TEST_S3_KEY_ID")?,
            secret: variable("TIDEMILL_TEST_S3_KEY_SECRET")?,
        })
    })();
    if found.is_none() {
        assert!(variable("CI").is_none_or(|ci| ci != "true"), "CI is set and there is no S3 server");
        eprintln!("SKIPPED: no TIDEMILL_TEST_S3_URL; run `cargo xtask test`");
    }
    found
}

impl Server {
    fn config(&self, prefix: &str) -> RemoteConfig {
        RemoteConfig {
            bucket: "tidemill".into(),
            prefix: prefix.into(),
            endpoint: Some(self.url.clone()),
            ..RemoteConfig::default()
        }
    }

    fn remote(&self, config: RemoteConfig) -> Remote {
        Remote::s3(config, Credentials::new(&self.id, &self.secret)).unwrap()
    }

    fn at(&self, prefix: &str) -> Remote {
        self.remote(self.config(prefix))
    }

    fn read(&self, prefix: &str) -> Rows {
        let remote = self.at(prefix);
        let report = remote.verify().unwrap();
        assert!(report.is_sound(), "{report:?}");
        collect(remote.open().unwrap().scan("us_daily", &Scan::new()).unwrap()).0
    }

    /// A new folder that takes over.
    fn restored(&self, prefix: &str) -> Store {
        let disk = SimDisk::new();
        let restored = self.at(prefix).restore_on(Arc::new(disk.clone()), Path::new(DIR), SystemTime::now());
        assert_eq!(restored.unwrap().len(), 1);
        open_on(&disk, self.at(prefix))
    }
}

#[test]
fn a_real_server_keeps_refuses_and_gives_back() {
    let Some(server) = server() else { return };
    let prefix = "stale";
    let disk = SimDisk::new();
    let old = open_on(&disk, server.at(prefix));
    let rows = (0..12).map(|year| ("AAPL".to_owned(), 10_000 + year * 366, 1.0, None));
    old.commit(Changes::new().upsert("us_daily", bars_of(rows))).unwrap();
    old.publish().unwrap();
    assert_eq!(old.push().unwrap().tables[0].uploads, 12);
    assert_eq!(server.read(prefix), local(&old));
    assert_eq!(old.push().unwrap().tables, []);

    // The next process of the same folder goes on.
    drop(old);
    let old = open_on(&disk.kill(), server.at(prefix));
    put(&old, 1, 1.0);
    let pushed = old.push().unwrap();
    assert_eq!((pushed.tables[0].version, pushed.tables[0].uploads, pushed.tables[0].kept), (2, 1, 12));

    let new = server.restored(prefix);
    assert_eq!(local(&new), local(&old));
    put(&new, 2, 2.0);
    new.push().unwrap();
    put(&old, 1, 99.0);
    let error = old.push().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale, "{error}");
    assert_eq!(server.read(prefix), local(&new));
}

/// The control of the refusal above: the same server, asked without `If-Match`.
#[test]
fn a_real_server_lets_a_stale_writer_win_when_it_is_not_asked() {
    let Some(server) = server() else { return };
    let prefix = "careless";
    let s3 = tidemill_storage::object_store::aws::AmazonS3Builder::new()
        .with_bucket_name("tidemill")
        .with_region("us-east-1")
        .with_endpoint(&server.url)
        .with_allow_http(true)
        .with_access_key_id(&server.id)
        .with_secret_access_key(&server.secret)
        .with_http_connector(tidemill_storage::Https);
    let careless = TestBucket::over(Arc::new(s3.build().unwrap()));
    careless.forget_conditions();
    let old = open_on(&SimDisk::new(), Remote::on(Arc::new(careless), server.config(prefix)).unwrap());
    put(&old, 1, 1.0);
    old.push().unwrap();
    let new = server.restored(prefix);
    put(&new, 2, 2.0);
    new.push().unwrap();
    put(&old, 1, 99.0);
    old.push().unwrap();
    assert!(!server.read(prefix).contains_key(&("AAPL".into(), 2)), "what the other wrote is gone");
}

#[test]
fn a_commit_acknowledged_by_a_real_server_is_read_from_it() {
    let Some(server) = server() else { return };
    let prefix = "ack";
    let config = RemoteConfig { ack: Ack::Remote, ..server.config(prefix) };
    let store = open_on(&SimDisk::new(), server.remote(config));
    for day in 0..5 {
        store.commit(Changes::new().upsert("us_daily", bar("AAPL", day, 1.0, None))).unwrap();
        assert_eq!(server.read(prefix).len() as i64, day + 1);
    }
}

#[test]
fn a_long_file_goes_in_parts_to_a_real_server() {
    let Some(server) = server() else { return };
    let prefix = "parts";
    let config = RemoteConfig { part_bytes: 5 << 20, ..server.config(prefix) };
    let store = open_on(&SimDisk::new(), server.remote(config));
    // Random enough to be as long on disk as in memory.
    let close = |at: i64| f64::from_bits((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2);
    let rows = (0..800_000).map(|at| (format!("S{:04}", at / 300), at % 300, close(at), Some(at * 31)));
    store.commit(Changes::new().upsert("us_daily", bars_of(rows))).unwrap();
    store.publish().unwrap();
    let pushed = store.push().unwrap();
    assert!(pushed.tables[0].bytes > 5 << 20 && pushed.tables[0].uploads == 1, "{pushed:?}");
    assert!(server.at(prefix).verify().unwrap().is_sound());
    let latest = server.at(prefix).open().unwrap().latest("us_daily", &["S0777"], 2).unwrap();
    assert_eq!(latest.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
}

/// Wrong keys, and a server that is not there: an error that may be tried again, and no key in anything that can be printed.
#[test]
fn no_key_is_ever_printed() {
    let (id, secret) = ("AKIDNOBODYKNOWS", "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY");
    let dead = "http://127.0.0.1:1".to_owned();
    let urls = [Some(dead), server().map(|server| server.url)];
    for url in urls.into_iter().flatten() {
        let config = RemoteConfig {
            bucket: "tidemill".into(),
            endpoint: Some(url),
            timeout: std::time::Duration::from_secs(2),
            ..RemoteConfig::default()
        };
        let keys = Credentials::new(id, secret).session_token("FQoGZXIvYXdzEXAMPLE");
        let remote = Remote::s3(config, keys).unwrap();
        let shown = format!("{remote:?}");
        let store = open_on(&SimDisk::new(), remote);
        put(&store, 1, 1.0);
        let error = store.push().unwrap_err();
        assert!(error.is_retryable() && error.kind() == ErrorKind::Remote);
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let text = format!("{shown} {store:?} {error} {error:?} {cause:?}");
        assert!(text.contains("us_daily/manifest.json"), "{text}");
        for key in [id, secret, "FQoGZXIvYXdzEXAMPLE"] {
            assert!(!text.contains(key), "{text}");
        }
    }
}
