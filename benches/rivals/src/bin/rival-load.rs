//! The rivals of the load generator are programs: `bench-load` runs them itself, in turns with ours.

fn main() {
    println!("wrk, oha and locust run within bench-load");
}
