//! One HTTP attempt, in typed layers: pool, name cache, TLS, timeouts, inflation, user agent; and redirects above it.
//!
//! ```text
//! RedirectLayer          every hop is a new Call
//!   (permit layer)       so every attempt pays
//!     Attempt            UserAgent > Exchange: pool, timeouts, inflation
//! ```
//!
//! [`Attempt`] is a `tower_service::Service<Call>` that sends one request once and never retries what may have
//! reached a server. [`FetchError::maybe_sent`] says whether it may have.

mod attempt;
mod body;
mod call;
mod config;
mod connect;
mod dns;
mod error;
mod inflate;
mod pool;
mod redact;
mod redirect;
mod stats;
mod timeout;
mod tls;
mod user_agent;

pub use attempt::{Attempt, AttemptBuilder};
pub use call::{Answer, Call};
pub use config::{Config, Roots};
pub use dns::Resolve;
pub use error::{BuildError, FetchError, FetchErrorKind, TimeoutPhase};
pub use inflate::{Encoding, Inflater, InflaterPool, Refusal};
pub use redact::{Redaction, redact_uri};
pub use redirect::{Redirect, RedirectLayer};
pub use stats::Stats;
pub use user_agent::{UserAgent, UserAgentLayer};
