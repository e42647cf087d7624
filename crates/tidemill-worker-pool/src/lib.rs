//! A bounded worker pool with priorities, timeouts, retries and a drain, on tokio alone.
