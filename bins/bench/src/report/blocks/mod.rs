//! A document as blocks: what is said, the same on the page, in Markdown and on the terminal.

mod charts;
mod compared;
mod histories;
mod loaded;
mod of;
mod suites;

pub use compared::sentence;
pub(crate) use of::of;
