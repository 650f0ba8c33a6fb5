//! Virtual hosts by host: exact names first, then suffixes from the longest, then `*`.
//!
//! The table is persistent: a clone shares all but a spine of pointers, and a change copies only
//! the shard that it falls into. So one host among 100,000 changes at the cost of some hundred
//! pointers, while requests read the table as it was.

use std::sync::Arc;

use weir_config::model::Domain;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::table::VirtualHostTable;

/// Mean size of a shard at which the spine doubles.
const SHARD: usize = 256;

/// Virtual hosts of a RouteConfiguration, by host.
#[derive(Clone, Debug, Default)]
pub struct HostTable {
    exact: Names,
    suffixes: Names,
    /// Lengths that suffixes have, longest first, and how many have each.
    lengths: Vec<(usize, usize)>,
    any: Option<Arc<VirtualHostTable>>,
}

impl HostTable {
    /// An empty table whose hashing begins with `seed`: a number that nobody outside can know, so
    /// that nobody can choose names that fall together.
    pub fn new(seed: u64) -> Self {
        let names = Names { seed, ..Names::default() };
        Self { exact: names.clone(), suffixes: names, ..Self::default() }
    }

    /// The virtual host that serves `host` (lower case, without port).
    pub fn find(&self, host: &str) -> Option<&Arc<VirtualHostTable>> {
        self.exact.get(host).or_else(|| self.find_suffix(host)).or(self.any.as_ref())
    }

    /// `*.a.b` takes what ends in `.a.b` and has at least a byte before that.
    fn find_suffix(&self, host: &str) -> Option<&Arc<VirtualHostTable>> {
        self.lengths.iter().find_map(|(length, _)| {
            let dot = host.len().checked_sub(length + 1).filter(|at| *at > 0)?;
            if host.as_bytes()[dot] != b'.' {
                return None;
            }
            self.suffixes.get(&host[dot + 1..])
        })
    }

    /// Whether no host is served.
    pub fn is_empty(&self) -> bool {
        self.exact.len == 0 && self.suffixes.len == 0 && self.any.is_none()
    }

    /// The virtual host that holds exactly this domain.
    pub fn holder(&self, domain: &Domain) -> Option<&Arc<VirtualHostTable>> {
        match domain {
            Domain::Exact(name) => self.exact.get(name),
            Domain::Suffix(name) => self.suffixes.get(name),
            Domain::Any => self.any.as_ref(),
        }
    }

    /// Puts a virtual host in under each of its domains that no other holds; false if another
    /// holds one of them.
    pub fn insert(&mut self, host: &Arc<VirtualHostTable>) -> bool {
        let mut all = true;
        for (place, domain) in (0..).zip(&host.domains) {
            if let Some(holder) = self.holder(domain) {
                all &= Arc::ptr_eq(holder, host);
                continue;
            }
            match domain {
                Domain::Exact(name) => self.exact.insert(name, place, host),
                Domain::Suffix(name) => {
                    self.suffixes.insert(name, place, host);
                    self.count(name.len(), true);
                }
                Domain::Any => self.any = Some(host.clone()),
            }
        }
        all
    }

    /// Takes a virtual host out: this very one, not another of its name.
    pub fn remove(&mut self, host: &Arc<VirtualHostTable>) {
        for domain in &host.domains {
            if !self.holder(domain).is_some_and(|holder| Arc::ptr_eq(holder, host)) {
                continue;
            }
            match domain {
                Domain::Exact(name) => self.exact.remove(name),
                Domain::Suffix(name) => {
                    self.suffixes.remove(name);
                    self.count(name.len(), false);
                }
                Domain::Any => self.any = None,
            }
        }
    }

    /// Most names that a search looks through.
    #[cfg(test)]
    pub(super) fn largest_shard(&self) -> usize {
        self.exact.shards.iter().map(|shard| shard.len()).max().unwrap_or_default()
    }

    fn count(&mut self, length: usize, more: bool) {
        match self.lengths.binary_search_by(|(l, _)| length.cmp(l)) {
            Ok(at) if more => self.lengths[at].1 += 1,
            Ok(at) if self.lengths[at].1 > 1 => self.lengths[at].1 -= 1,
            Ok(at) => drop(self.lengths.remove(at)),
            Err(at) if more => self.lengths.insert(at, (length, 1)),
            Err(_) => {}
        }
    }
}

/// Names in shards by hash. The texts are the virtual hosts' own.
#[derive(Clone, Debug, Default)]
struct Names {
    seed: u64,
    len: usize,
    /// A power of two of shards, or none.
    shards: Vec<Arc<Vec<Entry>>>,
}

/// A name, ordered by hash in its shard.
#[derive(Clone, Debug)]
struct Entry {
    hash: u32,
    /// Which of the host's domains.
    place: u32,
    host: Arc<VirtualHostTable>,
}

impl Entry {
    fn name(&self) -> &str {
        match self.host.domains.get(self.place as usize) {
            Some(Domain::Exact(name) | Domain::Suffix(name)) => name,
            _ => "",
        }
    }
}

impl Names {
    /// Shard (from the upper bits) and hash within it (the lower).
    fn locate(&self, name: &str) -> (usize, u32) {
        let hash = xxh3_64_with_seed(name.as_bytes(), self.seed);
        ((hash >> 32) as usize & self.shards.len().wrapping_sub(1), hash as u32)
    }

    fn get(&self, name: &str) -> Option<&Arc<VirtualHostTable>> {
        let (shard, hash) = self.locate(name);
        let shard = self.shards.get(shard)?;
        let from = shard.partition_point(|entry| entry.hash < hash);
        shard[from..].iter().take_while(|e| e.hash == hash).find(|e| e.name() == name).map(|e| &e.host)
    }

    /// `name` must not be there.
    fn insert(&mut self, name: &str, place: u32, host: &Arc<VirtualHostTable>) {
        if self.len >= self.shards.len() * SHARD {
            self.grow();
        }
        let (shard, hash) = self.locate(name);
        let shard = Arc::make_mut(&mut self.shards[shard]);
        let at = shard.partition_point(|entry| entry.hash < hash);
        shard.insert(at, Entry { hash, place, host: host.clone() });
        self.len += 1;
    }

    fn remove(&mut self, name: &str) {
        let (shard, hash) = self.locate(name);
        let Some(shard) = self.shards.get_mut(shard) else { return };
        let Some(at) = shard.iter().position(|entry| entry.hash == hash && entry.name() == name) else { return };
        Arc::make_mut(shard).remove(at);
        self.len -= 1;
    }

    /// Twice as many shards. Rare: the cost of all names, once for each doubling.
    fn grow(&mut self) {
        let count = (self.shards.len() * 2).max(1);
        let old = std::mem::replace(&mut self.shards, (0..count).map(|_| Arc::default()).collect());
        for entry in old.iter().flat_map(|shard| shard.iter()) {
            let (shard, _) = self.locate(entry.name());
            Arc::make_mut(&mut self.shards[shard]).push(entry.clone());
        }
    }
}
