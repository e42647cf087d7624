//! Parsers of files under outside text, and sums that are known.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::facts::Fact;
use crate::facts::identity;
use crate::system::tests::tree;

const UNITS: Units = Units { ticks: 100.0, page_bytes: 4096.0, max_cpus: 4, max_devices: 3 };

/// What a parser tells of a text, and what it counts as odd.
fn told(parser: Parser, text: &str) -> (Vec<String>, u64) {
    let mut book = Book::new(1000);
    book.begin();
    parser(text, &UNITS, &mut book);
    let told = book.end().iter().map(|fact: &Fact| format!("{} {}", fact.about, fact.value)).collect();
    (told, book.stats().odd)
}

#[test]
fn what_is_cut_short_costs_only_itself() {
    let (all, odd) = told(cpu::stat, "cpu 1 2\ncpu0 100 0 50\nctxt 7\nintr x\nbtime 1700000000\n");
    assert_eq!(all[0], "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1");
    assert_eq!(all.last().unwrap(), "node_boot_time_seconds 1700000000");
    assert_eq!((all.len(), odd), (5, 6), "{all:?}");
    let (all, odd) =
        told(memory::info, "MemTotal: 2 kB\nActive(anon): 1 kB\nHugePages_Free: 3\nOdd: x\nMega: 1 MB\n");
    assert_eq!(
        (all, odd),
        (
            vec![
                "node_memory_MemTotal_bytes 2048".to_owned(),
                "node_memory_Active_anon_bytes 1024".to_owned(),
                "node_memory_HugePages_Free 3".to_owned()
            ],
            2
        )
    );
    let (all, odd) =
        told(network::netstat, "Tcp: ActiveOpens CurrEstab\nTcp: 5 2\nUdp: NoPorts\nIp: 1\nIpExt: a\n");
    assert_eq!((all.len(), odd), (2, 1), "{all:?}");
    let (all, _) = told(network::snmp6, "UdpLite6InErrors 4\nIp6InOctets 9\nIp6InReceives 1\n");
    assert_eq!(all, ["node_netstat_UdpLite6_InErrors 4", "node_netstat_Ip6_InOctets 9"]);
    let (all, _) = told(network::softnet, "0000000a 1 2 0\n");
    assert_eq!(all[0], "node_softnet_processed_total{cpu=\"0\"} 10");
    let (all, _) = told(network::conntrack, "entries found drop\n01 0a 00\n01 05 02\n");
    assert_eq!(all, ["node_nf_conntrack_stat_found 15", "node_nf_conntrack_stat_drop 2"]);
    let (all, _) = told(cpu::schedstat, "version 15\ncpu0 0 0 0 0 0 0 1500000000 5 7\ndomain0 3 1\n");
    assert_eq!(all[0], "node_schedstat_running_seconds_total{cpu=\"0\"} 1.5");
}

#[test]
fn more_devices_than_the_bound_are_left_out_and_counted() {
    let line = |n: u32| format!("8 {n} sd{} 1 2 3 4 5 6 7 8 9 10 11\n", (b'a' + n as u8) as char);
    let text: String = (0..5).map(line).collect();
    let mut book = Book::new(1000);
    book.begin();
    crate::facts::disks::counted(&text, &UNITS, &mut book);
    assert_eq!((book.end().len(), book.stats().beyond, book.stats().odd), (33, 2, 0));
    let (all, _) = told(
        cpu::stat,
        "cpu0 1 1 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1 1 1\ncpu2 1 1 1 1 1 1 1 1\ncpu3 1 1 1 1 1 1 1 1\ncpu4 1 1 1 1 1 1 1 1\n",
    );
    assert_eq!(all.len(), 32);
}

#[test]
fn a_machine_of_files_is_read_and_changes_with_them() {
    let root = tree(&[
        ("proc/loadavg", "0.5 1 2 1/2 3\n"),
        ("sys/class/net/eth0/mtu", "1500\n"),
        ("sys/class/net/eth0/speed", "-1\n"),
        ("sys/class/net/eth0/operstate", "up\n"),
        ("sys/class/net/bonding_masters", "\n"),
        ("etc/os-release", "ID=x\nVERSION_ID=\"22.04.1\"\nNAME=\"A \\\"b\\\"\"\n"),
    ]);
    let config = FactsConfig { root: root.path().to_owned(), ..FactsConfig::default() };
    let mut facts = crate::Facts::builder(config).build().unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
    let mut has = |wanted: &str| {
        let all: Vec<String> =
            facts.read(now).iter().map(|fact| format!("{} {}", fact.about, fact.value)).collect();
        assert!(all.iter().any(|one| one == wanted), "{wanted} is not in {all:#?}");
        assert!(!all.iter().any(|one| one.contains("speed") || one.contains("bonding")), "{all:#?}");
    };
    has("node_load1 0.5");
    has("node_time_seconds 5");
    has("node_network_up{device=\"eth0\"} 1");
    has("node_os_version{id=\"x\",id_like=\"\",name=\"A \\\"b\\\"\"} 22.04");
    std::fs::write(root.path().join("proc/loadavg"), "7 1 2 1/2 3\n").unwrap();
    std::fs::write(root.path().join("sys/class/net/eth0/mtu"), "9000\n").unwrap();
    has("node_load1 7");
    has("node_network_mtu_bytes{device=\"eth0\"} 9000");
    std::fs::rename(root.path().join("sys/class/net/eth0"), root.path().join("sys/class/net/wan")).unwrap();
    has("node_network_mtu_bytes{device=\"wan\"} 9000");
    // The control: an error in the file is an error in what is told.
    std::fs::write(root.path().join("proc/loadavg"), "8 1 2 1/2 3\n").unwrap();
    has("node_load1 8");
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in "([a-zA-Z0-9_:()= -]|\n|[^a]){0,400}") {
        for (_, parser) in FILES {
            told(parser, &text);
        }
        let mut book = Book::new(100);
        book.begin();
        identity::release(&text, &mut book);
        crate::facts::disks::counted(&text, &UNITS, &mut book);
        crate::facts::disks::properties(&text);
    }

    /// What this machine says, with a piece of it replaced: nothing panics, and nothing is told twice.
    #[test]
    fn no_damage_makes_a_parser_panic(at in any::<prop::sample::Index>(), length in 0_usize..40, with in "[ -~\n]{0,20}") {
        for (path, parser) in FILES {
            let Ok(text) = std::fs::read_to_string(format!("/{path}")) else { continue };
            let mut bytes: Vec<char> = text.chars().take(20_000).collect();
            let from = at.index(bytes.len() + 1);
            let to = (from + length).min(bytes.len());
            bytes.splice(from..to, with.chars());
            let (all, _) = told(parser, &bytes.into_iter().collect::<String>());
            let names: std::collections::BTreeSet<&str> =
                all.iter().filter_map(|one| Some(one.rsplit_once(' ')?.0)).collect();
            prop_assert_eq!(names.len(), all.len());
        }
    }

    #[test]
    fn no_number_makes_a_parser_panic(numbers in prop::collection::vec(any::<u64>(), 0..30)) {
        let words = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        for head in ["cpu0 ", "eth0: ", "Tcp: ", "TCP: inuse ", "8 0 sda ", "MemTotal: ", ""] {
            for (_, parser) in FILES {
                told(parser, &format!("{head}{words}\n{head}{words}\n"));
            }
        }
    }
}
