//! The texts of the statements, where a test can ask for their plans.

/// Ends and heartbeats in one statement: a place in an array is found by counting.
pub(super) const ROUND: usize = 64;

pub(super) const FACTS: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT, \
    (SELECT coalesce(array_agg(queue), '{}') FROM tq_paused), (SELECT count(*) FROM tq_limit)";

/// What is done in one round trip cannot be given the server's time, so it takes that of the begin of its transaction. It is
/// arithmetic with decimals: as a query of its own it is done once a statement, and not for each row.
macro_rules! begun {
    () => {
        "(SELECT (extract(epoch FROM now()) * 1000000)::BIGINT)"
    };
}

pub(super) const CAPPED: &str = "SELECT EXISTS (SELECT 1 FROM tq_limit)";

pub(super) const RESERVE: &str = "SELECT setval('tq_next', nextval('tq_next') + $1 - 1)";

/// A transaction that was answered by silence may come again: what has moved out already must not come back.
pub(super) const INSERT: &str = "INSERT INTO tq_task (id, state, queue, rank, token, attempt, name, version, priority, \
    run_at, max_retries, timeout_ms, unique_key, grp, gate, cancel, enqueued_at, payload) \
    SELECT n.id, n.state, n.queue, n.rank, 0, 0, n.name, n.version, n.priority, n.run_at, n.max_retries, n.timeout_ms, \
    n.unique_key, n.grp, n.gate, false, $14, n.payload \
    FROM unnest($1::BIGINT[], $2::SMALLINT[], $3::TEXT[], $4::BIGINT[], $5::TEXT[], $6::INTEGER[], $7::SMALLINT[], \
    $8::BIGINT[], $9::INTEGER[], $10::BIGINT[], $11::TEXT[], $12::TEXT[], $13::TEXT[], $15::TEXT[]) \
    AS n (id, state, queue, rank, name, version, priority, run_at, max_retries, timeout_ms, unique_key, grp, gate, payload) \
    WHERE n.id <> ALL (ARRAY(SELECT d.id FROM tq_done d WHERE d.id = ANY ($1::BIGINT[]))) ON CONFLICT DO NOTHING RETURNING id";

/// Tasks of no group and no key that may run at once, and that were not sent before: nothing can be in their way. Arrays that
/// are taken apart as columns pass row by row; `FROM unnest(...)` would first write each of them down.
pub(super) const INSERT_PLAIN: &str = concat!(
    "INSERT INTO tq_task (id, state, queue, rank, token, attempt, name, version, priority, run_at, max_retries, timeout_ms, \
     cancel, enqueued_at, payload) SELECT n.id, 0, n.queue, b.now + n.priority * $8::BIGINT, 0, 0, n.name, n.version, \
     n.priority, b.now, n.max_retries, n.timeout_ms, false, b.now, n.payload FROM (SELECT ",
    begun!(),
    " AS now) b, (SELECT unnest($1::BIGINT[]) AS id, unnest($2::TEXT[]) AS queue, unnest($3::TEXT[]) AS name, \
     unnest($4::INTEGER[]) AS version, unnest($5::SMALLINT[]) AS priority, unnest($6::INTEGER[]) AS max_retries, \
     unnest($7::BIGINT[]) AS timeout_ms, unnest($9::TEXT[]) AS payload) n"
);

pub(super) const HOLDER: &str = "SELECT id FROM tq_task WHERE name = $1 AND unique_key = $2";

/// Whether a row is the run that is told of, at its place in the arrays, and its owner's: the fence. A task has a lease as long as it runs.
/// `state = 2` would say the same, but it would also let the planner walk the index of all leases.
macro_rules! fenced {
    () => {
        "t.id = ANY ($1::BIGINT[]) AND t.lease_until IS NOT NULL \
         AND t.token = ($2::BIGINT[])[array_position($1, t.id)] AND t.owner = $3::TEXT"
    };
}

/// Runs of one owner that end move out, [`ROUND`] at most, no task twice; which these were, in one row.
pub(super) const END_RUNS: &str = concat!(
    "WITH gone AS (DELETE FROM tq_task t WHERE ",
    fenced!(),
    " RETURNING t.*, array_position($1, t.id) AS place), moved AS (INSERT INTO tq_done (id, state, finished_at, queue, name, version, priority, run_at, attempt, max_retries, timeout_ms, \
    unique_key, grp, cancel, enqueued_at, started_at, token, owner, fraction, message, failures, reason, payload, result) \
    SELECT id, ($4::SMALLINT[])[place], coalesce($8::BIGINT, ",
    begun!(),
    "), queue, name, version, priority, run_at, attempt, max_retries, timeout_ms, unique_key, grp, \
    cancel, enqueued_at, started_at, token, owner, fraction, message, coalesce(($7::TEXT[])[place], failures), \
    ($6::TEXT[])[place], payload, ($5::TEXT[])[place] FROM gone RETURNING id) SELECT array_agg(id) FROM moved"
);

/// One unfinished task moves out.
pub(super) const BURY: &str = "WITH gone AS (DELETE FROM tq_task WHERE id = $1 RETURNING *) \
    INSERT INTO tq_done (id, state, finished_at, queue, name, version, priority, run_at, attempt, max_retries, timeout_ms, \
    unique_key, grp, cancel, enqueued_at, started_at, token, owner, fraction, message, failures, reason, payload) \
    SELECT id, $2, $3, queue, name, version, priority, run_at, attempt, max_retries, timeout_ms, unique_key, grp, \
    cancel, enqueued_at, started_at, token, owner, fraction, message, coalesce($5, failures), $4, payload FROM gone";

pub(super) const RUN: &str = "SELECT attempt, priority, cancel, failures FROM tq_task \
    WHERE id = $1 AND lease_until IS NOT NULL AND token = $2 AND owner = $3 FOR UPDATE";

pub(super) const WAIT: &str = "UPDATE tq_task SET state = $2, rank = CASE WHEN $7 THEN least(rank, $3) ELSE $3 END, \
    run_at = $4, attempt = $5, failures = coalesce($6, failures), lease_until = NULL WHERE id = $1";

/// Leases of one owner are prolonged, [`ROUND`] at most, no task twice.
pub(super) const BEAT: &str = concat!(
    "UPDATE tq_task t SET lease_until = coalesce($6::BIGINT, ",
    begun!(),
    ") + ($4::BIGINT[])[array_position($1, t.id)], lease_us = ($4::BIGINT[])[array_position($1, t.id)], \
    fraction = coalesce(($5::DOUBLE PRECISION[])[array_position($1, t.id)], t.fraction), \
    message = coalesce(($7::TEXT[])[array_position($1, t.id)], t.message) WHERE ",
    fenced!(),
    " RETURNING t.id, t.token, t.cancel"
);

pub(super) const DUE: &str = "UPDATE tq_task t SET state = 0, rank = t.run_at + t.priority * $2::BIGINT \
    WHERE t.id = ANY (ARRAY(SELECT id FROM tq_task WHERE state = 1 AND run_at <= $1 ORDER BY run_at, id LIMIT $3 \
    FOR UPDATE SKIP LOCKED))";

/// Not `min`, which is planned as a walk over all that wait when there seem to be few.
pub(super) const NEXT_DUE: &str = "SELECT run_at FROM tq_task WHERE state = 1 ORDER BY run_at, id LIMIT 1";

pub(super) const EXPIRED: &str = "SELECT id, attempt, max_retries, cancel, priority, failures FROM tq_task \
    WHERE state = 2 AND lease_until <= $1 ORDER BY lease_until, id LIMIT $2 FOR UPDATE SKIP LOCKED";

macro_rules! claimed {
    () => {
        "t.id, t.token, t.queue, t.name, t.version, t.payload, t.priority, t.attempt, t.max_retries, t.timeout_ms, \
         t.grp, t.cancel, t.run_at, t.enqueued_at, t.rank"
    };
}

macro_rules! started {
    () => {
        concat!(
            "UPDATE tq_task t SET state = 2, token = greatest(t.token + 1, b.now), owner = $2, lease_until = b.now + $3, \
             lease_us = $3, started_at = b.now, attempt = t.attempt + 1 FROM (SELECT coalesce($1::BIGINT, ",
            begun!(),
            ") AS now) b "
        )
    };
}

/// The first tasks of one queue that no cap holds back and nobody else is about to take; none while any group has a cap.
macro_rules! first {
    () => {
        "t.id = ANY (ARRAY(SELECT id FROM tq_task WHERE state = 0 AND gate IS NULL AND queue = $4 \
         AND NOT EXISTS (SELECT 1 FROM tq_paused WHERE queue = $4) AND NOT EXISTS (SELECT 1 FROM tq_limit) \
         ORDER BY rank, id LIMIT $5 FOR UPDATE SKIP LOCKED)) RETURNING "
    };
}

pub(super) const CLAIM_FIRST: &str = concat!(started!(), "WHERE ", first!(), claimed!());

/// New tasks as [`INSERT_PLAIN`] keeps them, beside a worker that has room for tasks of the queue `$13`. It gets those that wait
/// already, by rank; where it has room for more than these, new ones are born as its own, in the order of `$10`: they are
/// never in the index of what is ready, and not written twice.
pub(super) const INSERT_GIVEN: &str = concat!(
    "WITH b AS MATERIALIZED (SELECT ",
    begun!(),
    " AS now, NOT EXISTS (SELECT 1 FROM tq_paused WHERE queue = $13) AND NOT EXISTS (SELECT 1 FROM tq_limit) AS open), \
     c AS (UPDATE tq_task t SET state = 2, token = greatest(t.token + 1, b.now), owner = $11, lease_until = b.now + $12, \
     lease_us = $12, started_at = b.now, attempt = t.attempt + 1 FROM b WHERE t.id = ANY (ARRAY(SELECT id FROM tq_task \
     WHERE state = 0 AND gate IS NULL AND queue = $13 AND (SELECT open FROM b) ORDER BY rank, id LIMIT $14 \
     FOR UPDATE SKIP LOCKED)) RETURNING ",
    claimed!(),
    "), g AS (SELECT CASE WHEN open THEN $14 - (SELECT count(*) FROM c) ELSE 0 END AS room FROM b), \
     kept AS (INSERT INTO tq_task (id, state, queue, rank, token, attempt, name, version, priority, run_at, max_retries, \
     timeout_ms, cancel, enqueued_at, payload, owner, lease_until, lease_us, started_at) \
     SELECT n.id, CASE WHEN n.place <= g.room THEN 2 ELSE 0 END, n.queue, b.now + n.priority * $8::BIGINT, \
     CASE WHEN n.place <= g.room THEN b.now ELSE 0 END, CASE WHEN n.place <= g.room THEN 1 ELSE 0 END, n.name, n.version, \
     n.priority, b.now, n.max_retries, n.timeout_ms, false, b.now, n.payload, CASE WHEN n.place <= g.room THEN $11 END, \
     CASE WHEN n.place <= g.room THEN b.now + $12 END, CASE WHEN n.place <= g.room THEN $12 END, \
     CASE WHEN n.place <= g.room THEN b.now END \
     FROM b, g, (SELECT unnest($1::BIGINT[]) AS id, unnest($2::TEXT[]) AS queue, unnest($3::TEXT[]) AS name, \
     unnest($4::INTEGER[]) AS version, unnest($5::SMALLINT[]) AS priority, unnest($6::INTEGER[]) AS max_retries, \
     unnest($7::BIGINT[]) AS timeout_ms, unnest($9::TEXT[]) AS payload, unnest($10::BIGINT[]) AS place) n) \
     SELECT c.*, g.room, b.now FROM b CROSS JOIN g LEFT JOIN c ON true"
);

/// The same as a transaction by itself that waits for no disk.
pub(super) const CLAIM_FIRST_SOFT: &str = concat!(
    started!(),
    "WHERE (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL AND ",
    first!(),
    claimed!()
);

/// Tasks that were chosen and locked before.
pub(super) const CLAIM_CHOSEN: &str =
    concat!(started!(), "WHERE t.id = ANY ($4::BIGINT[]) AND t.state = 0 RETURNING ", claimed!());

pub(super) const FREE: &str = "SELECT rank, id FROM tq_task WHERE state = 0 AND gate IS NULL AND queue = $1 \
    ORDER BY rank, id LIMIT $2 FOR UPDATE SKIP LOCKED";

pub(super) const GATED: &str = "SELECT rank, id FROM tq_task WHERE state = 0 AND gate IS NOT NULL AND gate = $1 \
    AND queue = $2 ORDER BY rank, id LIMIT $3 FOR UPDATE SKIP LOCKED";

pub(super) const GATE_RUNNING: &str =
    "SELECT count(*) FROM tq_task WHERE state = 2 AND gate IS NOT NULL AND gate = $1";

pub(super) const PURGE: &str = "DELETE FROM tq_done WHERE id = ANY (ARRAY(SELECT id FROM tq_done \
    WHERE state = $1 AND finished_at < $2 ORDER BY finished_at LIMIT $3))";

/// A record's columns in `tq_task`.
pub(super) const LIVE: &str = "id, state, queue, name, version, priority, run_at, attempt, max_retries, timeout_ms, \
    unique_key, grp, cancel, enqueued_at, started_at, token, owner, fraction, message, failures, payload, lease_until, \
    NULL::BIGINT AS finished_at, NULL::TEXT AS reason, NULL::TEXT AS result";

/// A record's columns in `tq_done`.
pub(super) const FINISHED: &str = "id, state, queue, name, version, priority, run_at, attempt, max_retries, timeout_ms, \
    unique_key, grp, cancel, enqueued_at, started_at, token, owner, fraction, message, failures, payload, \
    NULL::BIGINT AS lease_until, finished_at, reason, result";

pub(super) const SCHEDULES: &str =
    "SELECT name, spec, next, paused, last_due, last_task FROM tq_schedule ORDER BY name";

/// Every statement that runs while tasks flow, for [`Postgres::plans`](super::Postgres::plans).
pub(super) const HOT: [(&str, &str); 19] = [
    ("INSERT", INSERT),
    ("INSERT_PLAIN", INSERT_PLAIN),
    ("INSERT_GIVEN", INSERT_GIVEN),
    ("HOLDER", HOLDER),
    ("END_RUNS", END_RUNS),
    ("BURY", BURY),
    ("RUN", RUN),
    ("WAIT", WAIT),
    ("BEAT", BEAT),
    ("DUE", DUE),
    ("NEXT_DUE", NEXT_DUE),
    ("EXPIRED", EXPIRED),
    ("CLAIM_FIRST", CLAIM_FIRST),
    ("CLAIM_FIRST_SOFT", CLAIM_FIRST_SOFT),
    ("CLAIM_CHOSEN", CLAIM_CHOSEN),
    ("FREE", FREE),
    ("GATED", GATED),
    ("GATE_RUNNING", GATE_RUNNING),
    ("PURGE", PURGE),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards that a statement is not forgotten in [`HOT`], whose plans are looked at.
    #[test]
    fn every_statement_on_tasks_is_hot() {
        let text = include_str!("queries.rs");
        let consts = text.lines().filter_map(|line| line.strip_prefix("pub(super) const "));
        let named: Vec<&str> =
            consts.filter_map(|rest| rest.split_once(": &str")).map(|(name, _)| name).collect();
        assert!(named.len() > 15, "{named:?}");
        for name in named {
            let cold = ["FACTS", "CAPPED", "RESERVE", "LIVE", "FINISHED", "SCHEDULES"].contains(&name);
            assert!(cold != HOT.iter().any(|(hot, _)| *hot == name), "{name}");
        }
    }
}
