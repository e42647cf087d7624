//! Follows redirects: few, to the same host unless others are named, never from https to http. Each hop is a new call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{AUTHORIZATION, COOKIE, LOCATION, PROXY_AUTHORIZATION};
use http::{Method, StatusCode, Uri};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::call::{Answer, Call};
use super::config::Config;
use super::error::{FetchError, FetchErrorKind};
use super::redact::{Redaction, redact_uri};

/// Puts [`Redirect`] over a service. Stands above the permit, so that every hop takes one of its own.
#[derive(Clone, Debug)]
pub struct RedirectLayer {
    rules: Arc<Rules>,
}

#[derive(Debug)]
struct Rules {
    max: usize,
    hosts: Vec<String>,
    redaction: Redaction,
}

impl RedirectLayer {
    /// Follows what `max_redirects` and `redirect_hosts` allow.
    pub fn new(config: &Config) -> Self {
        let redaction = Redaction::new(config.secret_params.iter().cloned());
        let (max, hosts) = (config.max_redirects, config.redirect_hosts.clone());
        Self { rules: Arc::new(Rules { max, hosts, redaction }) }
    }
}

impl<S> Layer<S> for RedirectLayer {
    type Service = Redirect<S>;

    fn layer(&self, inner: S) -> Redirect<S> {
        Redirect { inner, rules: self.rules.clone() }
    }
}

/// The service of [`RedirectLayer`]: `GET` and `HEAD` are followed, other methods get the redirect as their answer.
#[derive(Clone, Debug)]
pub struct Redirect<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S> Service<Call> for Redirect<S>
where
    S: Service<Call, Response = Answer> + Clone,
    S::Error: From<FetchError>,
{
    type Response = Answer;
    type Error = S::Error;
    type Future = Following<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Following<S> {
        // The service that was made ready is the one to use; its clone waits for the next caller.
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        let follows = self.rules.max > 0 && matches!(call.method, Method::GET | Method::HEAD);
        let again = follows.then(|| call.clone());
        let step = Step::Waiting { answer: ready.call(call) };
        Following { service: ready, rules: self.rules.clone(), again, hops: 0, step }
    }
}

pin_project! {
    /// The future of [`Redirect`].
    pub struct Following<S: Service<Call>> {
        service: S,
        rules: Arc<Rules>,
        // The call that is under way, where it may have to be sent elsewhere.
        again: Option<Call>,
        hops: usize,
        #[pin]
        step: Step<S::Future>,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<F> {
        Waiting { #[pin] answer: F },
        Ready,
    }
}

impl<S> Future for Following<S>
where
    S: Service<Call, Response = Answer>,
    S::Error: From<FetchError>,
{
    type Output = Result<Answer, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepProj::Waiting { answer } => {
                    let answer = ready!(answer.poll(cx))?;
                    let Some(call) = this.again.as_mut() else { return Poll::Ready(Ok(answer)) };
                    if !this.rules.advance(call, &answer, *this.hops)? {
                        return Poll::Ready(Ok(answer));
                    }
                    *this.hops += 1;
                    this.step.set(Step::Ready);
                }
                StepProj::Ready => {
                    ready!(this.service.poll_ready(cx))?;
                    let Some(call) = this.again.clone() else { unreachable!("a hop has its call") };
                    let answer = this.service.call(call);
                    this.step.set(Step::Waiting { answer });
                }
            }
        }
    }
}

impl Rules {
    /// Points `call` to where `answer` leads; false when it leads nowhere.
    fn advance(&self, call: &mut Call, answer: &Answer, hops: usize) -> Result<bool, FetchError> {
        let redirects = matches!(
            answer.status,
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        let Some(location) = answer.headers.get(LOCATION).filter(|_| redirects) else { return Ok(false) };
        let failed = |kind, note: String| {
            FetchError::new(kind, true, redact_uri(&call.uri, &self.redaction)).with_note(note)
        };
        if hops >= self.max {
            return Err(failed(FetchErrorKind::TooManyRedirects, format!("{} followed", self.max)));
        }
        let target = location.to_str().ok().and_then(|location| resolve(&call.uri, location));
        let Some(target) = target else {
            return Err(failed(FetchErrorKind::RedirectRefused, "the location is not a uri".to_owned()));
        };
        let shown = redact_uri(&target, &self.redaction).to_string();
        if call.uri.scheme_str() == Some("https") && target.scheme_str() != Some("https") {
            return Err(failed(FetchErrorKind::RedirectRefused, format!("from https to {shown}")));
        }
        let host = target.host().unwrap_or_default();
        let same_host = call.uri.host().is_some_and(|asked| asked.eq_ignore_ascii_case(host));
        if !same_host && !self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)) {
            let note = format!("to {shown}; name the host in http.redirect_hosts to follow");
            return Err(failed(FetchErrorKind::RedirectRefused, note));
        }
        if call.uri.authority() != target.authority() {
            for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                call.headers.remove(name);
            }
        }
        call.uri = target;
        Ok(true)
    }
}

/// The target of a reference against a base (RFC 3986, 5.2); a fragment is dropped.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?.trim();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?.as_str();
    let has_scheme = reference
        .split_once(':')
        .is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)));
    let absolute = if has_scheme {
        reference.to_owned()
    } else if reference.starts_with("//") {
        format!("{scheme}:{reference}")
    } else {
        let base_path = if base.path().is_empty() { "/" } else { base.path() };
        let (path, query) = match reference.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (reference, None),
        };
        let (path, query) = if path.is_empty() {
            (base_path.to_owned(), query.or(base.query()))
        } else if path.starts_with('/') {
            (without_dots(path), query)
        } else {
            let folder = base_path.rfind('/').map_or("/", |end| &base_path[..=end]);
            (without_dots(&format!("{folder}{path}")), query)
        };
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        format!("{scheme}://{authority}{path}{query}")
    };
    let target: Uri = absolute.parse().ok()?;
    let usable =
        matches!(target.scheme_str(), Some("http" | "https")) && target.host().is_some_and(|h| !h.is_empty());
    usable.then_some(target)
}

/// Removes `.` and `..` from an absolute path (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests;
