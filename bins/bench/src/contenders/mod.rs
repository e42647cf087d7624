//! The two sides of a comparison: addresses, scenarios, commands that serve, commands to be timed.

mod contest;
mod load;
mod measured;
mod pair;
mod served;
mod timed;

pub use contest::{Contest, Ended, contest};
pub use measured::{Figure, Measured};
pub use pair::{Kind, kind};
pub use served::Served;
pub use timed::{FIGURES as TIMED_FIGURES, timed};

pub use load::{FIGURES as LOAD_FIGURES, turn};
