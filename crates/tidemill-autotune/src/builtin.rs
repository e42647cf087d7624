//! The rules that ship with the crate, as TOML one can read.

use serde::Deserialize;

use crate::error::Error;
use crate::rule::Rule;

/// The text of the built-in rules, for whoever wants to print or copy it.
pub const BUILTIN_RULES: &str = include_str!("../rules/default.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    rule: Vec<Rule>,
}

/// The built-in rules.
///
/// # Errors
/// None in a release: a test reads them.
pub fn builtin_rules() -> Result<Vec<Rule>, Error> {
    let rules: Rules = toml::from_str(BUILTIN_RULES)
        .map_err(|error| Error::config("the built-in rules", error.to_string()))?;
    Ok(rules.rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_rule_is_read_and_has_its_reason() {
        let rules = builtin_rules().unwrap();
        assert_eq!(rules.len(), 13);
        for rule in rules {
            rule.validate().unwrap();
            assert!(!rule.why.is_empty(), "{}", rule.name);
        }
    }
}
