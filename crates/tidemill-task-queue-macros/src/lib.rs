//! The attribute of `tidemill-task-queue` that makes a task of an async function.
//!
//! Take it from `tidemill_task_queue::task`, feature `macros`; its documentation stands there.

mod task;

use proc_macro::TokenStream;

/// Makes a task of an async function: its arguments become the payload, its result the output.
///
/// ```ignore
/// #[task(name = "add", queue = "sums", priority = "high", max_retries = 5, timeout = "30s")]
/// async fn add(context: Context, a: u32, b: u32) -> Result<u32, TaskError> { Ok(a + b) }
///
/// let id = queue.enqueue(&add(1, 2)).await?.id();
/// let worker = queue.worker(WorkerConfig::default()).register(Add::run).start()?;
/// ```
///
/// `add(a, b)` now makes a value of `Add`, the payload, named in camel case, which implements `Task`; `Add::run` is the
/// function's body. The first argument must be the [`Context`]; the others are owned and serde's. Each setting may be
/// left out: `name` (default: the function's), `version` (1), `queue` ("default"), `priority` ("normal"), `max_retries`
/// (3), `timeout` ("300s": `ms`, `s`, `m` or `h`), `unique` (an argument whose text is the unique key), `group` (an
/// argument whose text is the group).
///
/// [`Context`]: https://docs.rs/tidemill-task-queue
#[proc_macro_attribute]
pub fn task(settings: TokenStream, function: TokenStream) -> TokenStream {
    task::expand(settings.into(), function.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}
