//! Files of /proc under whatever bytes the fuzzer thinks of: the first byte chooses the file.

#![no_main]

use std::collections::HashSet;
use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use tidemill_host::{Facts, FactsConfig};

const FILES: [&str; 12] = [
    "proc/stat",
    "proc/schedstat",
    "proc/meminfo",
    "proc/diskstats",
    "proc/pressure/io",
    "proc/net/dev",
    "proc/net/netstat",
    "proc/net/snmp6",
    "proc/net/sockstat",
    "proc/net/softnet_stat",
    "proc/net/stat/nf_conntrack",
    "etc/os-release",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((which, text)) = bytes.split_first() else { return };
    let root = std::env::temp_dir().join(format!("tidemill-fuzz-facts-{}", std::process::id()));
    let path = root.join(FILES[usize::from(*which) % FILES.len()]);
    std::fs::create_dir_all(path.parent().expect("all stand in a folder")).expect("a folder to write to");
    std::fs::write(&path, text).expect("a folder to write to");
    let config = FactsConfig { root, max_facts: 5000, ..FactsConfig::default() };
    let mut facts = Facts::builder(config).build().expect("the bounds are sound");
    for _ in 0..2 {
        let told = facts.read(SystemTime::UNIX_EPOCH);
        assert!(told.len() <= 5000 && told.iter().all(|fact| fact.value.is_finite()));
        assert_eq!(told.iter().map(|fact| &fact.about).collect::<HashSet<_>>().len(), told.len());
    }
    std::fs::remove_file(&path).expect("it was written");
});
