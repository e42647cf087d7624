//! The pages and the live socket.
