//! What a message's headers say about keeping it: RFC 9111's `Cache-Control`, `Age`, `Vary` and validators.

use std::time::Duration;

use http::header::{AGE, AUTHORIZATION, CACHE_CONTROL, ETAG, LAST_MODIFIED, RANGE, VARY};
use http::{HeaderMap, HeaderName, Method, StatusCode};

/// Directives of `Cache-Control` that matter here; of a number that is none, nothing is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    private: bool,
    public: bool,
    max_age: Option<Duration>,
    shared_max_age: Option<Duration>,
}

impl Control {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        for directive in values.flat_map(|value| value.split(',')) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            // A number that cannot be read is the past: better to ask again.
            let seconds = || Some(Duration::from_secs(value.trim().trim_matches('"').parse().unwrap_or(0)));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" => control.no_store = true,
                "no-cache" => control.no_cache = true,
                "private" => control.private = true,
                "public" => control.public = true,
                "max-age" => control.max_age = seconds(),
                "s-maxage" => control.shared_max_age = seconds(),
                _ => {}
            }
        }
        control
    }
}

/// Whether an answer to this request may come from the cache, or go into it.
pub(super) fn may_ask(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::GET && !headers.contains_key(RANGE) && !Control::of(headers).no_store
}

/// How long the answer is fresh, when it may be kept at all: `None` is not to be kept. A cache that many share keeps nothing
/// private, and what was asked with a password only when it is public.
pub(super) fn keep(
    status: StatusCode,
    request: &HeaderMap,
    answer: &HeaderMap,
    default: Duration,
) -> Option<Duration> {
    let control = Control::of(answer);
    let keepable = matches!(status.as_u16(), 200 | 203 | 204 | 301 | 404 | 410);
    if !keepable
        || control.no_store
        || control.private
        || !may_have(request, answer)
        || varying(answer).is_none()
    {
        return None;
    }
    let said = control.shared_max_age.or(control.max_age);
    let age = answer
        .get(AGE)
        .and_then(|age| age.to_str().ok()?.trim().parse().ok())
        .map_or(Duration::ZERO, Duration::from_secs);
    let life = if control.no_cache { Duration::ZERO } else { said.unwrap_or(default).saturating_sub(age) };
    // Without life it is worth keeping only to ask whether it has changed.
    let can_ask = answer.contains_key(ETAG) || answer.contains_key(LAST_MODIFIED);
    (!life.is_zero() || can_ask).then_some(life)
}

/// Whether this asker may have an answer that others have too: with a password, only what is said to be for everybody.
pub(super) fn may_have(request: &HeaderMap, answer: &HeaderMap) -> bool {
    let control = Control::of(answer);
    !request.contains_key(AUTHORIZATION) || control.public || control.shared_max_age.is_some()
}

/// The request headers on which the answer depends; `None`: on something no header says, or on too many.
pub(super) fn varying(answer: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in answer.get_all(VARY) {
        for name in value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            names.push(
                HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| name != "*" && names.len() < 16)?,
            );
        }
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    Some(names)
}

/// Whether a validator that the asker has is this one; weak comparison, as `If-None-Match` wants it.
pub(super) fn matches(asked: &str, etag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    asked.trim() == "*" || asked.split(',').any(|tag| strong(tag) == strong(etag))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn an_answer_is_kept_as_its_headers_say() {
        let none = HeaderMap::new();
        let keeps = |request: &HeaderMap, pairs: &[(&'static str, &'static str)]| {
            keep(StatusCode::OK, request, &headers(pairs), Duration::from_secs(5)).map(|life| life.as_secs())
        };
        let secret = headers(&[("authorization", "Bearer x")]);
        assert_eq!(keeps(&none, &[("cache-control", "Max-Age=60, public")]), Some(60));
        assert_eq!(
            keeps(&none, &[("cache-control", "max-age=60, s-maxage=\"90\""), ("age", "30")]),
            Some(60)
        );
        assert_eq!(keeps(&none, &[]), Some(5), "the default");
        assert_eq!(keeps(&none, &[("cache-control", "max-age=soon")]), None);
        assert_eq!(keeps(&none, &[("cache-control", "no-cache"), ("etag", "\"1\"")]), Some(0));
        for not in ["no-store", "private", "max-age=0", "no-cache"] {
            let value = HeaderValue::from_static(not);
            let answer: HeaderMap = [(CACHE_CONTROL, value)].into_iter().collect();
            assert_eq!(keep(StatusCode::OK, &none, &answer, Duration::ZERO), None, "{not}");
        }
        assert_eq!(keeps(&secret, &[("cache-control", "max-age=60")]), None);
        assert_eq!(keeps(&secret, &[("cache-control", "public, max-age=60")]), Some(60));
        assert_eq!(keeps(&none, &[("vary", "*")]), None);
        assert_eq!(keep(StatusCode::BAD_GATEWAY, &none, &none, Duration::from_secs(5)), None);
    }

    #[test]
    fn varying_is_sorted_and_bounded() {
        let answer = headers(&[("vary", "accept-language, Accept,accept")]);
        let names: Vec<String> = varying(&answer).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["accept", "accept-language"]);
        assert_eq!(varying(&headers(&[("vary", "accept, *")])), None);
        assert_eq!(varying(&headers(&[("vary", "not a name")])), None);
    }

    #[test]
    fn validators_are_compared_weakly() {
        assert!(matches("\"a\", W/\"b\"", "\"b\"") && matches("*", "\"b\"") && matches("W/\"b\"", "W/\"b\""));
        assert!(!matches("\"a\"", "\"b\""));
    }
}
