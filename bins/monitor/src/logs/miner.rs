//! Which lines are alike: templates mined as they come.
//!
//! After Drain (He, Zhu, Zheng, Lyu: "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017): lines of equally
//! many words are looked up by their first words; among those candidates a line joins the one with the most words in common, when
//! that is at least `SIMILAR` of them, and where both differ the template has a `<*>`.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::level::Level;

/// What stands where lines of one template differ.
const ANY: &str = "<*>";

/// Share of the words that have to be equal. The paper's setting for most of its logs.
const SIMILAR: f64 = 0.5;

/// Words at the beginning by which candidates are looked up.
const DEPTH: usize = 2;

/// Words of a line that are looked at.
const WORDS: usize = 48;

/// Bytes of an example.
const EXAMPLE: usize = 500;

/// Lines that are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Counts up.
    pub id: u64,
    /// Its words, `<*>` where they differ.
    pub template: String,
    /// How many lines.
    pub count: u64,
    /// The worst level among them.
    pub level: Level,
    /// The first and the last, in milliseconds since 1970.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
    /// One of them.
    pub example: String,
    /// It was seen first when it was already known what is usual.
    pub new: bool,
}

/// Finds clusters. Bounded: the one that was seen longest ago goes first.
#[derive(Debug)]
pub struct Miner {
    clusters: BTreeMap<u64, Cluster>,
    /// Clusters by the number of words and the first of them.
    tree: HashMap<(usize, [Box<str>; DEPTH]), Vec<u64>>,
    max: usize,
    next: u64,
}

impl Miner {
    /// Keeps at most `max` clusters.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { clusters: BTreeMap::new(), tree: HashMap::new(), max: max.max(1), next: 1 }
    }

    /// Takes a line; the id of its cluster, and whether that is a new one. `settled` says that what is usual is known.
    pub fn take(&mut self, at_ms: i64, level: Level, text: &str, settled: bool) -> (u64, bool) {
        let words = words(text);
        let key = key(&words);
        let found = self.tree.get(&key).and_then(|ids| self.nearest(ids, &words));
        if let Some(cluster) = found.and_then(|id| self.clusters.get_mut(&id)) {
            merge(&mut cluster.template, &words);
            cluster.count += 1;
            cluster.level = cluster.level.max(level);
            cluster.last_ms = cluster.last_ms.max(at_ms);
            return (cluster.id, false);
        }
        if self.clusters.len() >= self.max {
            self.forget();
        }
        let id = self.next;
        self.next += 1;
        let end = (0..=EXAMPLE.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let (template, example) = (words.join(" "), text[..end].to_owned());
        let cluster =
            Cluster { id, template, count: 1, level, first_ms: at_ms, last_ms: at_ms, example, new: settled };
        self.clusters.insert(id, cluster);
        self.tree.entry(key).or_default().push(id);
        (id, true)
    }

    /// All of them, in the order in which they came up.
    pub fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        self.clusters.values()
    }

    /// Takes back what an earlier run found.
    pub fn restore(&mut self, clusters: Vec<Cluster>) {
        for cluster in clusters.into_iter().rev().take(self.max) {
            let words: Vec<String> = cluster.template.split(' ').map(str::to_owned).collect();
            self.next = self.next.max(cluster.id + 1);
            self.tree.entry(key(&words)).or_default().push(cluster.id);
            self.clusters.insert(cluster.id, cluster);
        }
    }

    fn nearest(&self, ids: &[u64], words: &[String]) -> Option<u64> {
        let mut best: Option<(f64, u64)> = None;
        for id in ids {
            let Some(cluster) = self.clusters.get(id) else { continue };
            let pairs = cluster.template.split(' ').zip(words);
            let same = pairs.filter(|(template, word)| template == word).count();
            let share = same as f64 / words.len().max(1) as f64;
            if share >= SIMILAR && best.is_none_or(|(most, _)| share > most) {
                best = Some((share, *id));
            }
        }
        best.map(|(_, id)| id)
    }

    fn forget(&mut self) {
        let Some(oldest) =
            self.clusters.values().min_by_key(|cluster| cluster.last_ms).map(|cluster| cluster.id)
        else {
            return;
        };
        self.clusters.remove(&oldest);
        self.tree.retain(|_, ids| {
            ids.retain(|id| *id != oldest);
            !ids.is_empty()
        });
    }
}

/// A line's words: what holds a digit differs from line to line and is no word of the template.
fn words(text: &str) -> Vec<String> {
    let varies = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit());
    let word = |word: &str| if varies(word) { ANY.to_owned() } else { word.to_owned() };
    let words: Vec<String> = text.split_whitespace().take(WORDS).map(word).collect();
    if words.is_empty() { vec![String::new()] } else { words }
}

fn key(words: &[String]) -> (usize, [Box<str>; DEPTH]) {
    (words.len(), std::array::from_fn(|at| words.get(at).map_or("", String::as_str).into()))
}

/// Where template and line differ, the template varies. Its first words are what it is found by and are equal.
fn merge(template: &mut String, words: &[String]) {
    if template.split(' ').zip(words).all(|(known, word)| known == word) {
        return;
    }
    let merged: Vec<&str> =
        template.split(' ').zip(words).map(|(known, word)| if known == word { known } else { ANY }).collect();
    *template = merged.join(" ");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_that_differ_in_names_and_numbers_are_one() {
        let mut miner = Miner::new(10);
        for (user, port) in [("anna", 1), ("ben", 22), ("carl", 333)] {
            miner.take(
                i64::from(port),
                Level::Error,
                &format!("connection of {user} from 10.0.0.{port} was closed"),
                false,
            );
        }
        miner.take(5, Level::Info, "all is well", true);
        let all: Vec<&Cluster> = miner.clusters().collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].template.as_str(), all[0].count), ("connection of <*> from <*> was closed", 3));
        assert_eq!((all[0].first_ms, all[0].last_ms, all[0].new), (1, 333, false));
        assert!(all[1].new);
    }

    #[test]
    fn what_was_found_is_known_after_a_restart() {
        let mut miner = Miner::new(10);
        miner.take(1, Level::Info, "request 7 took long", false);
        let saved: Vec<Cluster> = miner.clusters().cloned().collect();
        let mut again = Miner::new(10);
        again.restore(saved);
        assert_eq!(again.take(2, Level::Info, "request 8 took long", true), (1, false));
        assert_eq!(again.take(3, Level::Info, "something else", true), (2, true));
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_counts_every_line(lines in prop::collection::vec("[a-c1 ]{0,12}", 0..300), max in 1_usize..8) {
            let mut miner = Miner::new(max);
            for (at, line) in lines.iter().enumerate() {
                let (id, _) = miner.take(at as i64, Level::Info, line, false);
                prop_assert!(miner.clusters().any(|cluster| cluster.id == id));
                prop_assert!(miner.clusters.len() <= max);
                prop_assert_eq!(miner.tree.values().map(Vec::len).sum::<usize>(), miner.clusters.len());
            }
            if max >= lines.len() {
                prop_assert_eq!(miner.clusters().map(|cluster| cluster.count).sum::<u64>(), lines.len() as u64);
            }
        }
    }
}
