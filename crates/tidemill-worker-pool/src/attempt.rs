//! Where the future of an attempt stands: a small one in the job itself, a large one in a box.

use std::future::Future;
use std::pin::Pin;

/// Where the future of an attempt stands.
pub(crate) trait Attempt {
    type Future: Future;

    fn new(future: Self::Future) -> Self;
    fn get(self: Pin<&mut Self>) -> Pin<&mut Self::Future>;
}

/// In the job itself: no allocation when it starts, and as many bytes more while it waits.
pub(crate) struct Inside<Fut>(Fut);

impl<Fut: Future> Attempt for Inside<Fut> {
    type Future = Fut;

    #[inline]
    fn new(future: Fut) -> Self {
        Self(future)
    }

    #[inline]
    fn get(self: Pin<&mut Self>) -> Pin<&mut Fut> {
        // SAFETY: it is pinned as a part of what is pinned; nothing else hands out or moves it, and it has no `Drop`.
        unsafe { self.map_unchecked_mut(|inside| &mut inside.0) }
    }
}

impl<Fut: Future> Attempt for Pin<Box<Fut>> {
    type Future = Fut;

    #[inline]
    fn new(future: Fut) -> Self {
        Box::pin(future)
    }

    #[inline]
    fn get(self: Pin<&mut Self>) -> Pin<&mut Fut> {
        self.get_mut().as_mut()
    }
}
