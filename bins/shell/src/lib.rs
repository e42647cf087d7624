//! What the executables share: layered configuration, logs, signals, serving, progress and exit codes.
//!
//! No type of the domain stands here, and nothing here reads the environment: `main` hands it in.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tidemill_shell::config::{self, Flag, Sources};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Config {
//!     listen: String,
//!     http: Http,
//! }
//!
//! #[derive(Default, Serialize, Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Http {
//!     max_redirects: u32,
//! }
//!
//! let env = [("TIDEMILL_HTTP__MAX_REDIRECTS".to_owned(), "3".to_owned())];
//! let sources = Sources::new(env).flag(Flag::new("listen", "127.0.0.1:9090"));
//! let loaded = config::load::<Config>(sources)?;
//! assert_eq!(loaded.value.http.max_redirects, 3);
//! assert_eq!(loaded.effective()[0].to_string(), "http.max_redirects = 3  # TIDEMILL_HTTP__MAX_REDIRECTS");
//! # Ok::<(), tidemill_shell::config::ConfigError>(())
//! ```

pub mod config;
pub mod entry;
pub mod exit;
pub mod logs;
pub mod progress;
pub mod serve;
pub mod signals;
