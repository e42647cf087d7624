//! The decisions alone, without clock or I/O: what becomes of a failed or abandoned attempt, which token is next.

use std::time::Duration;

use crate::id::Token;
use crate::retry::Backoff;
use crate::timestamp::Timestamp;

/// What becomes of a task whose attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt after this delay.
    Retry(Duration),
    /// A dead letter, with its reason.
    Dead(String),
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its code said that another attempt may succeed, perhaps not before so long.
    Error(Option<Duration>),
    /// Its code said that none will.
    Fatal,
    /// It took longer than its timeout.
    Timeout,
    /// It panicked.
    Panic,
}

/// After attempt number `attempt` (from 1) failed by `fault`.
pub fn after_failure(attempt: u32, max_retries: u32, fault: Fault, backoff: Backoff, random: u64) -> Verdict {
    let after = match fault {
        Fault::Fatal => return Verdict::Dead("the task said that no attempt will succeed".to_owned()),
        Fault::Error(after) => after,
        Fault::Timeout | Fault::Panic => None,
    };
    if attempt > max_retries {
        return Verdict::Dead(match fault {
            Fault::Timeout => format!("timed out in the last of {attempt} attempts"),
            Fault::Panic => format!("panicked in the last of {attempt} attempts"),
            _ => format!("failed {attempt} times"),
        });
    }
    Verdict::Retry(backoff.delay(attempt, after, random))
}

/// After a worker had attempt number `attempt` and its lease ended without a word: again at once, as the fault is hardly
/// the task's, but not for ever, as it may be.
pub fn after_expiry(attempt: u32, max_retries: u32) -> Verdict {
    if attempt > max_retries {
        return Verdict::Dead(format!("its worker vanished in the last of {attempt} attempts"));
    }
    Verdict::Retry(Duration::ZERO)
}

/// The token of the next run: above the last, and above any that was given and lost with a power cut, since the clock ran
/// on in between.
pub fn next_token(last: Token, now: Timestamp) -> Token {
    Token((last.0 + 1).max(u64::try_from(now.0).unwrap_or(0)))
}

/// The candidates that come first by (rank, id), at most `limit`.
pub fn first_by_rank(mut candidates: Vec<(i64, u64)>, limit: usize) -> Vec<u64> {
    candidates.sort_unstable();
    candidates.truncate(limit);
    candidates.into_iter().map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_retries_are_four_attempts() {
        let verdict = |attempt, fault| after_failure(attempt, 3, fault, Backoff::NONE, 0);
        for attempt in 1..=3 {
            assert_eq!(verdict(attempt, Fault::Error(None)), Verdict::Retry(Duration::ZERO));
            assert_eq!(verdict(attempt, Fault::Panic), Verdict::Retry(Duration::ZERO));
            assert!(matches!(verdict(attempt, Fault::Fatal), Verdict::Dead(_)));
            assert_eq!(after_expiry(attempt, 3), Verdict::Retry(Duration::ZERO));
        }
        for fault in [Fault::Error(None), Fault::Timeout, Fault::Panic, Fault::Fatal] {
            assert!(matches!(verdict(4, fault), Verdict::Dead(_)));
        }
        assert!(matches!(after_expiry(4, 3), Verdict::Dead(_)));
    }

    #[test]
    fn a_token_rises_also_over_one_that_was_lost() {
        assert_eq!(next_token(Token(5), Timestamp(3)), Token(6));
        assert_eq!(next_token(Token(5), Timestamp(-3)), Token(6));
        let lost = next_token(Token(5), Timestamp(1000));
        assert!(next_token(Token(5), Timestamp(1001)) > lost);
    }

    #[test]
    fn rank_then_id_decides() {
        assert_eq!(first_by_rank(vec![(5, 1), (3, 9), (3, 2), (7, 0)], 3), [2, 9, 1]);
    }
}
