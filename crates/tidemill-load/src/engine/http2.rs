//! HTTP/2 by hyper: every seat is a stream, and so many seats share a connection.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Mutex;

use crate::answer::Answer;
use crate::ask::Ask;
use crate::cookies::Jar;
use crate::engine::dial::Dialer;
use crate::engine::{Engine, Link};
use crate::failure::Failure;
use crate::template::{Place, Values};

/// Connections that streams share.
pub(crate) struct Http2 {
    pub(crate) dialer: Dialer,
    /// The most seats on one connection.
    pub(crate) streams: usize,
    /// `http` or `https`, and the host.
    pub(crate) origin: String,
    /// The newest connection and how many seats it has.
    pub(crate) newest: Mutex<Option<(SendRequest<Full<Bytes>>, usize)>>,
}

/// One seat.
pub(crate) struct Seat {
    sender: SendRequest<Full<Bytes>>,
    origin: String,
}

impl Engine for Http2 {
    type Link = Seat;

    async fn connect(&self) -> Result<Seat, Failure> {
        // Held while connecting, so that seats that come together share what the first of them opens.
        let mut newest = self.newest.lock().await;
        if let Some((sender, seats)) =
            newest.as_mut().filter(|(sender, seats)| *seats < self.streams && !sender.is_closed())
        {
            *seats += 1;
            return Ok(Seat { sender: sender.clone(), origin: self.origin.clone() });
        }
        let stream = TokioIo::new(self.dialer.open().await?);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .map_err(|_| Failure::Connect)?;
        // It ends when its last seat is gone, or with its peer; the seats see why.
        tokio::spawn(async move { drop(connection.await) });
        *newest = Some((sender.clone(), 1));
        Ok(Seat { sender, origin: self.origin.clone() })
    }
}

impl Link for Seat {
    fn keeps(&self) -> bool {
        true
    }

    fn is_silent(&mut self) -> bool {
        !self.sender.is_closed()
    }

    async fn exchange(
        &mut self,
        ask: &Ask,
        values: &Values<'_>,
        jar: &Jar,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let wanted = &ask.inspection.wanted;
        let request = request(&self.origin, ask, values, jar).ok_or(Failure::Protocol)?;
        answer.sent += request.body().size_hint().exact().unwrap_or(0);
        let response = self.sender.send_request(request).await.map_err(|error| failure(&error))?;
        let (head, mut body) = response.into_parts();
        answer.status = head.status.as_u16();
        for (name, value) in &head.headers {
            answer.received += (name.as_str().len() + value.len()) as u64;
            answer.header(wanted, name.as_str(), value.as_bytes());
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failure(&error))?;
            if let Some(data) = frame.data_ref() {
                answer.received += data.len() as u64;
                answer.push(wanted, data);
                if answer.length > wanted.largest {
                    return Err(Failure::TooLarge);
                }
            }
        }
        Ok(())
    }
}

fn request(origin: &str, ask: &Ask, values: &Values<'_>, jar: &Jar) -> Option<Request<Full<Bytes>>> {
    let mut uri = origin.as_bytes().to_vec();
    ask.path.write(values, Place::Path, &mut uri);
    let mut body = Vec::new();
    ask.payload(values, &mut body);
    let uri = Uri::try_from(uri).ok()?;
    let mut request =
        Request::builder().method(ask.method.as_str()).uri(uri).body(Full::new(Bytes::from(body))).ok()?;
    for (name, value) in &ask.headers {
        // They belong to a connection or stand in the URI.
        if matches!(name.as_str(), "host" | "connection") {
            continue;
        }
        let mut bytes = Vec::new();
        value.write(values, Place::Header, &mut bytes);
        let name = HeaderName::try_from(name.as_str()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(&bytes).ok()?);
    }
    let cookies = jar.line();
    if !cookies.is_empty() {
        request.headers_mut().append(http::header::COOKIE, HeaderValue::from_bytes(&cookies).ok()?);
    }
    Some(request)
}

fn failure(error: &hyper::Error) -> Failure {
    if error.is_parse() || error.is_user() {
        return Failure::Protocol;
    }
    Failure::Reset
}
