//! `kill -9` at random moments: four processes enqueue into and work from one file, and each is killed again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::tempdir;
use tidemill_task_queue::{
    Event, EventKind, Filter, Owner, Sqlite, SqliteConfig, State, TaskId, TaskQueue, WorkerConfig,
};

use crate::stage::{Add, LONG, config, queue, sqlite, worker};

const CHILD: &str = "TIDEMILL_TASK_QUEUE_CHILD";
const PROCESSES: usize = 4;

/// What a child said, and only after the store had said so.
#[derive(Default)]
struct Said {
    accepted: BTreeSet<u64>,
    /// How often an end was accepted.
    done: BTreeMap<u64, u32>,
    lines: u64,
}

#[test]
fn killed_processes_lose_no_task_and_end_none_twice() {
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    let kills: u32 = std::env::var("TIDEMILL_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let dir = tempdir().unwrap();
    drop(sqlite(&dir));
    let said = Arc::new(Mutex::new(Said::default()));
    let mut children: Vec<Child> = (0..PROCESSES).map(|n| start(dir.path(), n as u32, &said)).collect();
    let mut random = 7_u64;
    for kill in 0..kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Not before something was said, or a slow machine kills children that did not begin.
        let before = said.lock().unwrap().lines;
        let begun = Instant::now();
        while said.lock().unwrap().lines < before + 5 && begun.elapsed() < LONG {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(random >> 48));
        let child = &mut children[(random >> 33) as usize % PROCESSES];
        child.kill().unwrap();
        child.wait().unwrap();
        *child = start(dir.path(), kill + PROCESSES as u32, &said);
    }
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    judge(dir.path(), &said);
}

#[tokio::main(flavor = "current_thread")]
async fn judge(dir: &Path, said: &Mutex<Said>) {
    let store = Arc::new(Sqlite::open(dir.join("tasks.db"), SqliteConfig::default()).unwrap());
    let queue = queue(store, "judge");
    let work = queue.worker(worker()).register(|Add(a, b), _| async move { Ok(a + b) }).start().unwrap();
    // A pipe's last lines come a little after the kill.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let accepted = said.lock().unwrap().accepted.clone();
    assert!(!accepted.is_empty());
    for id in &accepted {
        let record = queue.wait(TaskId(*id), LONG).await.expect("no accepted task is lost");
        assert_eq!(record.state, State::Done, "task {id}");
    }
    let twice: Vec<_> =
        said.lock().unwrap().done.iter().filter(|(_, n)| **n > 1).map(|(id, _)| *id).collect();
    assert!(twice.is_empty(), "ended twice: {twice:?}");
    assert!(queue.check().await.unwrap().is_empty());
    let hanging = queue.list(Filter { state: Some(State::Running), ..Filter::default() }).await.unwrap();
    assert!(hanging.is_empty(), "{hanging:?}");
    work.close(LONG).await;
}

fn start(dir: &Path, life: u32, said: &Arc<Mutex<Said>>) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{life} {}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (lines, said) = (BufReader::new(child.stdout.take().unwrap()).lines(), said.clone());
    drop(std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let Some((what, id)) = line.split_once(' ') else { continue };
            let Ok(id) = id.parse() else { continue };
            let mut said = said.lock().unwrap();
            match what {
                "@accepted" => _ = said.accepted.insert(id),
                "@done" => *said.done.entry(id).or_default() += 1,
                _ => continue,
            }
            said.lines += 1;
        }
    }));
    child
}

/// The child: runs for as long as it is let, and does nothing in an ordinary run of the tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let (life, dir) = order.split_once(' ').unwrap();
    let store = Arc::new(Sqlite::open(Path::new(dir).join("tasks.db"), SqliteConfig::default()).unwrap());
    let queue = TaskQueue::builder(config(), store, Owner::try_new(format!("life {life}")).unwrap())
        .on_event(|event: &Event| {
            if matches!(event.kind, EventKind::Done { .. }) {
                say("@done", event.id);
            }
        })
        .build()
        .unwrap();
    let lease = Duration::from_millis(1500);
    let _work = queue
        .worker(WorkerConfig { lease, concurrency: 8, ..worker() })
        .register(|Add(a, b), _| async move {
            tokio::time::sleep(Duration::from_millis(u64::from(a % 20))).await;
            Ok(a + b)
        })
        .start()
        .unwrap();
    for n in 0.. {
        // Many retries: a task whose workers are killed four times is a dead letter otherwise, as it should be.
        let draft = tidemill_task_queue::Draft::of(&Add(n, 1)).unwrap().max_retries(1000);
        say("@accepted", queue.submit(draft).await.unwrap().id);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// In one write, so that a kill leaves no half of a line that looks like a whole one.
fn say(what: &str, id: TaskId) {
    _ = std::io::stdout().lock().write_all(format!("\n{what} {id}\n").as_bytes());
}
