//! Integration tests of the pool.
