//! What is served of metrics, history and health.
