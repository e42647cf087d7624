//! The judge: vitals of each round against limits and what is usual.
