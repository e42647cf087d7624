//! What this machine does, a line a second: `cargo run -p tidemill-host --example watch`.

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use tidemill_host::{Error, Host};

fn main() -> Result<(), Error> {
    let (mut host, origin) = (Host::new()?, Instant::now());
    for mount in &host.sample(origin.elapsed())?.mounts {
        println!("{} is {:.0} % full", mount.path.display(), mount.percent);
    }
    for _ in 0..5 {
        sleep(Duration::from_secs(1));
        let sample = host.sample(origin.elapsed())?;
        // What the system cannot tell is none, never a zero.
        let show = |value: Option<f64>| value.map_or("unknown".to_owned(), |value| format!("{value:.1}"));
        let (cpu, memory, disk) = (&sample.cpu, &sample.memory, &sample.disk);
        println!(
            "processor {} %, memory {} %, waiting for disks {} %",
            show(cpu.percent),
            show(memory.percent),
            show(disk.wait_percent)
        );
    }
    Ok(())
}
