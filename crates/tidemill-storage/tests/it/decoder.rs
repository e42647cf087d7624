//! What stands behind the file checksum: mutated files whose checksum was made right again.

use std::path::Path;

use tidemill_storage::{Config, ErrorKind, Scan, Store, TableSpec, arrow::arrow_array::RecordBatch};

use crate::{allocations::largest, encoding::batch};

/// The greatest page that is believed, and some room.
const BOUND: usize = (128 << 20) + (1 << 20);

fn read(dir: &Path, scan: &Scan) -> Result<Vec<RecordBatch>, tidemill_storage::Error> {
    Store::open_read_only(dir)?.scan("all", scan)?.collect()
}

/// The same rows, bit by bit; `range` leaves out some.
fn same(found: &[RecordBatch], given: &[RecordBatch]) -> bool {
    let rows = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>();
    let equal = |(a, b): (&RecordBatch, &RecordBatch)| {
        a.columns().iter().zip(b.columns()).all(|(a, b)| a.to_data() == b.to_data())
    };
    rows(found) == rows(given) && found.iter().zip(given).all(equal)
}

/// SplitMix64 (Steele, Lea and Flood 2014).
fn random(seed: &mut u64) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as usize
}

fn mutate(bytes: &mut Vec<u8>, tail: usize, seed: &mut u64) {
    let len = bytes.len();
    match random(seed) % 6 {
        0 => bytes[random(seed) % tail] ^= 1 << (random(seed) % 8),
        1 => bytes[tail + random(seed) % (len - tail)] = random(seed) as u8,
        2 => bytes.truncate(random(seed) % len),
        3 => {
            let at = random(seed) % (len - 64);
            bytes[at..at + 64].fill(0);
        }
        // Numbers that claim much.
        4 => {
            let at = random(seed) % (len - 5);
            bytes[at..at + 5].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
        }
        _ => {
            let (from, to) = (random(seed) % (len - 40), random(seed) % (len - 40));
            let piece = bytes[from..from + 40].to_vec();
            bytes[to..to + 40].copy_from_slice(&piece);
        }
    }
}

/// Mutates files and makes right the checksum of the whole, and in every other round that of the footer too: then nothing but
/// the checksums of pages, the bounds of what is believed, and the decoder's own care are left.
#[test]
fn mutated_files_with_a_right_checksum_do_not_panic_nor_give_wrong_rows() {
    let mut seed = 11;
    let mut outcomes = [0; 3];
    for kind in 0..3 {
        let rows = batch([5, 2, 4][kind], [0, 1, 0][kind]);
        let dir = tempfile::tempdir().unwrap();
        let config = Config { row_group_rows: 700, page_rows: 100, ..Config::default() };
        let spec = TableSpec::new("all", rows.schema(), ["id"]);
        let store = Store::builder(config).table(spec).open(dir.path()).unwrap();
        store.load("all", [rows]).unwrap();
        drop(store);
        let scans = [
            Scan::new(),
            Scan::new().range("id", 150..420).columns(["id", "i64", "cents", "text"]),
            // Most of its pages are not asked: the page index says that they lie within.
            Scan::new().range("id", 150..920).columns(["cents"]),
        ];
        let sound = scans.clone().map(|scan| read(dir.path(), &scan).unwrap());
        let path = dir.path().join("parquet/all/part-000001.parquet");
        let manifest = dir.path().join("manifests/all/000001.json");
        let original = std::fs::read(&path).unwrap();
        let mut entry: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
        let tail = entry["files"][0]["tail"]["from"].as_u64().unwrap() as usize;
        for round in 0..crate::rounds(60, 2000) {
            let mut bytes = original.clone();
            mutate(&mut bytes, tail, &mut seed);
            std::fs::write(&path, &bytes).unwrap();
            let file = &mut entry["files"][0];
            file["bytes"] = bytes.len().into();
            file["crc32c"] = crc32c::crc32c(&bytes).into();
            let rest = if round % 2 == 0 { &original[tail..] } else { &bytes[tail.min(bytes.len())..] };
            file["tail"]["crc32c"] = crc32c::crc32c(rest).into();
            std::fs::write(&manifest, serde_json::to_vec(&entry).unwrap()).unwrap();
            for (at, (scan, sound)) in scans.iter().zip(&sound).enumerate() {
                largest();
                let found = read(dir.path(), scan);
                let allocated = largest();
                assert!(allocated < BOUND, "kind {kind}, round {round}: {allocated} bytes at once");
                match found {
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "kind {kind}, round {round}: {error:?}");
                        outcomes[0] += 1;
                    }
                    Ok(found) if same(&found, sound) => outcomes[1] += 1,
                    // A footer that was forged with its checksum is a footer.
                    Ok(_) => {
                        // One that leaves out pages shows in the wide range, narrow ones hardly meet it.
                        outcomes[2] += usize::from(at < 2);
                        assert!(round % 2 == 1, "kind {kind}, round {round}: wrong rows");
                    }
                }
            }
        }
    }
    assert!(outcomes[0] > 100 && outcomes[1] > 0 && outcomes[2] * 500 < outcomes[0], "{outcomes:?}");
}
