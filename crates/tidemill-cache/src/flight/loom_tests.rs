//! Every interleaving of a leader, of those who wait, and of an invalidation.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p tidemill-cache --lib loom`

use loom::future::block_on;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::*;

/// Loads `key` as a cache does: leads or waits, and says what it got.
async fn load(board: &Arc<Board<u8, u32>>, loads: &AtomicU32) -> u32 {
    let mut seat = board.join(&1);
    loop {
        match seat {
            Seat::Lead(lead) => {
                let value = loads.fetch_add(1, Ordering::Relaxed) + 1;
                lead.land(value, || {});
                return value;
            }
            Seat::Wait(wait) => match wait.await {
                Arrival::Landed(value) => return value,
                Arrival::Lead(lead) => seat = Seat::Lead(lead),
            },
        }
    }
}

/// Three threads are too many for all interleavings; those with up to three preemptions are tried.
#[test]
fn a_dropped_leader_hands_over() {
    let mut some = loom::model::Builder::new();
    some.preemption_bound = Some(3);
    some.check(|| {
        let board = Board::new();
        let loads = Arc::new(AtomicU32::new(0));
        let Seat::Lead(lead) = board.join(&1) else { unreachable!() };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (board, loads) = (Arc::clone(&board), Arc::clone(&loads));
                thread::spawn(move || block_on(load(&board, &loads)))
            })
            .collect();
        drop(lead);
        threads.into_iter().for_each(|thread| assert!(thread.join().unwrap() > 0));
        assert_eq!(board.len(), 0, "nothing is left behind");
    });
}

#[test]
fn who_waits_is_told() {
    loom::model(|| {
        let board = Board::new();
        let Seat::Lead(lead) = board.join(&1) else { unreachable!() };
        let other = {
            let board = Arc::clone(&board);
            thread::spawn(move || block_on(load(&board, &AtomicU32::new(100))))
        };
        assert!(lead.land(7, || {}));
        assert!([7, 101].contains(&other.join().unwrap()));
        assert_eq!(board.len(), 0);
    });
}

/// A cell stands for the cache: after the invalidation it never holds what was loaded before.
#[test]
fn a_forgotten_flight_publishes_nothing() {
    loom::model(|| {
        let board = Board::<u8, u32>::new();
        let cell = Arc::new(AtomicU32::new(0));
        let Seat::Lead(lead) = board.join(&1) else { unreachable!() };
        let invalidation = {
            let (board, cell) = (Arc::clone(&board), Arc::clone(&cell));
            thread::spawn(move || board.forget(&1, || cell.store(0, Ordering::Relaxed)))
        };
        lead.land(7, || cell.store(7, Ordering::Relaxed));
        invalidation.join().unwrap();
        assert_eq!(cell.load(Ordering::Relaxed), 0);
    });
}
