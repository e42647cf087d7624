//! The live socket: the handshake of RFC 6455, then frames out and a little in.

use axum::body::Body;
use axum::http::header::{
    CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::frame;
use super::hub::{Guest, Hub};
use super::incoming::{Asked, Incoming};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What a client is read with: it has nothing long to say.
const READ: usize = 256;

/// Answers a request for the socket and serves it from then on.
pub(super) async fn upgrade(hub: Hub, mut request: Request<Body>) -> Response<Body> {
    let headers = request.headers();
    let Some(key) = handshake(headers) else {
        return refused(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket (RFC 6455) only\n");
    };
    if !of_this_page(headers) {
        return refused(StatusCode::FORBIDDEN, "the socket is for the page of this server only\n");
    }
    let accept = accept(key);
    let Some(guest) = hub.enter() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "as many pages are open as live_clients allows\n");
    };
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrading.await {
            Ok(stream) => {
                if let Err(error) = serve(TokioIo::new(stream), guest).await {
                    tracing::debug!(%error, "live socket ended");
                }
            }
            Err(error) => tracing::debug!(%error, "live socket was not opened"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

async fn serve(stream: impl AsyncRead + AsyncWrite, mut guest: Guest) -> std::io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut incoming = Incoming::default();
    let mut buffer = [0; READ];
    loop {
        // One frame at a time, the newest then: what is not taken is not held either.
        while let Some(frame) = guest.next() {
            write.write_all(&frame).await?;
        }
        write.flush().await?;
        if guest.is_closed() {
            // 1001: the server goes away. The page comes back by itself.
            write.write_all(&frame::close(1001)).await?;
            return write.shutdown().await;
        }
        tokio::select! {
            () = guest.changed() => {}
            count = read.read(&mut buffer) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                for asked in incoming.take(&buffer[..count]) {
                    match asked {
                        Asked::Ping(payload) => write.write_all(&frame::pong(&payload)).await?,
                        Asked::Close => {
                            write.write_all(&frame::close(1000)).await?;
                            return write.shutdown().await;
                        }
                        Asked::Broken(code) => {
                            write.write_all(&frame::close(code)).await?;
                            return write.shutdown().await;
                        }
                    }
                }
            }
        }
    }
}

/// The client's key, when this is a handshake.
fn handshake(headers: &HeaderMap) -> Option<&HeaderValue> {
    let has = |name: HeaderName, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted)))
    };
    let asks = has(CONNECTION, "upgrade") && has(UPGRADE, "websocket") && has(SEC_WEBSOCKET_VERSION, "13");
    headers.get(SEC_WEBSOCKET_KEY).filter(|key| asks && key.len() == 24)
}

/// A browser says whose page asks: ours, or no browser at all. Else any page on the web could read along.
fn of_this_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Some((_, origin)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else {
        return false;
    };
    // Behind a proxy the host is the one that the browser asked.
    [HeaderName::from_static("x-forwarded-host"), HOST]
        .iter()
        .filter_map(|name| headers.get(name)?.to_str().ok())
        .any(|host| host.split(',').any(|host| host.trim().eq_ignore_ascii_case(origin)))
}

fn accept(key: &HeaderValue) -> HeaderValue {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(GUID);
    HeaderValue::from_str(&base64(context.finish().as_ref())).unwrap_or(HeaderValue::from_static(""))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let whole =
            chunk.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = LETTERS[(whole >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { letter as char } else { '=' });
        }
    }
    out
}

fn refused(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_answered_as_the_standard_shows() {
        assert_eq!(
            accept(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==")),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_page_of_another_host_is_turned_away() {
        let with = |pairs: &[(HeaderName, &'static str)]| {
            of_this_page(
                &pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect(),
            )
        };
        let forwarded = HeaderName::from_static("x-forwarded-host");
        assert!(with(&[(HOST, "a:1")]) && with(&[(HOST, "a:1"), (ORIGIN, "http://a:1")]));
        assert!(with(&[
            (HOST, "inner:9"),
            (forwarded.clone(), "mill.example"),
            (ORIGIN, "https://mill.example")
        ]));
        assert!(!with(&[(HOST, "a:1"), (ORIGIN, "http://evil.example")]));
        assert!(!with(&[(HOST, "a:1"), (ORIGIN, "http://a:2")]) && !with(&[(HOST, "a:1"), (ORIGIN, "null")]));
    }
}
