//! What a server itself admitted and refused, read from where it keeps its own books.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::ports::Ports;

/// The server's books for one key on one port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(super) port: String,
    pub(super) key: String,
    pub(super) admitted: u64,
    pub(super) refused: u64,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {} admitted, {} refused", self.port, self.key, self.admitted, self.refused)
    }
}

#[derive(Default)]
struct Book(BTreeMap<(String, String), (u64, u64)>);

impl Book {
    fn add(&mut self, port: &str, key: &str, admitted: u64, refused: u64) {
        let entry = self.0.entry((port.to_owned(), key.to_owned())).or_default();
        entry.0 += admitted;
        entry.1 += refused;
    }

    fn close(self) -> Vec<Count> {
        let counts = self.0.into_iter();
        counts.map(|((port, key), (admitted, refused))| Count { port, key, admitted, refused }).collect()
    }
}

/// nginx: one line per request, `port key status limit_req limit_conn time`; a status of 200 may be a refusal, the
/// words of the limits are not mistaken.
pub(super) fn of_log(log: &str, ports: &Ports) -> Vec<Count> {
    let names: BTreeMap<String, &str> = ports.iter().map(|(name, port)| (port.to_string(), name)).collect();
    let mut book = Book::default();
    for line in log.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [port, key, _status, by_rate, by_connections, _time] = words.as_slice() else { continue };
        let refused = [by_rate, by_connections].iter().any(|word| **word == "REJECTED");
        let port = names.get(*port).copied().unwrap_or(port);
        book.add(port, key, u64::from(!refused), u64::from(refused));
    }
    book.close()
}

/// HAProxy: the tables `PORT_admitted` and `PORT_refused` on its admin socket.
pub(super) fn of_tables(socket: &Path, ports: &[&str]) -> Result<Vec<Count>> {
    let mut book = Book::default();
    for port in ports {
        for (key, count) in parse_table(&show_table(socket, &format!("{port}_admitted"))?) {
            book.add(port, &key, count, 0);
        }
        for (key, count) in parse_table(&show_table(socket, &format!("{port}_refused"))?) {
            book.add(port, &key, 0, count);
        }
    }
    Ok(book.close())
}

fn show_table(socket: &Path, table: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket).with_context(|| format!("{}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("show table {table}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.starts_with("# table"), "show table {table}: {}", answer.trim());
    Ok(answer)
}

/// Keys and their `http_req_cnt`.
fn parse_table(answer: &str) -> Vec<(String, u64)> {
    let field = |line: &str, name: &str| {
        line.split_whitespace().find_map(|word| word.strip_prefix(name).map(str::to_owned))
    };
    let row = |line: &str| Some((field(line, "key=")?, field(line, "http_req_cnt=")?.parse().ok()?));
    answer.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_with_status_200_is_a_refusal() {
        let ports = Ports::free(&["note"]).unwrap();
        let port = ports.get("note").unwrap();
        let log = format!(
            "{port} k1 200 PASSED - 1.5\n{port} k1 200 REJECTED - 1.6\n{port} k2 503 - REJECTED 1.7\nx\n"
        );
        let counts = of_log(&log, &ports);
        let expected =
            |key: &str, admitted, refused| Count { port: "note".into(), key: key.into(), admitted, refused };
        assert_eq!(counts, [expected("k1", 1, 1), expected("k2", 0, 1)]);
    }

    #[test]
    fn a_table_is_read_by_the_names_of_its_fields() {
        let answer = "# table: sliding_admitted, type: string, size:102400, used:1\n\
            0x55: key=k1 use=0 exp=86399 shard=0 http_req_cnt=76 http_req_rate(60000)=76\n\n";
        assert_eq!(parse_table(answer), [("k1".to_owned(), 76)]);
    }
}
