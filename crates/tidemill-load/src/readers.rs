//! Standing readers: what a message says about when it was sent, against the clock here.

use std::time::{Duration, Instant, SystemTime};

use crate::answer::Wanted;
use crate::engine::{Engine, Link as _};
use crate::failure::Failure;
use crate::lane::{LOOK, Lane, REFUSED, User, elapsed_ns};
use crate::scenario::{StampUnit, Subscribe};

impl<E: Engine> Lane<E> {
    /// One standing reader: connects when its turn comes, and again when it is thrown out.
    pub(crate) async fn reader(&self, seat: usize, subscribe: &Subscribe) {
        let start = self.started().await;
        let mut user = User::new(self);
        let number = self.thread + seat * self.stage.load.threads;
        let most = usize::try_from(self.stage.message_limit).unwrap_or(usize::MAX);
        let wanted = Wanted { body: most, largest: self.stage.message_limit, ..Wanted::default() };
        loop {
            let now = elapsed_ns(start);
            if self.halted() || now >= self.stage.end_ns {
                return;
            }
            if !self.is_active(number, now) {
                tokio::time::sleep(LOOK / 5).await;
                continue;
            }
            if let Err(failure) = self.listen(start, &mut user, number, subscribe, &wanted).await {
                self.desk().tally.unconnected(0, failure);
                tokio::time::sleep(REFUSED).await;
            }
        }
    }

    /// Listens until the end of the run or of the connection.
    async fn listen(
        &self,
        start: Instant,
        user: &mut User<E::Link>,
        number: usize,
        subscribe: &Subscribe,
        wanted: &Wanted,
    ) -> Result<(), Failure> {
        let begun = elapsed_ns(start);
        let mut link = self.connect(start, user).await?;
        {
            let mut desk = self.desk();
            desk.tally.connections += 1;
            desk.tally.times.connect.record(elapsed_ns(start) - begun);
        }
        if let Some(message) = greeting(subscribe, number) {
            link.tell(&message).await?;
        }
        let end = start + Duration::from_nanos(self.stage.end_ns);
        while !self.halted() {
            user.answer.clear();
            // A run that ends early does not wait for silent senders: it drops their readers after the drain.
            let heard = user.deadline.within(end.into(), link.hear(wanted, &mut user.answer)).await;
            let Some(result) = heard else { return Ok(()) };
            result?;
            let delay = delay_ns(&user.answer.body, subscribe, SystemTime::now());
            let mut desk = self.desk();
            desk.tally.messages += 1;
            desk.tally.bytes_in += user.answer.received;
            match delay {
                Some(delay) => desk.tally.times.delivery.record(delay),
                None => desk.tally.unconnected(0, Failure::Check),
            }
        }
        Ok(())
    }
}

/// Nanoseconds between the stamp in a message and `now`; 0 when the sender's clock is ahead, `None` without a stamp.
fn delay_ns(message: &[u8], subscribe: &Subscribe, now: SystemTime) -> Option<u64> {
    let text = std::str::from_utf8(message).ok()?;
    let sent = if subscribe.sent_at.is_empty() {
        nanos(text.trim(), subscribe.unit)?
    } else {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        match value.pointer(&subscribe.sent_at)? {
            serde_json::Value::String(text) => nanos(text, subscribe.unit)?,
            serde_json::Value::Number(number) => nanos(&number.to_string(), subscribe.unit)?,
            _ => return None,
        }
    };
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(now.saturating_sub(Duration::from_nanos(sent)).as_nanos() as u64)
}

/// What a reader says first.
fn greeting(subscribe: &Subscribe, reader: usize) -> Option<Vec<u8>> {
    subscribe.message.as_ref().map(|text| text.replace("{{reader}}", &reader.to_string()).into_bytes())
}

/// A number of units; whole numbers are exact, as an `f64` of nanoseconds would not be.
fn nanos(text: &str, unit: StampUnit) -> Option<u64> {
    let scale: u64 = match unit {
        StampUnit::Ns => 1,
        StampUnit::Us => 1000,
        StampUnit::Ms => 1_000_000,
        StampUnit::S => 1_000_000_000,
    };
    if let Ok(whole) = text.parse::<u64>() {
        return whole.checked_mul(scale);
    }
    let value = text.parse::<f64>().ok()? * scale as f64;
    (value.is_finite() && value >= 0.0).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_and_compared() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let plan = |sent_at: &str, unit| Subscribe { message: None, sent_at: sent_at.to_owned(), unit };
        let ms = |n: u64| Some(n * 1_000_000);
        assert_eq!(delay_ns(b" 1700000000000000000\n", &plan("", StampUnit::Ns), now), ms(250));
        assert_eq!(delay_ns(b"1700000000249", &plan("", StampUnit::Ms), now), ms(1));
        assert_eq!(delay_ns(br#"{"d":{"t":1700000000200}}"#, &plan("/d/t", StampUnit::Ms), now), ms(50));
        assert_eq!(delay_ns(br#"{"t":"1700000001"}"#, &plan("/t", StampUnit::S), now), Some(0));
        for bad in [&b"x"[..], b"", b"-5", b"1e999", b"\xff", b"99999999999999999999999999999"] {
            assert_eq!(
                delay_ns(bad, &plan("", StampUnit::S), now)
                    .filter(|_| bad != b"99999999999999999999999999999"),
                None
            );
        }
        assert_eq!(delay_ns(b"{}", &plan("/t", StampUnit::S), now), None);
    }
}
