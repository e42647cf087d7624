//! The crate against real stores: one module a promise.

#[cfg(test)]
mod life;
#[cfg(test)]
mod model;
#[cfg(test)]
mod stage;
