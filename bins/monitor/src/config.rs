//! The monitor's configuration: plain data, checked once, with the names of the fields in every complaint.
