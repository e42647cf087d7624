//! Reads on the connection that everything else uses: of a cluster, and wherever there is none for reads alone.

use std::sync::Arc;

use redis::{FromRedisValue as _, RedisError, RedisResult, Value};
use tokio::sync::{mpsc, oneshot};

use super::link::{Disconnected, Shared, Target, lock};

/// Keys of one round trip.
const BATCH: usize = 256;

/// A key, and who waits for its bytes.
pub(super) struct Want {
    pub(super) key: Vec<u8>,
    pub(super) reply: oneshot::Sender<Result<Option<Vec<u8>>, RedisError>>,
}

/// One MGET after the other, each of what was wanted while the last was on its way.
pub(super) async fn serve(shared: Arc<Shared>, mut wanted: mpsc::Receiver<Want>) {
    let mut wants = Vec::with_capacity(BATCH);
    let mut last = 0;
    while wanted.recv_many(&mut wants, BATCH).await > 0 {
        if last > 1 {
            // Those who got the last answers are about to ask again: they go into the same round trip.
            tokio::task::yield_now().await;
            while wants.len() < BATCH
                && let Ok(want) = wanted.try_recv()
            {
                wants.push(want);
            }
        }
        last = wants.len();
        let values = match shared.connection() {
            Ok(mut connection) => {
                if let Target::Server(_) = shared.target {
                    let mut mget = redis::cmd("MGET");
                    wants.iter().for_each(|want| _ = mget.arg(&want.key[..]));
                    let values = mget.query_async::<Vec<Value>>(&mut connection).await;
                    values.map(|values| values.into_iter().map(Ok).collect())
                } else {
                    // Keys of several slots share no command, but they share the round trip, and each has an error of its own.
                    let mut gets = redis::pipe();
                    wants.iter().for_each(|want| _ = gets.get(&want.key[..]));
                    gets.ignore_errors().query_async::<Vec<RedisResult<Value>>>(&mut connection).await
                }
            }
            // Dropped replies tell it.
            Err(Disconnected) => {
                wants.clear();
                continue;
            }
        };
        match values {
            Ok(values) => {
                for (want, value) in wants.drain(..).zip(values) {
                    let bytes = |value| Option::<Vec<u8>>::from_redis_value(value).map_err(RedisError::from);
                    _ = want.reply.send(value.and_then(bytes));
                }
            }
            Err(error) => {
                if let Target::Slot { .. } = shared.target {
                    // Perhaps it is not the master any more.
                    *lock(&shared.connection) = None;
                    shared.lost.notify_one();
                }
                wants.drain(..).for_each(|want| _ = want.reply.send(Err(error.clone())));
            }
        }
    }
}
