//! Which filter chain takes a connection.

use std::collections::HashMap;

use weir_config::model::ServerName;

/// Chains by SNI, as places in the listener's list.
#[derive(Debug, Default)]
pub struct SniIndex {
    exact: HashMap<Box<str>, usize>,
    suffixes: HashMap<Box<str>, usize>,
    rest: Option<usize>,
}

impl SniIndex {
    /// An index over the places and names of chains. Of two chains that claim one name the first has
    /// it; a chain without names takes what no other does.
    pub fn new<'n>(chains: impl Iterator<Item = (usize, &'n [ServerName])>) -> Self {
        let mut index = Self::default();
        for (at, chain) in chains {
            if chain.is_empty() {
                index.rest.get_or_insert(at);
            }
            for name in chain {
                let (names, text) = match name {
                    ServerName::Exact(text) => (&mut index.exact, text),
                    ServerName::Suffix(text) => (&mut index.suffixes, text),
                };
                names.entry(text.as_str().into()).or_insert(at);
            }
        }
        index
    }

    /// The place of the chain that takes this SNI (lower case; none: none was sent, or plain text):
    /// exact before suffix, longer suffix before shorter, then the chain without names.
    pub fn find(&self, sni: Option<&str>) -> Option<usize> {
        sni.and_then(|name| self.exact.get(name).copied().or_else(|| self.find_suffix(name))).or(self.rest)
    }

    fn find_suffix(&self, name: &str) -> Option<usize> {
        if self.suffixes.is_empty() {
            return None;
        }
        let mut suffixes = name.match_indices('.').filter(|(at, _)| *at > 0).map(|(at, _)| &name[at + 1..]);
        suffixes.find_map(|suffix| self.suffixes.get(suffix).copied())
    }
}
