//! A scripted history is stopped at every disk call; with any one sync switched off the same check must fail.

use std::{collections::BTreeMap, io, time::Duration};

use tidemill_journal::{
    Config, ErrorKind, Sync,
    sim::{Keep, SimDisk},
};

use crate::{Frames, append, open, open_above};

/// What a history knows after each step.
#[derive(Default, Clone)]
struct Known {
    /// Acknowledged as durable and still needed.
    acked: BTreeMap<u64, Vec<u8>>,
    /// Ever handed to `append`; anything else that comes back is invented.
    tried: Vec<Vec<u8>>,
    trimmed: u64,
}

impl Known {
    fn check(&self, frames: &Frames) -> Result<(), String> {
        let mut seen = BTreeMap::new();
        for (seq, payload) in frames {
            if !self.tried.contains(payload) {
                return Err(format!("frame {seq} was never written"));
            }
            if seen.insert(*seq, payload.clone()).is_some() {
                return Err(format!("frame {seq} came twice"));
            }
        }
        for (seq, payload) in &self.acked {
            if *seq > self.trimmed && seen.get(seq) != Some(payload) {
                return Err(format!("acknowledged frame {seq} is lost"));
            }
        }
        Ok(())
    }
}

fn config(sync: Sync) -> Config {
    Config { sync, segment_bytes: 4096, ..Config::default() }
}

/// Appends, rotates, trims, dies and reopens. Ends early, without complaint, when the disk stops.
fn history(disk: &SimDisk, sync: Sync, known: &mut Known) -> Result<SimDisk, String> {
    let config = config(sync);
    let mut disk = disk.clone();
    let mut fresh = 0u32;
    for life in 0..3 {
        let Ok((mut journal, recovery, frames)) = open_above(&disk, &config, known.trimmed) else {
            return Ok(disk);
        };
        if !recovery.lost.is_empty() {
            return Err("lost frames reported".into());
        }
        known.check(&frames)?;
        // Whatever an open hands back, its caller builds upon: from now on it counts as acknowledged.
        known.acked.extend(frames);
        let mut waiting = Vec::new();
        for step in 0..9 {
            fresh += 1;
            let payload = format!("{fresh:>0$}", 300 + 500 * (step % 3)).into_bytes();
            known.tried.push(payload.clone());
            match append(&mut journal, &payload) {
                Ok(seq) if sync == Sync::Commit => drop(known.acked.insert(seq, payload)),
                Ok(seq) => waiting.push((seq, payload)),
                Err(_) => return Ok(disk),
            }
            if sync != Sync::Commit && step % 2 == 1 {
                if journal.sync().is_err() {
                    return Ok(disk);
                }
                known.acked.extend(waiting.drain(..));
            }
            if (life + step) % 4 == 3 {
                let upto = journal.last_seq() - u64::from(step % 2 == 0);
                known.trimmed = known.trimmed.max(upto);
                if journal.trim(upto).is_err() {
                    return Ok(disk);
                }
            }
        }
        // Between lives the process dies in the middle of an append: written, not synced, not acknowledged.
        let calls = disk.calls();
        if life < 2 {
            fresh += 1;
            let payload = format!("orphan {fresh}").into_bytes();
            known.tried.push(payload.clone());
            if life == 1 {
                known.trimmed = journal.last_seq();
                if journal.trim(known.trimmed).and_then(|()| journal.close()).is_err() {
                    return Ok(disk);
                }
                let next = disk.kill();
                next.resume_count(&disk);
                disk = next;
                continue;
            }
            disk.fail_at(calls + 2, io::ErrorKind::Interrupted);
            drop(append(&mut journal, &payload));
            let next = disk.kill();
            // Its calls go on counting where the old ones stopped.
            next.resume_count(&disk);
            disk = next;
        }
    }
    Ok(disk)
}

fn keeps() -> impl Iterator<Item = Keep> {
    [Keep::Nothing, Keep::Everything].into_iter().chain((1..=6).map(Keep::Random))
}

/// Runs the history to each of its disk calls and crashes there. The first broken promise, if any.
fn first_failure(sync: Sync, ignored: Option<&'static str>) -> Option<String> {
    for at in 1.. {
        let mut finished = false;
        for keep in keeps() {
            let disk = SimDisk::new();
            if let Some(site) = ignored {
                disk.ignore_site(site);
            }
            disk.crash_at(at);
            let mut known = Known::default();
            let disk = match history(&disk, sync, &mut known) {
                Ok(disk) => disk,
                Err(broken) => return Some(format!("call {at}, {keep:?}: {broken}")),
            };
            finished = disk.calls() < at;
            let after = disk.crash(keep);
            match open_above(&after, &config(sync), known.trimmed) {
                Err(error) => return Some(format!("call {at}, {keep:?}: {error}")),
                Ok((_, recovery, frames)) => {
                    if let Err(broken) = known.check(&frames) {
                        return Some(format!("call {at}, {keep:?}: {broken} ({recovery:?})"));
                    }
                }
            }
        }
        if finished {
            assert!(at > 60, "the history is too short to prove anything: {at} calls");
            return None;
        }
    }
    None
}

#[test]
fn a_crash_at_any_call_keeps_every_acknowledged_frame_once() {
    assert_eq!(first_failure(Sync::Commit, None), None);
    assert_eq!(first_failure(Sync::Size(1 << 20), None), None);
}

#[test]
fn each_single_sync_that_is_switched_off_is_noticed() {
    let disk = SimDisk::new();
    history(&disk, Sync::Commit, &mut Known::default())
        .map(|end| {
            let sites: Vec<_> = end.sites().into_keys().collect();
            let all = ["close", "close-name", "frame", "name", "reopen", "reopen-name"]
                .map(|s| format!("journal.{s}"));
            assert_eq!(sites, all);
            for site in sites {
                assert!(
                    first_failure(Sync::Commit, Some(site)).is_some(),
                    "nothing noticed that {site} is off"
                );
            }
        })
        .unwrap();
}

#[test]
fn a_failed_fsync_poisons_its_segment_and_the_next_append_goes_elsewhere() {
    let disk = SimDisk::new();
    let (mut journal, _, _) = open(&disk, &Config::default()).unwrap();
    append(&mut journal, b"kept").unwrap();
    disk.fail_site("journal.frame", io::ErrorKind::Other);
    let error = append(&mut journal, b"refused").unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Disk, true));
    // The same number again, durable in another segment; a second sync of the first would have lied.
    assert_eq!(append(&mut journal, b"again").unwrap(), 2);
    assert_eq!(journal.stats().segments_poisoned, 1);
    for keep in keeps() {
        let (_, _, frames) = open(&disk.crash(keep), &Config::default()).unwrap();
        assert_eq!(frames, [(1, b"kept".to_vec()), (2, b"again".to_vec())], "{keep:?}");
    }
}

#[test]
fn with_a_lazy_sync_a_failed_fsync_writes_what_waited_again() {
    let disk = SimDisk::new();
    let (mut journal, _, _) = open(&disk, &config(Sync::Size(1 << 20))).unwrap();
    append(&mut journal, b"one").unwrap();
    append(&mut journal, b"two").unwrap();
    disk.fail_site("journal.frame", io::ErrorKind::Other);
    assert!(journal.sync().is_err());
    journal.sync().unwrap();
    let (_, _, frames) = open(&disk.crash(Keep::Nothing), &Config::default()).unwrap();
    assert_eq!(frames, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
}

#[test]
fn an_interval_syncs_when_it_has_passed_and_not_before() {
    let disk = SimDisk::new();
    let every = Duration::from_secs(30);
    let (mut journal, _, _) = open(&disk, &config(Sync::Interval(every))).unwrap();
    journal.append(&[b"a"], Duration::from_secs(100)).unwrap();
    journal.tick(Duration::from_secs(129)).unwrap();
    assert!(open(&disk.crash(Keep::Nothing), &Config::default()).unwrap().2.is_empty());
    journal.tick(Duration::from_secs(130)).unwrap();
    assert_eq!(open(&disk.crash(Keep::Nothing), &Config::default()).unwrap().2.len(), 1);
}

#[test]
fn a_full_disk_keeps_what_was_acknowledged_and_works_again_when_there_is_room() {
    let disk = SimDisk::new();
    let (mut journal, _, _) = open(&disk, &config(Sync::Commit)).unwrap();
    append(&mut journal, &[1; 1000]).unwrap();
    disk.set_capacity(Some(1500));
    for _ in 0..3 {
        assert_eq!(append(&mut journal, &[2; 1000]).unwrap_err().kind(), ErrorKind::Disk);
    }
    let (_, _, frames) = open(&disk.kill(), &config(Sync::Commit)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(frames, [(1, vec![1; 1000])]);
    disk.set_capacity(None);
    assert_eq!(append(&mut journal, &[3; 1000]).unwrap(), 2);
    let (_, _, frames) = open(&disk.crash(Keep::Random(9)), &config(Sync::Commit)).unwrap();
    assert_eq!(frames, [(1, vec![1; 1000]), (2, vec![3; 1000])]);
}

#[test]
fn trimming_removes_segments_and_numbering_goes_on() {
    let disk = SimDisk::new();
    let (mut journal, _, _) = open(&disk, &config(Sync::Commit)).unwrap();
    for _ in 0..10 {
        append(&mut journal, &[7; 2000]).unwrap();
    }
    assert!(journal.stats().segments > 3);
    journal.trim(10).unwrap();
    assert_eq!(append(&mut journal, b"eleven").unwrap(), 11);
    assert_eq!((journal.stats().segments, journal.stats().segments_removed), (1, 4));
    journal.trim(11).unwrap();
    journal.close().unwrap();
    let after = disk.crash(Keep::Nothing);
    let (mut journal, recovery, frames) = open(&after, &config(Sync::Commit)).unwrap();
    assert_eq!((frames.len(), recovery.watermark), (0, 11));
    assert_eq!(append(&mut journal, b"twelve").unwrap(), 12);
    // A caller who knows more than the directory does: the numbers go on above what it knows.
    let (mut journal, _, _) = open_above(&SimDisk::new(), &config(Sync::Commit), 40).unwrap();
    assert_eq!(append(&mut journal, b"next").unwrap(), 41);
}
