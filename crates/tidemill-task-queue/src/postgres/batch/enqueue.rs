//! New tasks are kept, all of them by one statement.

use std::collections::HashSet;

use super::super::queries as sql;
use super::super::rows::get;
use super::Work;
use crate::error::Error;
use crate::id::TaskId;
use crate::record::State;
use crate::schema::{integer, unsigned};
use crate::store::{NewTask, Placed};

impl Work<'_> {
    pub(super) async fn enqueue_all(&self) -> Result<Vec<Placed>, Error> {
        self.enqueue(&self.batch.enqueue.iter().collect::<Vec<_>>()).await
    }

    pub(super) async fn enqueue(&self, tasks: &[&NewTask]) -> Result<Vec<Placed>, Error> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now;
        // In one order everywhere, so that two inserts of the same keys wait for each other and not in a circle.
        let mut order: Vec<&NewTask> = tasks.to_vec();
        order.sort_by(|a, b| (&a.unique_key, a.id).cmp(&(&b.unique_key, b.id)));
        let at = |task: &NewTask| task.run_at.unwrap_or(now);
        let waits = |task: &NewTask| if at(task) > now { State::Delayed } else { State::Ready };
        let column =
            |pick: &dyn Fn(&NewTask) -> i64| order.iter().map(|task| pick(task)).collect::<Vec<i64>>();
        let short =
            |pick: &dyn Fn(&NewTask) -> i64| column(pick).iter().map(|n| *n as i16).collect::<Vec<i16>>();
        let number = |pick: &dyn Fn(&NewTask) -> u32| {
            order.iter().map(|task| i32::try_from(pick(task)).unwrap_or(i32::MAX)).collect::<Vec<i32>>()
        };
        let rows = self
            .query(
                sql::INSERT,
                &[
                    &column(&|task| integer(task.id.0)),
                    &short(&|task| waits(task).code()),
                    &order.iter().map(|task| task.queue.as_str()).collect::<Vec<_>>(),
                    &column(&|task| task.priority.rank(at(task), self.batch.aging)),
                    &order.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(),
                    &number(&|task| task.version),
                    &short(&|task| task.priority.index() as i64),
                    &column(&|task| at(task).0),
                    &number(&|task| task.max_retries),
                    &column(&|task| i64::try_from(task.timeout.as_millis()).unwrap_or(i64::MAX)),
                    &order.iter().map(|task| task.unique_key.as_deref()).collect::<Vec<_>>(),
                    &order.iter().map(|task| task.group.as_deref()).collect::<Vec<_>>(),
                    &order
                        .iter()
                        .map(|task| task.group.as_deref().filter(|group| self.gates.contains_key(*group)))
                        .collect::<Vec<_>>(),
                    &now.0,
                    &order.iter().map(|task| task.payload.as_str()).collect::<Vec<_>>(),
                ],
            )
            .await?;
        let mut kept = HashSet::new();
        for row in &rows {
            kept.insert(unsigned(get(row, 0)?));
        }
        let mut placed = Vec::with_capacity(tasks.len());
        for task in tasks {
            let mut id = task.id;
            if !kept.contains(&task.id.0)
                && let Some(key) = &task.unique_key
            {
                let holder = self.query(sql::HOLDER, &[&task.name, key]).await?;
                let Some(row) = holder.first() else {
                    // It ended in between: the same batch again finds the key free.
                    return Err(Error::unavailable(
                        "keep a task whose key was just freed",
                        "asked too early",
                    ));
                };
                id = TaskId(unsigned(get(row, 0)?));
            }
            // Without a holder it is this very task, asked for twice.
            placed.push(Placed { id, fresh: id == task.id });
        }
        Ok(placed)
    }
}
