//! The Arrow this crate speaks: a new major of it is a new major of ours.

pub use {arrow_array, arrow_buffer, arrow_schema};
