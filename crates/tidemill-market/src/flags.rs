//! Doubts collected while reading, at most sixteen a rule.

use crate::reading::Flag;
use crate::rule::Rule;

/// Flags kept of one rule; further ones are counted.
pub(crate) const PER_RULE: u32 = 16;

#[derive(Default)]
pub(crate) struct Flags {
    flags: Vec<Flag>,
    counts: Vec<(Rule, u32)>,
}

impl Flags {
    /// Adds a flag; its words are only made if there is room.
    pub(crate) fn add(&mut self, rule: Rule, ts: Option<i64>, reason: impl FnOnce() -> String) {
        let position = self.counts.iter().position(|(known, _)| *known == rule).unwrap_or_else(|| {
            self.counts.push((rule, 0));
            self.counts.len() - 1
        });
        let count = &mut self.counts[position].1;
        *count = count.saturating_add(1);
        if *count <= PER_RULE {
            self.flags.push(Flag { rule, ts, reason: reason() });
        }
    }

    /// The flags, with one more for each rule that had too many.
    pub(crate) fn into_vec(mut self) -> Vec<Flag> {
        for (rule, count) in self.counts.into_iter().filter(|(_, count)| *count > PER_RULE) {
            self.flags.push(Flag { rule, ts: None, reason: format!("and {} more", count - PER_RULE) });
        }
        self.flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_sixteen_and_counts_the_rest() {
        let mut flags = Flags::default();
        for n in 0..20 {
            flags.add(Rule::V8, Some(n), || n.to_string());
        }
        flags.add(Rule::V7, None, || "gap".into());
        let flags = flags.into_vec();
        assert_eq!(flags.len(), 16 + 1 + 1);
        assert_eq!(flags[17].reason, "and 4 more");
    }
}
