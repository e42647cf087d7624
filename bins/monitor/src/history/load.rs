//! What a start takes back into memory: the last values, a day of minutes, and the hour that is not over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::Tracks;
use super::config::Config;
use super::disk::{Disk, Rows};
use super::tier::{self, Tier};
use super::track::{Closed, HOUR, MINUTE, Span, Track};
use crate::series::Series;

/// Fills `tracks`. Returns the minutes and hours that ended and did not reach the disk before.
pub(super) fn load(
    disk: &Disk,
    config: &Config,
    tracks: &mut Tracks,
    span: Duration,
    now_ms: i64,
) -> Result<Rows> {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let since = |time: i64| now_ms.saturating_sub(time);
    let minutes_from = since((config.minutes as i64).saturating_mul(MINUTE).min(ms(config.minute)));
    let raw_from = since(ms(span).min(ms(config.raw)));
    tracks.since = (raw_from, minutes_from);
    let mut ends: HashMap<String, (i64, i64)> = HashMap::new();
    each(disk, Tier::Hour, (since(3 * HOUR), now_ms), |id, _, span| {
        ends.entry(id.to_owned()).or_default().0 = span.start_ms + HOUR;
    })?;
    let mut rows = Rows::default();
    each(disk, Tier::Minute, (minutes_from, now_ms), |id, series, span| {
        let Some(track) = tracks.known(series, config) else { return };
        let end = match ends.get_mut(id) {
            Some(end) => end,
            None => ends.entry(id.to_owned()).or_default(),
        };
        end.1 = span.start_ms + MINUTE;
        let hour = track.restore_minute(span, end.0);
        rows.add(series, Closed { minute: None, hour });
    })?;
    each(disk, Tier::Raw, (raw_from, now_ms), |id, series, span| {
        let Some(track) = tracks.known(series, config) else { return };
        let end = ends.get(id).map_or(0, |end| end.1);
        rows.add(series, track.restore(span.start_ms, span.mean, end));
    })?;
    Ok(rows)
}

fn each(
    disk: &Disk,
    tier: Tier,
    range: (i64, i64),
    mut take: impl FnMut(&str, &Arc<Series>, Span),
) -> Result<()> {
    let stores = disk.within(tier, range.0, range.1)?;
    let series = tier::series_in(&stores)?;
    tier::read(tier, &stores, range, None, |id, span| {
        if let Some(series) = series.get(id) {
            take(id, series, span);
        }
    })
}

impl Tracks {
    fn known(&mut self, series: &Arc<Series>, config: &Config) -> Option<&mut Track> {
        let place = match self.places.get(series) {
            Some(place) => *place,
            None if self.all.len() < config.max_series => self.place(series, 0, config)?,
            None => return None,
        };
        Some(&mut self.all[place].1)
    }
}
