//! Integration tests of the host samples.
