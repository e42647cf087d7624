//! The steps that a server must do as one.

use std::ops::Deref;
use std::sync::LazyLock;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisResult, Script};

/// A script, which servers know by its digest, and its text for those that may not.
pub(super) struct Step {
    text: &'static str,
    script: Script,
}

impl Step {
    fn new(text: &'static str) -> Self {
        Self { text, script: Script::new(text) }
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        key: &[u8],
        arguments: &[&[u8]],
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<T> {
        let mut script = self.script.key(key);
        arguments.iter().for_each(|argument| _ = script.arg(*argument));
        script.invoke_async(connection).await
    }

    pub(super) fn in_full(&self, key: &[u8], arguments: &[&[u8]]) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.text).arg(1).arg(key);
        arguments.iter().for_each(|argument| _ = command.arg(*argument));
        command
    }
}

impl Deref for Step {
    type Target = Script;

    fn deref(&self) -> &Script {
        &self.script
    }
}

/// What stands in the key, or nothing: then the token of `ARGV[1]` stands there for `ARGV[2]` milliseconds.
pub(super) static CLAIM: LazyLock<Step> = LazyLock::new(|| {
    Step::new(
        "local there = redis.call('GET', KEYS[1]) \
         if there then return there end \
         redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) \
         return false",
    )
});

/// The value `ARGV[2]` in place of the claim `ARGV[1]`, for `ARGV[3]` milliseconds (0: for ever); says whether it stood there.
pub(super) static FILL: LazyLock<Step> = LazyLock::new(|| {
    Step::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
         if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2]) \
         else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end \
         return 1",
    )
});

/// Takes the claim `ARGV[1]` away, if it still stands there.
pub(super) static RELEASE: LazyLock<Step> = LazyLock::new(|| {
    Step::new("if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 0")
});

/// Begins the next generation and writes its number at the field `ARGV[1]`. `ARGV[2]` names the counter's life when there is
/// none yet.
pub(super) static STRIKE: LazyLock<Step> = LazyLock::new(|| {
    Step::new(
        "redis.call('HSETNX', KEYS[1], 'life', ARGV[2]) \
         redis.call('HSET', KEYS[1], ARGV[1], redis.call('HINCRBY', KEYS[1], 'n', 1)) \
         return redis.call('HGETALL', KEYS[1])",
    )
});

/// All generations, after making sure that their counter has a life.
pub(super) static GENERATIONS: LazyLock<Step> = LazyLock::new(|| {
    Step::new("redis.call('HSETNX', KEYS[1], 'life', ARGV[1]) return redis.call('HGETALL', KEYS[1])")
});
