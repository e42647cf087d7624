//! Any order of joining, landing, giving up, waiting, leaving and forgetting, beside a naive model.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

const TASKS: usize = 6;

#[derive(Clone, Debug)]
enum Step {
    /// A task that does nothing yet wants the key.
    Join(usize, u8),
    Poll(usize),
    Land(usize),
    /// A task is cancelled, whatever it does.
    Cancel(usize),
    Forget(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let task = || 0..TASKS;
    prop_oneof![
        4 => (task(), 0_u8..2).prop_map(|(task, key)| Step::Join(task, key)),
        3 => task().prop_map(Step::Poll),
        3 => task().prop_map(Step::Land),
        2 => task().prop_map(Step::Cancel),
        2 => (0_u8..2).prop_map(Step::Forget),
    ]
}

/// Counts how often a task was woken.
#[derive(Default)]
struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

enum Task {
    Idle,
    /// Leads since this invalidation.
    Leads(Lead<u8, u64>, u64),
    Waits(Pin<Box<Wait<u8, u64>>>, Arc<Woken>),
}

/// With `naive` a forgotten flight publishes all the same: the mistake that the test must see.
fn run(steps: &[Step], naive: bool) -> Result<(), TestCaseError> {
    let board = Board::<u8, u64>::new();
    let mut tasks: Vec<Task> = (0..TASKS).map(|_| Task::Idle).collect();
    // What the cache holds: the number of the invalidation after which its load began.
    let mut cache: HashMap<u8, u64> = HashMap::new();
    let mut invalidations = [0_u64; 2];
    for step in steps {
        match *step {
            Step::Join(task, key) => {
                if !matches!(tasks[task], Task::Idle) {
                    continue;
                }
                let since = invalidations[usize::from(key)];
                tasks[task] = match board.join(&key) {
                    Seat::Lead(lead) => Task::Leads(lead, since),
                    Seat::Wait(wait) => Task::Waits(Box::pin(wait), Arc::default()),
                };
            }
            Step::Poll(task) => {
                let Task::Waits(wait, woken) = &mut tasks[task] else { continue };
                let waker = Waker::from(Arc::clone(woken));
                match wait.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Pending => {}
                    Poll::Ready(Arrival::Landed(_)) => tasks[task] = Task::Idle,
                    Poll::Ready(Arrival::Lead(lead)) => {
                        // Loads anew, and so begins now.
                        let since = invalidations[usize::from(*lead.key())];
                        tasks[task] = Task::Leads(lead, since);
                    }
                }
            }
            Step::Land(task) => {
                if !matches!(tasks[task], Task::Leads(..)) {
                    continue;
                }
                let Task::Leads(lead, since) = std::mem::replace(&mut tasks[task], Task::Idle) else {
                    continue;
                };
                let key = *lead.key();
                let published = lead.land(since, || _ = cache.insert(key, since));
                if naive && !published {
                    cache.insert(key, since);
                }
            }
            Step::Cancel(task) => tasks[task] = Task::Idle,
            Step::Forget(key) => board.forget(&key, || {
                cache.remove(&key);
                invalidations[usize::from(key)] += 1;
            }),
        }
        for (key, since) in &cache {
            prop_assert!(
                *since >= invalidations[usize::from(*key)],
                "a load was published over an invalidation"
            );
        }
    }
    // Everybody can end: as long as somebody waits, somebody leads or has been woken.
    for _ in 0..=2 * TASKS {
        for task in &mut tasks {
            match std::mem::replace(task, Task::Idle) {
                Task::Leads(lead, since) => _ = lead.land(since, || {}),
                Task::Waits(mut wait, woken) => {
                    let waker = Waker::from(Arc::clone(&woken));
                    match wait.as_mut().poll(&mut Context::from_waker(&waker)) {
                        Poll::Pending => *task = Task::Waits(wait, woken),
                        Poll::Ready(Arrival::Landed(_)) => {}
                        Poll::Ready(Arrival::Lead(lead)) => *task = Task::Leads(lead, 0),
                    }
                }
                Task::Idle => {}
            }
        }
    }
    prop_assert!(tasks.iter().all(|task| matches!(task, Task::Idle)), "somebody waits for ever");
    prop_assert_eq!(board.len(), 0, "a flight is left behind");
    Ok(())
}

proptest! {
    #[test]
    fn no_load_is_published_over_a_later_invalidation(steps in proptest::collection::vec(step(), 1..60)) {
        run(&steps, false)?;
    }
}

/// The control: a board that publishes forgotten flights fails the same test.
#[test]
fn the_naive_board_is_caught() {
    let steps = [Step::Join(0, 0), Step::Forget(0), Step::Land(0)];
    assert!(run(&steps, false).is_ok());
    assert!(run(&steps, true).is_err());
}

#[test]
fn of_those_who_wait_one_is_woken_to_lead_and_the_next_when_it_leaves() {
    let board = Board::<u8, u64>::new();
    let Seat::Lead(lead) = board.join(&1) else { unreachable!() };
    let mut waits: Vec<_> = (0..3)
        .map(|_| match board.join(&1) {
            Seat::Wait(wait) => (Box::pin(wait), Arc::new(Woken::default())),
            Seat::Lead(_) => unreachable!(),
        })
        .collect();
    for (wait, woken) in &mut waits {
        let waker = Waker::from(Arc::clone(woken));
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let woken: Vec<Arc<Woken>> = waits.iter().map(|(_, woken)| Arc::clone(woken)).collect();
    let woken = || woken.iter().map(|woken| woken.0.load(Ordering::Relaxed)).collect::<Vec<u64>>();
    drop(lead);
    assert_eq!(woken(), [1, 0, 0]);
    drop(waits.remove(0));
    assert_eq!(woken(), [1, 1, 0], "the woken one left, so the next is");
    drop(waits);
    assert_eq!(board.len(), 0);
}
