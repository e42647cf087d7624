//! A POST in the shape of Alertmanager's webhook, version 4: signed, with a key by which a repetition is known.
//!
//! The shape is that of <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>. Only what changed is in it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Secret;
use super::console::time;
use crate::address::Address;
use crate::alert::active::{Alert, Change, Event};
use crate::alert::matcher::Labels;
use crate::alert::outbox::Notification;
use crate::http::{Answer, Client, Request};

/// What one attempt came to.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The receiver has it.
    Taken,
    /// Not now. After how many seconds, when it says.
    Later(Option<u64>, String),
    /// Never: trying again would not help.
    Refused(String),
}

/// Where a webhook is.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) url: Address,
    pub(crate) secret: Option<Secret>,
    pub(crate) token: Option<Secret>,
    pub(crate) timeout: std::time::Duration,
    /// Where a person sees the alert; empty when nobody said.
    pub(crate) external_url: String,
}

impl Webhook {
    /// Sends one notification once.
    pub(crate) async fn send(&self, client: &Client, now_ms: i64, notification: &Notification) -> Attempt {
        let body = Bytes::from(payload(notification, &self.external_url).to_string());
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("idempotency-key"), value(&notification.key)),
        ];
        if let Some(secret) = &self.secret {
            let signature = format!("t={now_ms},v1={}", sign(secret, now_ms, &body));
            headers.push((HeaderName::from_static("x-tidemill-signature"), value(&signature)));
        }
        headers.extend(
            self.token.as_ref().map(|token| (AUTHORIZATION, value(&format!("Bearer {}", token.reveal())))),
        );
        let (method, url, timeout) = (Method::POST, self.url.uri().clone(), self.timeout);
        judge(client.send(&Request { method, url, headers, body, timeout, max_bytes: 65_536 }).await)
    }
}

/// Whether the receiver has it: any 2xx. What says "not like this" is not tried again.
pub(super) fn judge(answer: anyhow::Result<Answer>) -> Attempt {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Attempt::Later(None, format!("{error:#}")),
    };
    let status = answer.status;
    let words = format!("answered {status}");
    let again = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY | StatusCode::CONFLICT
        )
        // Who may send is set by people, and they mend it.
        || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
    if status.is_success() {
        Attempt::Taken
    } else if again {
        let after =
            answer.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
        Attempt::Later(after, words)
    } else {
        Attempt::Refused(words)
    }
}

/// What a receiver computes to know that it was us: HMAC-SHA-256 of `TIME.BODY`, in hexadecimal.
pub(crate) fn sign(secret: &Secret, now_ms: i64, body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let mut context = ring::hmac::Context::with_key(&key);
    context.update(format!("{now_ms}.").as_bytes());
    context.update(body);
    context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A header's value: what no header may hold becomes `?`.
pub(super) fn value(text: &str) -> HeaderValue {
    let plain: String =
        text.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' }).collect();
    HeaderValue::from_str(&plain).unwrap_or(HeaderValue::from_static("?"))
}

/// The body.
pub(crate) fn payload(notification: &Notification, external_url: &str) -> Value {
    let events = &notification.events;
    let alerts: Vec<Value> = events.iter().map(|event| alert(event, external_url)).collect();
    let firing = events.iter().any(|event| !event.is_end());
    let pairs: Vec<String> =
        notification.group.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let all_labels: Vec<&Labels> = events.iter().map(|event| &event.alert.labels).collect();
    let all_annotations: Vec<Labels> = events.iter().map(|event| annotations(&event.alert)).collect();
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{{}}}", pairs.join(", ")),
        "truncatedAlerts": 0,
        "status": if firing { "firing" } else { "resolved" },
        "receiver": notification.receiver,
        "groupLabels": notification.group,
        "commonLabels": common(&all_labels),
        "commonAnnotations": common(&all_annotations.iter().collect::<Vec<_>>()),
        "externalURL": external_url,
        "alerts": alerts,
    })
}

fn alert(event: &Event, external_url: &str) -> Value {
    let (alert, over) = (&event.alert, event.is_end());
    let ends_at = match event.change {
        Change::Resolved => time(event.at_ms),
        // It happened once: nothing will end it.
        Change::Noticed => time(event.at_ms + 300_000),
        _ => "0001-01-01T00:00:00Z".to_owned(),
    };
    json!({
        "status": if over { "resolved" } else { "firing" },
        "labels": alert.labels,
        "annotations": annotations(alert),
        "startsAt": time(alert.since_ms),
        "endsAt": ends_at,
        "generatorURL": external_url,
        "fingerprint": alert.id,
    })
}

/// What is said beside the labels.
pub(super) fn annotations(alert: &Alert) -> Labels {
    let number = |value: Option<f64>| value.map(|value| value.to_string());
    let all = [
        ("summary", Some(alert.summary.clone())),
        ("description", Some(alert.recommendation.clone()).filter(|text| !text.is_empty())),
        ("value", number(alert.value)),
        ("threshold", number(alert.threshold)),
        ("baseline", number(alert.baseline)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn common(all: &[&Labels]) -> BTreeMap<String, String> {
    let Some((first, rest)) = all.split_first() else { return BTreeMap::new() };
    let shared =
        first.iter().filter(|(name, value)| rest.iter().all(|labels| labels.get(*name) == Some(value)));
    shared.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_everybody_computes() {
        // echo -n '1700000000000.{}' | openssl dgst -sha256 -hmac secret
        let secret = Secret::new("secret".to_owned());
        assert_eq!(
            sign(&secret, 1_700_000_000_000, b"{}"),
            "8399216d111287e3bb28e25c0f4f31dffdf831c68c9ee2b96c2f67c9b81d341b"
        );
        assert_eq!(format!("{secret:?}"), "***");
    }
}
