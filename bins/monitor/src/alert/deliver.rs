//! Brings notifications to one receiver, in order, and tries again with growing pauses.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::outbox::Notification;
use super::receiver::alertmanager::Alertmanager;
use super::receiver::log::Log;
use super::receiver::webhook::{Attempt, Webhook};
use super::receiver::{ReceiverConfig, ReceiverKind, Secret, console};
use super::service::{Shared, asked_to_stop};
use super::standing::millis;
use crate::address::Address;
use crate::http::Client;

/// The first pause; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest.
const LAST_PAUSE: Duration = Duration::from_secs(300);

/// How one receiver is told.
#[derive(Debug)]
pub(super) enum Way {
    Console,
    Log(Arc<Log>),
    Webhook(Webhook),
    Alertmanager(Alertmanager),
}

impl Way {
    pub(super) fn new(
        receiver: &ReceiverConfig,
        folder: &Path,
        url: Option<Address>,
        secret: Option<Secret>,
        token: Option<Secret>,
        external_url: &str,
    ) -> Result<Self, String> {
        let external_url = external_url.to_owned();
        let wanted = || url.clone().ok_or_else(|| format!("alert receiver {:?}: no address", receiver.name));
        Ok(match receiver.kind {
            ReceiverKind::Console => Self::Console,
            ReceiverKind::Log => {
                let path = folder.join(receiver.path.as_deref().unwrap_or(Path::new("alerts.jsonl")));
                Self::Log(Arc::new(Log::new(path, receiver.max_bytes, receiver.keep)))
            }
            ReceiverKind::Webhook => Self::Webhook(Webhook {
                url: wanted()?,
                secret,
                token,
                timeout: receiver.timeout,
                external_url,
            }),
            ReceiverKind::Alertmanager => Self::Alertmanager(Alertmanager {
                url: wanted()?,
                token,
                config: receiver.clone(),
                external_url,
            }),
        })
    }
}

/// Delivers until it is stopped and nothing waits.
pub(super) async fn run(
    shared: Arc<Shared>,
    client: Client,
    receiver: ReceiverConfig,
    way: Way,
    wake: Arc<Notify>,
    stopped: watch::Receiver<bool>,
) {
    match &way {
        Way::Alertmanager(manager) => resend(&shared, &client, manager, &wake, stopped).await,
        _ => queued(&shared, &client, &receiver, &way, &wake, stopped).await,
    }
}

async fn queued(
    shared: &Shared,
    client: &Client,
    receiver: &ReceiverConfig,
    way: &Way,
    wake: &Notify,
    mut stopped: watch::Receiver<bool>,
) {
    let mut failures = 0_u32;
    loop {
        let next = shared.inner.lock().await.outbox.next(&receiver.name).cloned();
        let Some(notification) = next else {
            if *stopped.borrow() {
                return;
            }
            tokio::select! {
                () = wake.notified() => {}
                () = asked_to_stop(&mut stopped) => {}
            }
            continue;
        };
        let now_ms = (shared.clock)();
        let attempt = if now_ms - notification.at_ms > millis(shared.keep_trying) {
            Attempt::Refused("nobody took it in time".to_owned())
        } else {
            once(client, way, now_ms, &notification).await
        };
        let (name, key) = (receiver.name.as_str(), notification.key.as_str());
        match attempt {
            Attempt::Taken => {
                shared.inner.lock().await.outbox.done(name, key);
                shared.delivered.fetch_add(1, Ordering::Relaxed);
                // Stored within a second; until then a crash repeats it, by the same key.
                shared.dirty.store(true, Ordering::Relaxed);
                failures = 0;
            }
            Attempt::Refused(why) => {
                tracing::error!(receiver = name, key, why, "a notification is given up");
                shared.inner.lock().await.outbox.give_up(name, key);
                shared.error("delivery");
                shared.dirty.store(true, Ordering::Relaxed);
                failures = 0;
            }
            Attempt::Later(after, why) => {
                if failures == 0 {
                    tracing::warn!(receiver = name, key, why, "a notification is tried again");
                    shared.error("delivery");
                }
                wait(pause(failures, key, after), &mut stopped).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}

async fn once(client: &Client, way: &Way, now_ms: i64, notification: &Notification) -> Attempt {
    let written = match way {
        Way::Webhook(webhook) => return webhook.send(client, now_ms, notification).await,
        Way::Console => console::write(notification, &mut std::io::stdout().lock()),
        Way::Log(log) => {
            let (log, notification) = (Arc::clone(log), notification.clone());
            let written = tokio::task::spawn_blocking(move || log.write(&notification)).await;
            written.map_err(std::io::Error::other).and_then(|written| written)
        }
        Way::Alertmanager(_) => Ok(()),
    };
    match written {
        Ok(()) => Attempt::Taken,
        // Nobody reads the output any more; there is nobody to try again for.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Attempt::Taken,
        Err(error) => Attempt::Later(None, error.to_string()),
    }
}

/// Everything that fires, at each change and again in its time.
async fn resend(
    shared: &Shared,
    client: &Client,
    manager: &Alertmanager,
    wake: &Notify,
    mut stopped: watch::Receiver<bool>,
) {
    let mut failures = 0_u32;
    loop {
        let all = manager.body(&shared.inner.lock().await.engine, (shared.clock)());
        let attempt = if all.is_empty() { Attempt::Taken } else { manager.send(client, &all).await };
        let name = manager.config.name.as_str();
        let rest = match attempt {
            Attempt::Taken => {
                failures = 0;
                manager.config.resend
            }
            Attempt::Refused(why) | Attempt::Later(_, why) => {
                if failures == 0 {
                    tracing::warn!(
                        receiver = name,
                        why,
                        "alertmanager has not taken the alerts; tried again"
                    );
                    shared.error("delivery");
                }
                failures = failures.saturating_add(1);
                pause(failures - 1, name, None).min(manager.config.resend)
            }
        };
        if *stopped.borrow() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = wake.notified(), if failures == 0 => {}
            () = asked_to_stop(&mut stopped) => {}
        }
    }
}

/// Waits, but not after somebody asked us to stop: then it is tried once a quarter of a second until the deadline.
async fn wait(span: Duration, stopped: &mut watch::Receiver<bool>) {
    if *stopped.borrow() {
        return tokio::time::sleep(Duration::from_millis(250)).await;
    }
    tokio::select! {
        () = tokio::time::sleep(span) => {}
        () = asked_to_stop(stopped) => {}
    }
}

/// Doubles from half a second to five minutes, and differs between notifications by up to a quarter, so that many monitors do not
/// come back at once. What the receiver asks for counts when it is longer, up to the same bound.
fn pause(failures: u32, key: &str, after: Option<u64>) -> Duration {
    let grown = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LAST_PAUSE);
    let spread: u32 =
        key.bytes().fold(failures, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let grown = grown.mul_f64(0.75 + f64::from(spread % 256) / 1024.0);
    grown.max(Duration::from_secs(after.unwrap_or(0))).min(LAST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert!(pause(0, "a", None) >= Duration::from_millis(375) && pause(0, "a", None) <= FIRST_PAUSE);
        assert!(pause(40, "a", None) <= LAST_PAUSE && pause(40, "a", None) > Duration::from_secs(200));
        assert_eq!(pause(0, "a", Some(17)), Duration::from_secs(17));
        assert_eq!(pause(0, "a", Some(u64::MAX)), LAST_PAUSE);
        assert_ne!(pause(5, "a", None), pause(5, "b", None));
    }
}
