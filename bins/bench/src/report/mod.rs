//! What a run came to, as JSON, Markdown, JUnit, text for a terminal and one self-contained page.

mod block;
mod blocks;
mod chart;
mod document;
mod escape;
mod files;
pub mod html;
mod junit;
mod markdown;
mod number;
mod series;
mod text;
pub mod time;

pub use blocks::sentence;
pub use chart::{Chart, Line, Scale};
pub use document::{
    Beside, Compared, Content, Document, FORMAT, Fault, Found, Histories, History, Load, Machine, Side,
    VERSION,
};
pub use files::{Reports, write};
pub use junit::junit;
pub use markdown::markdown;
pub use number::{bytes, milliseconds, number, percent};
pub use series::Series;
pub use text::text;
