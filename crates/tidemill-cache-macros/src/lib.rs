//! The attribute of `tidemill-cache` that puts an async function behind a cache.
//!
//! Take it from `tidemill_cache::cached`, feature `macros`; its documentation stands there.

mod cached;

use proc_macro::TokenStream;

/// Puts an async function behind a cache of its own: its arguments are the key, and it runs once a key at a time.
///
/// ```ignore
/// #[cached(name = "prices", ttl = "60s", capacity = 2000, skip(client))]
/// async fn price(client: Arc<Client>, symbol: &str) -> Result<f64, ClientError> { client.price(symbol).await }
///
/// let price = price(client, "AAPL").await?;         // Result<f64, tidemill_cache::Error>
/// price_cache()?.remove(&("AAPL".to_owned(),)).await; // the cache, for statistics and invalidation
/// ```
///
/// The function returns a `Result`; its error comes back inside the cache's, as `load_error::<E>()` gives it. The key is the
/// tuple of its arguments, those behind a reference as they are owned (`&str` as `String`), without those in `skip(...)`,
/// which are owned and handed to the load that runs. Each setting may be left out:
///
/// | setting | what | without it |
/// |---|---|---|
/// | `name` | the name under which `Named::install` has its settings, which come before those here | the function's |
/// | `ttl` | how long an answer is fresh: `ms`, `s`, `m`, `h` or `d` | 5 minutes |
/// | `stale` | how long past its life an answer is given while one caller loads | not at all |
/// | `capacity` | entries as a number, or bytes as `"64MB"` | 1000 entries |
/// | `weigh` | a `fn(&Key, &Value) -> u64`, needed for a capacity in bytes | |
#[proc_macro_attribute]
pub fn cached(settings: TokenStream, function: TokenStream) -> TokenStream {
    cached::expand(settings.into(), function.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}
