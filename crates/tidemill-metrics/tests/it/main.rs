//! Integration tests of the metrics.
