//! The sandbox as its clients see it: over real sockets, in bytes.

mod client;
mod counting;
mod data;
mod faults;
mod protocol;
mod readme;
mod shapes;
