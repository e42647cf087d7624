//! A framed write-ahead log with group commit, and a simulated disk to test durability with.
