//! The same journal on the operating system's disk.

use std::{sync::Arc, time::Duration};

use tidemill_journal::{Config, Disk, EntryKind, Journal, OsDisk};

#[test]
fn frames_come_back_from_a_real_directory() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { segment_bytes: 4096, ..Config::default() };
    let (mut journal, _) =
        Journal::open(Arc::new(OsDisk), dir.path(), config.clone(), 0, &mut |_, _| Ok(())).unwrap();
    for n in 0..20u8 {
        journal.append(&[&[n; 600], b"end"], Duration::ZERO).unwrap();
    }
    drop(journal);
    let mut seen = Vec::new();
    let (journal, recovery) = Journal::open(Arc::new(OsDisk), dir.path(), config, 0, &mut |_, payload| {
        seen.push(payload[0]);
        assert_eq!(payload.len(), 603);
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, (0..20).collect::<Vec<u8>>());
    assert_eq!(recovery.last_seq, 20);
    assert!(journal.stats().segments > 2);
}

#[test]
fn a_lock_names_its_holder_and_a_dead_one_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    std::fs::write(&path, "pid 1 (gone)").unwrap();
    let lock = OsDisk.lock(&path, "pid 42").unwrap();
    let refused = OsDisk.lock(&path, "pid 43").map(|_| ()).unwrap_err();
    assert_eq!((refused.kind(), refused.to_string().as_str()), (std::io::ErrorKind::WouldBlock, "pid 42"));
    drop(lock);
    OsDisk.lock(&path, "pid 43").unwrap();
}

#[test]
fn names_links_and_directories_behave_as_on_the_simulated_disk() {
    let dir = tempfile::tempdir().unwrap();
    check_names(&OsDisk, dir.path());
    check_names(&tidemill_journal::sim::SimDisk::new(), "/data".as_ref());
}

fn check_names(disk: &dyn Disk, root: &std::path::Path) {
    let (first, second) = (root.join("first"), root.join("second"));
    disk.create_dir(&first).unwrap();
    assert!(disk.create_dir(&first).is_err());
    let mut file = disk.create(&first.join("rows")).unwrap();
    file.append(b"12345").unwrap();
    file.sync("test").unwrap();
    assert!(disk.create(&first.join("rows")).is_err());
    disk.create_dir(&second).unwrap();
    disk.link(&first.join("rows"), &second.join("rows")).unwrap();
    disk.symlink("first".as_ref(), &root.join("now")).unwrap();
    assert_eq!(disk.read(&root.join("now/rows")).unwrap(), b"12345");
    disk.symlink("second".as_ref(), &root.join("tmp")).unwrap();
    disk.rename(&root.join("tmp"), &root.join("now")).unwrap();
    assert_eq!(disk.read_link(&root.join("now")).unwrap(), std::path::PathBuf::from("second"));
    assert!(disk.remove_dir(&first).is_err());
    disk.remove(&first.join("rows")).unwrap();
    disk.remove_dir(&first).unwrap();
    assert_eq!(disk.read(&root.join("now/rows")).unwrap(), b"12345");
    let names: Vec<_> = disk.list(root).unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
    assert_eq!(names, [("now".to_owned(), EntryKind::Link), ("second".to_owned(), EntryKind::Dir)]);
    let file = disk.open(&second.join("rows")).unwrap();
    let mut part = [0; 2];
    file.read_at(&mut part, 3).unwrap();
    assert_eq!((file.size(), &part), (5, b"45"));
    assert!(file.read_at(&mut part, 4).is_err());
    disk.sync_dir(root, "test").unwrap();
}
