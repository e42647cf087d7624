//! The clock: what it says, what it runs on, how well it is kept.

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::about::Family;
use super::book::Book;
use super::files::{Kept, Text, names};

const NOW: Family = Family::gauge("node_time_seconds", "Seconds since 1970.");
const CURRENT: Family =
    Family::gauge("node_time_clocksource_current_info", "Always 1; what the clock runs on.");
const AVAILABLE: Family =
    Family::gauge("node_time_clocksource_available_info", "Always 1; what the clock could run on.");

/// Clock sources, and the kernel's own account of the clock.
#[derive(Debug)]
pub(super) struct Clock {
    folder: PathBuf,
    sources: Vec<Origin>,
    is_listed: bool,
}

#[derive(Debug)]
struct Origin {
    device: String,
    current: Kept,
    available: Kept,
}

impl Clock {
    pub(super) fn new(root: &Path) -> Self {
        Self { folder: root.join("sys/devices/system/clocksource"), sources: Vec::new(), is_listed: false }
    }

    pub(super) fn tell(&mut self, now: SystemTime, text: &mut Text, book: &mut Book) {
        if let Ok(now) = now.duration_since(SystemTime::UNIX_EPOCH) {
            book.tell(&NOW, &[], now.as_secs_f64());
        }
        if !self.is_listed {
            self.is_listed = true;
            let names = names(&self.folder, 16, book, |name| name.starts_with("clocksource"));
            let origin = |name: String| {
                let file = |file: &str| Kept::open(self.folder.join(&name).join(file));
                Origin {
                    current: file("current_clocksource"),
                    available: file("available_clocksource"),
                    device: name["clocksource".len()..].to_owned(),
                }
            };
            self.sources = names.into_iter().map(origin).collect();
        }
        for Origin { device, current, available } in &mut self.sources {
            for word in text.line(available, book).unwrap_or_default().split_ascii_whitespace().take(32) {
                book.tell(&AVAILABLE, &[("clocksource", word), ("device", device)], 1.0);
            }
            if let Some(word) = text.line(current, book).filter(|word| !word.is_empty()) {
                book.tell(&CURRENT, &[("clocksource", word), ("device", device)], 1.0);
            }
        }
        kept(book);
    }
}

/// adjtimex(2), which changes nothing when it is asked for nothing.
fn kept(book: &mut Book) {
    let mut asked = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the structure is plain numbers, for which zeros are values, and it lives longer than the call; `modes` is 0,
    // so that the kernel only writes into it.
    let (state, timex) = unsafe { (libc::adjtimex(asked.as_mut_ptr()), asked.assume_init()) };
    if state < 0 {
        return book.unreadable();
    }
    let unit = if timex.status & libc::STA_NANO != 0 { 1e9 } else { 1e6 };
    // Parts per million, with sixteen bits behind the point.
    let ppm = 1e6 * 65_536.0;
    let gauge = Family::gauge;
    let counter = Family::counter;
    let synchronised = f64::from(u8::from(state != libc::TIME_ERROR));
    let told = [
        (
            gauge("node_timex_estimated_error_seconds", "What the clock may be off by."),
            timex.esterror as f64 / 1e6,
        ),
        (
            gauge("node_timex_frequency_adjustment_ratio", "What the clock's rate is multiplied by."),
            1.0 + timex.freq as f64 / ppm,
        ),
        (gauge("node_timex_loop_time_constant", "How slowly the clock is corrected."), timex.constant as f64),
        (
            gauge("node_timex_maxerror_seconds", "What the clock is off by at most."),
            timex.maxerror as f64 / 1e6,
        ),
        (gauge("node_timex_offset_seconds", "What the clock was found off by."), timex.offset as f64 / unit),
        (counter("node_timex_pps_calibration_total", "Times the pulse was calibrated."), timex.calcnt as f64),
        (
            counter("node_timex_pps_error_total", "Times that calibrating the pulse failed."),
            timex.errcnt as f64,
        ),
        (
            gauge("node_timex_pps_frequency_hertz", "What the pulse says of the clock's rate."),
            timex.ppsfreq as f64 / ppm,
        ),
        (gauge("node_timex_pps_jitter_seconds", "What the pulse varies by."), timex.jitter as f64 / unit),
        (counter("node_timex_pps_jitter_total", "Pulses that came too early or late."), timex.jitcnt as f64),
        (
            gauge("node_timex_pps_shift_seconds", "Time over which the pulse is calibrated."),
            f64::from(timex.shift),
        ),
        (
            counter("node_timex_pps_stability_exceeded_total", "Times the pulse was not stable."),
            timex.stbcnt as f64,
        ),
        (
            gauge("node_timex_pps_stability_hertz", "What the rate of the pulse varies by."),
            timex.stabil as f64 / ppm,
        ),
        (gauge("node_timex_status", "Status bits of adjtimex(2)."), f64::from(timex.status)),
        (gauge("node_timex_sync_status", "Whether the clock is kept by a server."), synchronised),
        (gauge("node_timex_tai_offset_seconds", "Seconds that TAI is ahead of UTC."), f64::from(timex.tai)),
        (gauge("node_timex_tick_seconds", "Time between two ticks of the clock."), timex.tick as f64 / 1e6),
    ];
    for (family, value) in &told {
        book.tell(family, &[], *value);
    }
}
