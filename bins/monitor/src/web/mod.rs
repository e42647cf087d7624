//! The page, its assets, and the live socket that moves its values.

mod assets;
mod config;
mod events;
mod first;
mod frame;
mod headers;
mod hub;
mod incoming;
mod openapi;
mod prefix;
mod rate;
mod server;
mod socket;
mod views;

pub use assets::Assets;
pub use config::Config;
pub use hub::{Cursor, Hub, Report, Stats};
pub use openapi::DOCUMENT as OPENAPI;
pub use prefix::within;
pub use server::{Past, Web, router};
pub use views::{Chart, Limit, Line, Over, Severity, View, Words, defaults, views};
