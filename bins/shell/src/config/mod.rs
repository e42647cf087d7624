//! Layered configuration: file < environment < flags, with the origin of every value and errors that say where.

mod de;
mod effective;
mod error;
mod load;
mod secrets;
mod tree;

pub use effective::Effective;
pub use error::ConfigError;
pub use load::{Alias, Flag, Loaded, Sources, load};
pub use tree::Origin;

#[cfg(test)]
mod tests;
