//! Integration tests of the metrics: exactness under threads, quantiles, registration, exposition.

mod exposition;
mod quantiles;
mod registry;
mod threads;
