//! Panics of users' code, caught and put into words.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// A future whose panic is an error, also one on being dropped after it.
pub(crate) async fn guard<T>(future: Pin<Box<dyn Future<Output = T> + Send>>) -> Result<T, String> {
    let mut future = Some(future);
    poll_fn(|cx| {
        let Some(running) = future.as_mut() else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            ended => {
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(future.take())));
                Poll::Ready(match (ended, dropped) {
                    (Ok(Poll::Ready(value)), Ok(())) => Ok(value),
                    (Err(says), _) | (_, Err(says)) => Err(message(&*says)),
                    (Ok(Poll::Pending), Ok(())) => Err(String::new()),
                })
            }
        }
    })
    .await
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is no text".to_owned()
    }
}
