//! Free ports by name: chosen by the kernel, so that two runs never meet.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Port numbers by their names in a configuration template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports(BTreeMap<String, u16>);

impl Ports {
    /// Binds port 0 for each name, and lets all go at once, so that no number comes twice.
    pub(super) fn free(names: &[&str]) -> Result<Self> {
        let listeners: Vec<TcpListener> =
            names.iter().map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
        let numbers = listeners.iter().map(|listener| Ok(listener.local_addr()?.port()));
        let numbers: Vec<u16> = numbers.collect::<Result<_>>()?;
        Ok(Self(names.iter().map(|name| (*name).to_owned()).zip(numbers).collect()))
    }

    pub(super) fn get(&self, name: &str) -> Result<u16> {
        self.0.get(name).copied().with_context(|| format!("no port is called {name}"))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u16)> {
        self.0.iter().map(|(name, port)| (name.as_str(), *port))
    }

    pub(super) fn merge(&mut self, others: &Self) {
        self.0.extend(others.0.clone());
    }

    /// Whether every port takes a connection.
    pub(super) fn accept(&self) -> bool {
        self.0.values().all(|port| {
            let address = (Ipv4Addr::LOCALHOST, *port).into();
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1));
            // A port of the ephemeral range may connect to itself while nobody listens.
            stream.and_then(|stream| stream.local_addr()).is_ok_and(|local| local != address)
        })
    }

    /// A template with `@name@` filled in for every port and every further value; a word left over is an error.
    pub(super) fn fill(&self, template: &str, values: &[(&str, &str)]) -> Result<String> {
        let mut text = template.to_owned();
        for (name, port) in self.iter() {
            text = text.replace(&format!("@{name}@"), &port.to_string());
        }
        for (name, value) in values {
            text = text.replace(&format!("@{name}@"), value);
        }
        let left = text.split('@').skip(1).step_by(2).find(|word| {
            !word.is_empty()
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
                && text.contains(&format!("@{word}@"))
        });
        match left {
            Some(word) => anyhow::bail!("the template has @{word}@ and nobody fills it"),
            None => Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_number_of_its_own() {
        let ports = Ports::free(&["a", "b", "c"]).unwrap();
        let numbers: std::collections::BTreeSet<u16> = ports.iter().map(|(_, port)| port).collect();
        assert_eq!(numbers.len(), 3);
        assert!(ports.get("d").is_err());
    }

    #[test]
    fn only_a_listener_accepts() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ports = Ports(BTreeMap::from([("a".to_owned(), listener.local_addr().unwrap().port())]));
        assert!(ports.accept());
        drop(listener);
        assert!(!ports.accept());
    }

    #[test]
    fn a_template_is_filled_completely_or_not_at_all() {
        let ports = Ports(BTreeMap::from([("open".to_owned(), 81)]));
        assert_eq!(
            ports.fill("listen @open@; user @user@;", &[("user", "x")]).unwrap(),
            "listen 81; user x;"
        );
        assert!(ports.fill("listen @open@; user @user@;", &[]).is_err());
        assert!(ports.fill("location @unknown { }", &[]).is_ok(), "nginx's own names stay");
    }
}
