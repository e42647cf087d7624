//! What workers want: tasks, as many as they have room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::id::Owner;
use crate::store::Claim;

/// A worker that wants tasks, for as long as it takes.
pub(crate) struct Wish {
    pub(super) owner: Owner,
    queues: Vec<String>,
    lease: Duration,
    room: Arc<Room>,
    /// Of the room, what this wish holds while it is under way.
    reserved: usize,
}

impl Wish {
    pub(crate) fn new(owner: Owner, queues: Vec<String>, lease: Duration, room: Arc<Room>) -> Self {
        Self { owner, queues, lease, room, reserved: 0 }
    }

    pub(super) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.room, &other.room)
    }

    /// Takes its share of the room; whether there was any.
    pub(super) fn reserve(&mut self) -> bool {
        let share = |free: usize| free.div_ceil(self.room.wishes);
        let before = self
            .room
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| Some(free - share(free)));
        self.reserved = share(before.unwrap_or_else(|free| free));
        self.reserved > 0
    }

    /// So much of it is taken, the rest is free again.
    pub(super) fn used(&mut self, count: usize) {
        self.room.leave(std::mem::take(&mut self.reserved).saturating_sub(count));
    }

    pub(super) fn claim(&self) -> Claim {
        Claim {
            owner: self.owner.clone(),
            queues: self.queues.clone(),
            limit: self.reserved,
            lease: self.lease,
        }
    }
}

/// How many tasks a worker has room for at this moment, over all of its wishes.
pub(crate) struct Room {
    free: AtomicUsize,
    wishes: usize,
}

impl Room {
    /// For so many wishes at a time, of which each takes its share of what is free when its turn comes.
    pub(crate) fn new(free: usize, wishes: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(free), wishes: wishes.max(1) })
    }

    pub(crate) fn is_free(&self) -> bool {
        self.free.load(Ordering::Relaxed) > 0
    }

    /// So many tasks have left.
    pub(crate) fn leave(&self, count: usize) {
        self.free.fetch_add(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_of_one_worker_never_hold_more_than_its_room() {
        let room = Room::new(5, 2);
        let wish =
            || Wish::new(Owner::try_new("me").unwrap(), vec!["default".into()], Duration::ZERO, room.clone());
        let (mut first, mut second, mut third) = (wish(), wish(), wish());
        assert!(first.reserve() && second.reserve() && third.reserve());
        assert_eq!([&first, &second, &third].map(|wish| wish.claim().limit), [3, 1, 1]);
        assert!(!wish().reserve() && !room.is_free());
        first.used(1);
        second.used(0);
        assert!(room.is_free() && first.is_of(&second));
        assert!(first.reserve());
        assert_eq!(first.claim().limit, 2, "of the three that are free");
    }
}
