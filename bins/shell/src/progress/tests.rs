//! Progress with a clock and a writer of the test's own.

use std::sync::Arc;

use super::*;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

#[test]
fn plain_lines_come_at_their_pace_and_at_the_end() {
    let (memory, start) = (Memory::default(), Instant::now());
    let every = Duration::from_secs(5);
    let target = Target::Plain { every, next: None, to: Box::new(memory.clone()) };
    let progress = Progress::with(1000, target, start);
    for second in 0..=12 {
        let at = start + Duration::from_secs(second);
        progress.draw(second * 30, &[("refused", &0)], Some(Duration::from_secs(100 - second)), at, false);
    }
    progress.draw(1000, &[("refused", &0)], None, start + Duration::from_millis(13_500), true);
    assert_eq!(
        memory.lines(),
        [
            "0/1000  0:00  eta 1:40  refused 0",
            "150/1000  1800/min  0:05  eta 1:35  refused 0",
            "300/1000  1800/min  0:10  eta 1:30  refused 0",
            "1000/1000  4444/min  0:14  refused 0",
        ]
    );
}

#[test]
fn the_rate_forgets_what_is_older_than_a_minute() {
    let mut rate = Rate::default();
    for second in 0..=300_u64 {
        rate.record(Duration::from_secs(second), second.min(200) * 2);
    }
    assert_eq!(rate.per_minute(), Some(0.0));
    rate.record(Duration::from_secs(301), 460);
    assert!((rate.per_minute().unwrap() - 60.0).abs() < 1.1, "{:?}", rate.per_minute());
}

#[test]
fn secrets_in_fields_are_masked_and_silence_is_silent() {
    let memory = Memory::default();
    let redactor = Redactor::default();
    redactor.register("S3CRET");
    let progress = Progress::plain(1, Duration::ZERO, memory.clone()).redacted(redactor);
    progress.update(1, &[("key", &"S3CRET")], None);
    assert!(memory.lines()[0].contains("key ***"));
    let silent = Progress::new(10, Style::Silent);
    silent.update(3, &[], None);
    assert_eq!(silent.suspend(|| 7), 7);
}

#[test]
fn logs_know_of_the_bar_until_it_is_finished() {
    let redactor = Redactor::default();
    let progress = Progress::new(2, Style::Bar).redacted(redactor.clone());
    progress.update(1, &[], None);
    assert!(redactor.screen().has_bar());
    writeln!(redactor.screen().clone(), "written above the bar").unwrap();
    progress.finish(2, &[]);
    assert!(!redactor.screen().has_bar());
}
