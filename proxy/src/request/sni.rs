//! Which filter chain takes a connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use weir_config::model::ServerName;

use super::table::{ChainTable, ListenerTable};

/// Chains by SNI, as places in the listener's list.
#[derive(Debug, Default)]
pub struct SniIndex {
    exact: HashMap<Box<str>, usize>,
    suffixes: HashMap<Box<str>, usize>,
    rest: Option<usize>,
}

impl ListenerTable {
    /// A listener. Of two chains that claim one name the first has it.
    pub fn new(name: String, address: SocketAddr, chains: Vec<Arc<ChainTable>>) -> Self {
        let mut sni = SniIndex::default();
        for (at, chain) in chains.iter().enumerate() {
            if chain.server_names.is_empty() {
                sni.rest.get_or_insert(at);
            }
            for name in &chain.server_names {
                let (names, text) = match name {
                    ServerName::Exact(text) => (&mut sni.exact, text),
                    ServerName::Suffix(text) => (&mut sni.suffixes, text),
                };
                names.entry(text.as_str().into()).or_insert(at);
            }
        }
        Self { name, address, chains, sni }
    }

    /// The chain that takes a connection with this SNI (lower case; none: none was sent, or plain
    /// text): exact before suffix, longer suffix before shorter, then the chain without names.
    pub fn chain(&self, sni: Option<&str>) -> Option<&Arc<ChainTable>> {
        let named = sni.and_then(|name| {
            let suffixes = || name.match_indices('.').filter(|(at, _)| *at > 0).map(|(at, _)| &name[at + 1..]);
            let exact = self.sni.exact.get(name);
            exact.or_else(|| {
                if self.sni.suffixes.is_empty() { None } else { suffixes().find_map(|s| self.sni.suffixes.get(s)) }
            })
        });
        self.chains.get(*named.or(self.sni.rest.as_ref())?)
    }
}
