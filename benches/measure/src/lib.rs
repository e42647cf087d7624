//! Measuring two things fairly on a noisy machine: interleaved rounds, CPU clocks, medians, one row per result.
//!
//! It has a package of its own because the rivals' workspace measures with the same code and must not pull in our
//! libraries.
//!
//! ```
//! use tidemill_measure::{Better, Clock, Rounds, Row, UnitKind};
//!
//! let (mut a, mut b) = (0u64, 0u64);
//! let (ours, theirs) = Rounds::new(9).clock(Clock::ThreadCpu).pair(
//!     1000,
//!     || (0..1000).for_each(|n| a = std::hint::black_box(a + n)),
//!     || (0..1000).for_each(|n| b = std::hint::black_box(b ^ n)),
//! );
//! let row = Row::new("sum", "add", "ns", UnitKind::Cpu, Better::Lower)
//!     .rival("xor")
//!     .ours(&ours)
//!     .theirs(&theirs)
//!     .goal(1.5);
//! assert!(row.ratio.is_some() && row.met.is_some());
//! ```

mod clock;
pub mod disk;
pub mod keys;
mod rounds;
mod row;
mod samples;
pub mod subject;

pub use clock::Clock;
pub use rounds::Rounds;
pub use row::{Better, Row, UnitKind};
pub use samples::Samples;
