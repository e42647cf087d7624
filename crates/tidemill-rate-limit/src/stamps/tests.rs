//! The file of stamps: its format, its turnover, and what a restart may believe.

use super::*;

const HERE: Clock = Clock { boot: 7, started_s: 1_000 };
const HORIZON: Duration = Duration::from_secs(95);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn sent(seconds: u64, ticket: u16) -> Record {
    Record::Sent { at: at(seconds), key: 3, units: 2, ticket }
}

#[test]
fn a_stamp_is_these_sixteen_bytes() {
    // Golden: a change here is a new number in MAGIC.
    let bytes = encode(&Record::Sent {
        at: UNIX_EPOCH + Duration::from_micros(0x0001_0203),
        key: 9,
        units: 1,
        ticket: 5,
    });
    assert_eq!(bytes, [3, 2, 1, 0, 0, 0, 0x10, bytes[7], 9, 0, 0, 0, 5, 0, 1, 0]);
    assert_eq!(bytes[7], checksum(&bytes));
    let header = Header { clock: HERE, unknown_until: None }.encode();
    assert_eq!(&header[..17], b"TRLSTMP1\x07\0\0\0\0\0\0\0\xe8");
}

#[test]
fn every_record_reads_back_and_a_torn_one_does_not() {
    let records = [
        sent(1_700_000_000, 65_535),
        Record::Answered { at: at(1_700_000_001), key: u32::MAX, units: 1, ticket: 0 },
        Record::Held { at: at(1_700_000_002), key: 1 },
        Record::Cancelled { at: at(1_700_000_002), key: 1, units: 3, ticket: 8 },
        Record::Learned { at: at(1_700_000_003), limit: 77, requests: 74, strict: true },
    ];
    for record in records {
        let mut bytes = encode(&record);
        assert_eq!(decode(&bytes), Some(record));
        bytes[9] ^= 4;
        assert_eq!(decode(&bytes), None);
    }
}

#[test]
fn what_was_written_is_there_after_a_restart_without_what_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stamps");
    let lesson = Record::Learned { at: at(2_000), limit: 1, requests: 74, strict: false };
    let first = FileStamps::open_on(&path, HERE).unwrap();
    assert_eq!(first.load(HORIZON, at(2_000)).unwrap(), History::default());
    first.append(lesson).unwrap();
    first.append(sent(2_000, 1)).unwrap();
    first.append(sent(2_090, 2)).unwrap();
    let busy = FileStamps::open_on(&path, HERE).unwrap_err();
    assert!(busy.to_string().contains("another process"), "{busy}");
    drop(first);

    let second = FileStamps::open_on(&path, HERE).unwrap();
    let history = second.load(HORIZON, at(2_100)).unwrap();
    assert_eq!(history, History { records: vec![lesson, sent(2_090, 2)], unknown_until: None });
}

#[test]
fn another_boot_or_a_set_clock_makes_the_past_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stamps");
    let unknown = |clock: Clock, now: u64| {
        FileStamps::open_on(&path, clock).unwrap().load(HORIZON, at(now)).unwrap().unknown_until
    };
    assert_eq!(unknown(HERE, 2_000), None, "nothing was ever sent from here");
    assert_eq!(unknown(HERE, 2_001), None);
    let rebooted = Clock { boot: 8, started_s: 2_500 };
    assert_eq!(unknown(rebooted, 2_600), Some(at(2_501)));
    assert_eq!(unknown(rebooted, 2_601), Some(at(2_501)), "also for a third process");
    let set = Clock { started_s: 2_510, ..rebooted };
    assert_eq!(unknown(set, 2_700), Some(at(2_700)));
}

#[test]
fn the_file_stays_small_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stamps");
    let stamps = FileStamps::open_on(&path, HERE).unwrap();
    stamps.load(HORIZON, at(2_000)).unwrap();
    for second in 0..20_000 {
        stamps.append(sent(2_000 + second, second as u16)).unwrap();
    }
    let size = std::fs::metadata(&path).unwrap().len() as usize;
    assert!(size <= HEADER + ENTRY * (TURN + 1), "{size}");
    drop(stamps);
    let history = FileStamps::open_on(&path, HERE).unwrap().load(HORIZON, at(22_000)).unwrap();
    assert_eq!(history.records.first(), Some(&sent(2_000 + 19_905, 19_905)));
    assert_eq!(history.records.len(), 95);
}

#[test]
fn what_is_no_stamp_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stamps");
    for content in [&b"short"[..], &[b'x'; 64][..]] {
        std::fs::write(&path, content).unwrap();
        let error = FileStamps::open_on(&path, HERE).unwrap().load(HORIZON, at(1)).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Stamps, "{error}");
    }
}

#[test]
fn a_history_is_handed_on_as_bytes_whose_form_does_not_change() {
    let at = UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
    let records = vec![
        Record::Sent { at, key: 7, units: 2, ticket: 3 },
        Record::Answered { at, key: 7, units: 2, ticket: 3 },
        Record::Learned { at, limit: 9, requests: 74, strict: true },
    ];
    for unknown_until in [None, Some(at)] {
        let history = History { records: records.clone(), unknown_until };
        let bytes = history.to_bytes();
        assert_eq!(bytes.len(), 16 + 3 * 16);
        assert_eq!(History::from_bytes(&bytes), Some(history));
        for wrong in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[wrong] ^= 1;
            let read = History::from_bytes(&bent);
            // The head's time has no checksum; whoever hands it on guards it.
            assert!(read.is_none() || (8..16).contains(&wrong), "{wrong}");
            assert_eq!(History::from_bytes(&bytes[..wrong]).is_some(), wrong >= 16 && wrong % 16 == 0);
        }
    }
    assert_eq!(History::from_bytes(b""), None);
    let golden = "54524c4849535431"; // TRLHIST1
    let hex: String = History::default().to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, format!("{golden}0000000000000000"));
}
