//! Virtual hosts on demand: an Envoy asks for the host that a request names, and gets the virtual host that
//! serves it, under its own name and with what was asked for as an alias.
//!
//! It asks only where it has no virtual host for a request. So with a wildcard go all narrower hosts below
//! it, which it would never ask for; and what is not there is answered and forgotten, for it asks again with
//! the next request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_config::model::ResourceType;
use weir_config::model::name::{split_virtual_host, virtual_host};

use super::View;
use super::message::Excess;
use crate::ads::encoded::Encoded;

/// Names that were asked for and not answered yet, of one stream.
const MAX_ASKED: usize = 100_000;

/// What was asked for and not answered yet.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Virtual hosts, each with the names by which it was asked for.
    aliases: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Names for which there is no virtual host.
    unknown: BTreeSet<Arc<str>>,
    count: usize,
}

impl Asked {
    /// Notes that `name` was asked for, which is served by `host` if by any.
    pub(super) fn ask(&mut self, name: &str, host: Option<&Arc<str>>) -> Result<(), Excess> {
        if self.count >= MAX_ASKED {
            return Err(Excess::Names);
        }
        let new = match host {
            Some(host) => self.aliases.entry(Arc::clone(host)).or_default().insert(name.into()),
            None => self.unknown.insert(name.into()),
        };
        self.count += usize::from(new);
        Ok(())
    }

    /// Whether `name` waits for word that there is nothing.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        self.unknown.contains(name)
    }

    /// Forgets that `name` waits for word that there is nothing.
    pub(super) fn settle(&mut self, name: &str) {
        self.count -= usize::from(self.unknown.remove(name));
    }

    /// The names by which `host` was asked for, which are answered now.
    pub(super) fn take(&mut self, host: &str) -> Vec<Arc<str>> {
        let aliases = self.aliases.remove(host).unwrap_or_default();
        self.count -= aliases.len();
        aliases.into_iter().collect()
    }
}

/// The virtual host that serves what an Envoy asks for: `<routes>/<Host>`, as a client sent it.
pub(super) fn serving<'a>(view: &View<'a>, name: &str) -> Option<&'a Arc<Encoded>> {
    let (routes, host) = split_virtual_host(name)?;
    let exact = virtual_host(routes, &without_port(host).to_ascii_lowercase());
    let get = |name: &str| view.get(ResourceType::VirtualHost, name);
    get(&exact).or_else(|| wider(&exact).find_map(|name| get(&name)))
}

/// Names of the virtual hosts that would serve a host if it had none of its own, narrowest first.
pub(super) fn wider(name: &str) -> impl Iterator<Item = String> {
    let (routes, domain) = split_virtual_host(name).unwrap_or_default();
    let own = domain.strip_prefix("*.").unwrap_or(domain);
    let labels = if own == "*" { None } else { Some(own.match_indices('.').map(|(at, _)| &own[at..])) };
    // `*.a.b` is no wider than itself; `*.b` is.
    let suffixes = labels.into_iter().flatten().map(move |suffix| virtual_host(routes, &format!("*{suffix}")));
    suffixes.chain((own != "*").then(|| virtual_host(routes, "*")))
}

/// Virtual hosts that are narrower than this one.
pub(super) fn below<'a>(view: &View<'a>, name: &str) -> Vec<&'a Arc<Encoded>> {
    let Some((routes, domain)) = split_virtual_host(name) else { return Vec::new() };
    if !domain.starts_with('*') {
        return Vec::new();
    }
    view.hosts(routes).filter(|host| wider(&host.name).any(|wide| wide == name)).collect()
}

/// A Host without its port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_names_come_narrowest_first() {
        let wider = |name: &str| wider(name).collect::<Vec<_>>();
        assert_eq!(wider("rc/a.b.c"), ["rc/*.b.c", "rc/*.c", "rc/*"]);
        assert_eq!(wider("rc/*.b.c"), ["rc/*.c", "rc/*"]);
        assert_eq!(wider("e/rc/local"), ["e/rc/*"]);
        assert!(wider("rc/*").is_empty());
    }

    #[test]
    fn a_port_is_left_out() {
        assert_eq!(
            ["a.b:80", "a.b", "[::1]:80", "[::1]", "a:"].map(without_port),
            ["a.b", "a.b", "[::1]", "[::1]", "a"]
        );
    }

    #[test]
    fn what_is_not_answered_is_bounded() {
        let mut asked = Asked::default();
        for n in 0..MAX_ASKED {
            asked.ask(&n.to_string(), None).unwrap();
        }
        assert_eq!(asked.ask("another", Some(&"host".into())), Err(Excess::Names));
        asked.settle("0");
        asked.ask("another", Some(&"host".into())).unwrap();
        assert_eq!(asked.take("host"), ["another".into()]);
    }
}
