//! The crate against real stores: one module a promise.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod http;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod life;
#[cfg(test)]
mod macros;
#[cfg(test)]
mod model;
#[cfg(test)]
mod partition;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod time;
#[cfg(test)]
mod tls;
