//! Golden bytes: what version 1 wrote, every later version must open.

use tidemill_journal::{Config, Disk, sim::SimDisk};

use crate::{DIR, append, open};

/// Two frames, "ebb" and "flood", as FORMAT.md describes them.
const GOLDEN_V1: &str = include_str!("../golden/v1.hex");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn version_1_is_written_as_it_always_was() {
    let disk = SimDisk::new();
    let (mut journal, _, _) = open(&disk, &Config::default()).unwrap();
    append(&mut journal, b"ebb").unwrap();
    append(&mut journal, b"flood").unwrap();
    let path = std::path::Path::new(DIR).join("0000000001.journal");
    assert_eq!(hex(&disk.read(&path).unwrap()), hex(&unhex(GOLDEN_V1)));
}

#[test]
fn version_1_is_opened() {
    let disk = SimDisk::new();
    let mut file = disk.create(&std::path::Path::new(DIR).join("0000000001.journal")).unwrap();
    file.append(&unhex(GOLDEN_V1)).unwrap();
    let (_, _, frames) = open(&disk, &Config::default()).unwrap();
    assert_eq!(frames, [(1, b"ebb".to_vec()), (2, b"flood".to_vec())]);
}
