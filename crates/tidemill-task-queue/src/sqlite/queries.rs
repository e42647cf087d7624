//! The texts of the hot statements, where a test can ask for their plans.

use super::rows::CLAIMED;

pub(super) const INSERT: &str = "INSERT INTO tq_task (id, state, queue, rank, token, attempt, name, version, \
    priority, run_at, max_retries, timeout_ms, unique_key, grp, gate, cancel, enqueued_at, payload) \
    VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0, ?14, ?15) ON CONFLICT DO NOTHING";

/// What a batch that is asked for again has kept may have ended since.
pub(super) const ENDED: &str = "SELECT 1 FROM tq_done WHERE id = ?1";

pub(super) const HOLDER: &str = "SELECT id FROM tq_task WHERE name = ?1 AND unique_key = ?2";

/// The first tasks of one queue that no cap holds back, at once.
pub(super) fn claim_first() -> String {
    format!(
        "UPDATE tq_task SET {STARTED} WHERE id IN (SELECT id FROM tq_task INDEXED BY tq_ready \
         WHERE state = 0 AND gate IS NULL AND queue = ?5 ORDER BY rank, id LIMIT ?6) RETURNING {CLAIMED}"
    )
}

/// One task, chosen before.
pub(super) fn claim_one() -> String {
    format!("UPDATE tq_task SET {STARTED} WHERE id = ?5 AND state = 0 RETURNING {CLAIMED}")
}

const STARTED: &str = "state = 2, token = max(token + 1, ?1), owner = ?2, lease_until = ?3, lease_us = ?4, \
    started_at = ?1, attempt = attempt + 1";

pub(super) const FREE: &str = "SELECT rank, id FROM tq_task WHERE state = 0 AND gate IS NULL AND queue = ?1 \
    ORDER BY rank, id LIMIT ?2";

pub(super) const GATED: &str = "SELECT rank, id FROM tq_task WHERE state = 0 AND gate IS NOT NULL AND gate = ?1 \
    AND queue = ?2 ORDER BY rank, id LIMIT ?3";

pub(super) const GATE_RUNNING: &str =
    "SELECT count(*) FROM tq_task WHERE state = 2 AND gate IS NOT NULL AND gate = ?1";

pub(super) const DUE: &str =
    "SELECT id, run_at, priority FROM tq_task WHERE state = 1 AND run_at <= ?1 ORDER BY run_at, id LIMIT ?2";

pub(super) const NEXT_DUE: &str = "SELECT min(run_at) FROM tq_task WHERE state = 1";

pub(super) const EXPIRED: &str = "SELECT id, attempt, max_retries, cancel, priority, failures FROM tq_task \
    WHERE state = 2 AND lease_until <= ?1 ORDER BY lease_until, id LIMIT ?2";

/// A run moves out when it ends; `?1` to `?3` are state, time and result.
pub(super) const BURY_RUN: &str = "INSERT INTO tq_done (id, state, finished_at, queue, name, version, priority, \
    run_at, attempt, max_retries, timeout_ms, unique_key, grp, cancel, enqueued_at, started_at, token, owner, \
    fraction, message, failures, reason, payload, result) SELECT id, ?1, ?2, queue, name, version, priority, \
    run_at, attempt, max_retries, timeout_ms, unique_key, grp, cancel, enqueued_at, started_at, token, owner, \
    fraction, message, failures, ?4, payload, ?3 FROM tq_task WHERE id = ?5 AND state = 2 AND token = ?6 AND owner = ?7";

/// Any unfinished task moves out.
pub(super) const BURY: &str = "INSERT INTO tq_done (id, state, finished_at, queue, name, version, priority, \
    run_at, attempt, max_retries, timeout_ms, unique_key, grp, cancel, enqueued_at, started_at, token, owner, \
    fraction, message, failures, reason, payload) SELECT id, ?1, ?2, queue, name, version, priority, \
    run_at, attempt, max_retries, timeout_ms, unique_key, grp, cancel, enqueued_at, started_at, token, owner, \
    fraction, message, failures, ?3, payload FROM tq_task WHERE id = ?4";

pub(super) const FORGET: &str = "DELETE FROM tq_task WHERE id = ?1";

pub(super) const RUN: &str = "SELECT attempt, priority, cancel, failures FROM tq_task WHERE id = ?1 AND state = 2 AND token = ?2 AND owner = ?3";

/// Back to waiting; `?2` to `?4` are state, rank and time.
pub(super) const WAIT: &str = "UPDATE tq_task SET state = ?2, rank = CASE WHEN ?7 THEN min(rank, ?3) ELSE ?3 END, \
    run_at = ?4, attempt = ?5, failures = ?6, lease_until = NULL WHERE id = ?1";

pub(super) const WAKE: &str = "UPDATE tq_task SET state = 0, rank = ?2 WHERE id = ?1";

pub(super) const BEAT: &str = "UPDATE tq_task SET lease_until = ?4, lease_us = ?5, \
    fraction = coalesce(?6, fraction), message = coalesce(?7, message) \
    WHERE id = ?1 AND state = 2 AND token = ?2 AND owner = ?3 RETURNING cancel";

pub(super) const PURGE: &str = "DELETE FROM tq_done WHERE id IN \
    (SELECT id FROM tq_done WHERE state = ?1 AND finished_at < ?2 ORDER BY finished_at LIMIT ?3)";

/// Every statement that runs while tasks flow.
#[cfg(test)]
pub(super) fn hot() -> Vec<String> {
    let fixed = [
        HOLDER,
        FREE,
        GATED,
        GATE_RUNNING,
        DUE,
        NEXT_DUE,
        EXPIRED,
        BURY_RUN,
        BURY,
        FORGET,
        RUN,
        WAIT,
        WAKE,
        BEAT,
        PURGE,
    ];
    let mut all: Vec<String> = fixed.map(str::to_owned).into();
    all.extend([claim_first(), claim_one()]);
    all
}
