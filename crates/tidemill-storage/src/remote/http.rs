//! The HTTP client under the object store: hyper over rustls with ring, as everywhere in this house.

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::HttpConnector as TcpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
};

/// Connections kept open to one host, at most.
const IDLE: usize = 16;

/// Makes the client that [`Remote::s3`](crate::Remote::s3) uses, for an [`object_store`] that is put together by hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Https;

#[derive(Debug)]
struct Service(Client<HttpsConnector<TcpConnector>, HttpRequestBody>);

impl HttpConnector for Https {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let ring = rustls::crypto::ring::default_provider;
        // The system's certificates; a container without any has Mozilla's.
        let https = match HttpsConnectorBuilder::new().with_provider_and_native_roots(ring()) {
            Ok(https) => https,
            Err(_) => HttpsConnectorBuilder::new()
                .with_provider_and_webpki_roots(ring())
                .map_err(|source| object_store::Error::Generic { store: "tls", source: Box::new(source) })?,
        };
        // Plain HTTP only where the endpoint was written so: the store refuses it otherwise.
        let https = https.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE)
            .build(https);
        Ok(HttpClient::new(Service(client)))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.request(request).await.map_err(failed)?;
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(broken))))
    }
}

/// The kind says whether the store tries again by itself.
fn failed(error: ClientError) -> HttpError {
    let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
    HttpError::new(kind, error)
}

fn broken(error: hyper::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, error)
}
