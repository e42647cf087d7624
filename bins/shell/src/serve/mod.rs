//! Serves a router over HTTP/1.1 with bounds on connections, headers, bodies and time; gzip answers; a graceful end.

mod bearer;
mod connection;
mod gzip;
mod limits;
mod server;

pub use bearer::{Bearer, BearerLayer, protect};
pub use limits::Limits;
pub use server::{Report, ServeError, Server, serve};
