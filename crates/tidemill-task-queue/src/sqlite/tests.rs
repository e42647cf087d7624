//! The plans of the hot statements, and what a file of somebody else's does.

use super::*;
use crate::error::ErrorKind;

fn opened() -> (tempfile::TempDir, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path().join("tasks.db"), SqliteConfig::default()).unwrap();
    (dir, store)
}

#[test]
fn every_hot_statement_uses_an_index() {
    let (_dir, store) = opened();
    let writer = store.writer.lock().unwrap();
    for text in queries::hot() {
        let mut plan = writer.connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        for at in 1..=plan.parameter_count() {
            plan.raw_bind_parameter(at, 1).unwrap();
        }
        let mut rows = plan.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            let indexed =
                step.contains("USING") && step.contains("INDEX") || step.contains("INTEGER PRIMARY KEY");
            assert!(!step.contains("SCAN") || indexed, "{text}: {step}");
            assert!(!step.contains("TEMP B-TREE"), "{text} sorts: {step}");
        }
    }
}

#[test]
fn the_check_of_plans_can_fail() {
    let (_dir, store) = opened();
    let writer = store.writer.lock().unwrap();
    let plan = |text: &str| -> String {
        writer.connection.query_row(&format!("EXPLAIN QUERY PLAN {text}"), (), |row| row.get(3)).unwrap()
    };
    assert_eq!(plan("SELECT id FROM tq_task WHERE attempt = 3"), "SCAN tq_task");
}

#[test]
fn a_newer_file_is_refused_and_ours_is_opened_again() {
    let (dir, store) = opened();
    let path = dir.path().join("tasks.db");
    drop(Sqlite::open(&path, SqliteConfig::default()).unwrap());
    store.writer.lock().unwrap().connection.execute("UPDATE tq_schema SET version = 99", ()).unwrap();
    let error = Sqlite::open(&path, SqliteConfig::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("version 99"), "{error}");
}

#[test]
fn a_file_of_somebody_elses_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tasks.db");
    std::fs::write(&path, "no database at all, and long enough to be told from an empty one").unwrap();
    let error = Sqlite::open(&path, SqliteConfig::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema, "{error}");
}

#[test]
fn only_a_soft_batch_does_not_wait_for_the_disk() {
    let (_dir, store) = opened();
    let mut writer = store.writer.lock().unwrap();
    let level = |writer: &Writer| -> i64 {
        writer.connection.query_row("PRAGMA synchronous", (), |row| row.get(0)).unwrap()
    };
    writer.commit(&Batch { sweep: true, ..Batch::default() }).unwrap();
    assert_eq!(level(&writer), 1, "NORMAL");
    let pause = crate::store::Control::Pause("q".into(), true);
    writer.commit(&Batch { control: vec![pause], ..Batch::default() }).unwrap();
    assert_eq!(level(&writer), 2, "FULL");
}

#[test]
fn a_full_disk_is_told_and_nothing_of_the_batch_is_kept() {
    let (_dir, store) = opened();
    let mut writer = store.writer.lock().unwrap();
    let pages: i64 = writer.connection.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
    writer.connection.pragma_update(None, "max_page_count", pages + 8).unwrap();
    let task = |id: u64| crate::store::NewTask {
        id: TaskId(id),
        queue: "q".into(),
        name: "n".into(),
        version: 1,
        payload: "x".repeat(8000),
        priority: crate::priority::Priority::Normal,
        run_at: None,
        max_retries: 0,
        timeout: Duration::from_secs(1),
        unique_key: None,
        group: None,
    };
    writer.reserve(100).unwrap();
    writer.commit(&Batch { enqueue: vec![task(1)], ..Batch::default() }).unwrap();
    let many = Batch { enqueue: (2..50).map(task).collect(), ..Batch::default() };
    let error = failed("commit", writer.commit(&many).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    writer.connection.pragma_update(None, "max_page_count", 100_000).unwrap();
    let kept: i64 =
        writer.connection.query_row("SELECT count(*) FROM tq_task", (), |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
    writer.commit(&many).unwrap();
    assert!(check(&writer.connection).unwrap().is_empty());
}

/// Through the queue: submitters are told at once, what was accepted is kept and runs, and with room again it goes on.
#[tokio::test]
async fn a_full_disk_is_told_to_submitters_and_loses_nothing() {
    use crate::{Config, Draft, Owner, TaskQueue};
    let (_dir, store) = opened();
    let pages = |room: i64| {
        let writer = store.writer.lock().unwrap();
        let used: i64 = writer.connection.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
        writer.connection.pragma_update(None, "max_page_count", used + room).unwrap();
    };
    let config = Config { max_batch: 4, ..Config::default() };
    let owner = Owner::try_new("one").unwrap();
    let queue = TaskQueue::builder(config, Arc::new(store.clone()), owner).build().unwrap();
    let draft = || Draft::raw("n", 1, format!("\"{}\"", "x".repeat(8000)));
    let mut accepted = vec![queue.submit(draft()).await.unwrap().id];
    pages(30);
    let error = loop {
        match queue.submit(draft()).await {
            Ok(placed) => accepted.push(placed.id),
            Err(error) => break error,
        }
        assert!(accepted.len() < 100, "the file grows on");
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(error.is_retryable() && accepted.len() > 3, "{} were accepted", accepted.len());
    pages(10_000);
    accepted.push(queue.submit(draft()).await.unwrap().id);
    let minute = Duration::from_secs(60);
    let mut given = Vec::new();
    while given.len() < accepted.len() {
        let tasks = queue.take(&["default"], 100, minute, minute).await.unwrap();
        for task in &tasks {
            queue.settle(task, crate::store::End::Done("1".to_owned())).await.unwrap();
        }
        given.extend(tasks.into_iter().map(|task| task.id));
    }
    given.sort_unstable();
    assert_eq!(given, accepted, "what was accepted, and nothing else");
    assert!(queue.check().await.unwrap().is_empty());
}
