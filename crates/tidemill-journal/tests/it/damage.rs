//! Torn tails are cut, rotten frames are reported, arbitrary bytes never panic.

use proptest::prelude::*;
use tidemill_journal::{
    Config, Disk, ErrorKind, Journal, OnCorruption,
    sim::{Keep, SimDisk},
};

use crate::{DIR, append, open};

fn written(frames: usize) -> SimDisk {
    let disk = SimDisk::new();
    let (mut journal, _, _) = open(&disk, &Config::default()).unwrap();
    for n in 0..frames {
        append(&mut journal, &[n as u8; 40]).unwrap();
    }
    disk.crash(Keep::Nothing)
}

fn segment(disk: &SimDisk) -> std::path::PathBuf {
    std::path::Path::new(DIR).join(&disk.list(DIR.as_ref()).unwrap()[0].name)
}

/// The journal's one segment, replaced by these bytes.
fn with_bytes(bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    let mut file = disk.create(&std::path::Path::new(DIR).join("0000000001.journal")).unwrap();
    file.append(bytes).unwrap();
    disk
}

#[test]
fn a_torn_tail_is_cut_at_every_length() {
    let disk = written(4);
    let bytes = disk.read(&segment(&disk)).unwrap();
    let frame = 20 + 40;
    for len in 0..=bytes.len() {
        let (mut journal, recovery, frames) = open(&with_bytes(&bytes[..len]), &Config::default()).unwrap();
        let whole = len.saturating_sub(32) / frame;
        assert_eq!(frames.len(), whole, "cut to {len} bytes");
        assert_eq!(recovery.cut_bytes as usize, len.saturating_sub(32) - whole * frame);
        assert_eq!(append(&mut journal, b"next").unwrap() as usize, whole + 1);
    }
}

#[test]
fn every_flipped_bit_before_the_last_frame_is_reported() {
    let disk = written(4);
    let path = segment(&disk);
    let size = disk.read(&path).unwrap().len();
    let last = size - 60;
    for bit in 32 * 8..last * 8 {
        let rotten = disk.kill();
        rotten.flip_bit(&path, bit).unwrap();
        let error = open(&rotten, &Config::default()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}");
        assert!(error.to_string().contains("0000000001.journal"), "{error}");
    }
    // The last frame was never followed by anything: its damage cannot be told from a torn write, and is counted as one.
    disk.flip_bit(&path, last * 8 + 300).unwrap();
    let (_, recovery, frames) = open(&disk, &Config::default()).unwrap();
    assert_eq!((frames.len(), recovery.cut_bytes), (3, 60));
}

#[test]
fn set_aside_keeps_every_sound_frame_and_says_which_are_lost() {
    let disk = written(5);
    let path = segment(&disk);
    disk.flip_bit(&path, (32 + 60 + 30) * 8).unwrap();
    let config = Config { on_corruption: OnCorruption::SetAside, ..Config::default() };
    let (mut journal, recovery, frames) = open(&disk, &config).unwrap();
    let kept: Vec<u8> = frames.iter().map(|(_, payload)| payload[0]).collect();
    assert_eq!(kept, [0, 2, 3, 4]);
    assert_eq!((recovery.lost[0].first_seq, recovery.lost[0].last_seq), (2, 2));
    assert_eq!(recovery.set_aside, [path.with_extension("corrupt")]);
    append(&mut journal, &[9; 40]).unwrap();
    // From now on the journal is whole again, also for a config that refuses.
    let (_, recovery, frames) = open(&disk.crash(Keep::Everything), &Config::default()).unwrap();
    assert_eq!(frames.iter().map(|(_, p)| p[0]).collect::<Vec<_>>(), [0, 2, 3, 4, 9]);
    assert!(recovery.lost.is_empty());
}

#[test]
fn a_later_format_is_named_and_not_touched() {
    let disk = written(1);
    let bytes = disk.read(&segment(&disk)).unwrap();
    let mut later = bytes.clone();
    later[4..6].copy_from_slice(&9u16.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&1u64.to_le_bytes()), &later[..24]);
    later[24..28].copy_from_slice(&crc.to_le_bytes());
    let error = open(&with_bytes(&later), &Config::default()).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version);
    assert!(error.to_string().contains("version 9"), "{error}");
}

#[test]
fn reading_changes_nothing() {
    let disk = written(3);
    let before = disk.calls();
    let mut seen = 0;
    let recovery = Journal::read(&disk, DIR.as_ref(), &Config::default(), &mut |_, _| {
        seen += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!((seen, recovery.last_seq, disk.calls()), (3, 3, before));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        drop(open(&with_bytes(&bytes), &Config::default()));
    }

    #[test]
    fn mutated_segments_give_sound_frames_or_an_error(
        flips in prop::collection::vec((0usize..32 * 8 + 5 * 60 * 8, any::<bool>()), 1..20),
    ) {
        let disk = written(5);
        let path = segment(&disk);
        flips.iter().for_each(|(bit, _)| disk.flip_bit(&path, *bit).unwrap());
        if let Ok((_, _, frames)) = open(&disk, &Config::default()) {
            for (seq, payload) in frames {
                prop_assert_eq!(payload, vec![(seq - 1) as u8; 40]);
            }
        }
    }
}
