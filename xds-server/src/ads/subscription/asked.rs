//! The names that an Envoy on demand asked for, bounded; and which virtual hosts would serve them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_config::model::name::{split_virtual_host, virtual_host};

use super::message::Excess;

/// Names of one stream that are remembered, and as many that were asked for and not answered yet. What comes
/// beyond is answered and forgotten: clients of the Envoy choose the names.
const MAX_ASKED: usize = 100_000;
/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// As the client wrote it, by the name that a host of its own would have.
    names: BTreeMap<String, BTreeSet<Arc<str>>>,
    remembered: usize,
    /// Virtual hosts that are to be sent, each with the names by which it was asked for.
    aliases: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Names for which there is no virtual host, until that is said.
    unknown: BTreeSet<Arc<str>>,
    waiting: usize,
    /// Routes whose first word was given.
    pub(super) greeted: BTreeSet<Arc<str>>,
}

impl Asked {
    /// Notes that `name` is to be answered, by `host` if there is one.
    pub(super) fn answer(&mut self, name: Arc<str>, host: Option<&Arc<str>>) -> Result<(), Excess> {
        if self.waiting >= MAX_ASKED {
            return Err(Excess::Names);
        }
        let new = match host {
            Some(host) => self.aliases.entry(Arc::clone(host)).or_default().insert(name),
            None => self.unknown.insert(name),
        };
        self.waiting += usize::from(new);
        Ok(())
    }

    /// Remembers what was asked for, as far as there is room.
    pub(super) fn remember(&mut self, name: &Arc<str>) {
        if self.remembered < MAX_ASKED {
            let new = self.names.entry(own(name)).or_default().insert(Arc::clone(name));
            self.remembered += usize::from(new);
        }
    }

    /// What was asked for that a virtual host of this name would serve.
    pub(super) fn served_by(&self, host: &str) -> Vec<Arc<str>> {
        let exact = self.names.get(host).into_iter().flatten().cloned();
        let Some((routes, domain)) = split_virtual_host(host) else { return exact.collect() };
        if !domain.starts_with('*') {
            return exact.collect();
        }
        let from = format!("{routes}/");
        let all = self.names.range(from.clone()..).take_while(|(name, _)| name.starts_with(&from));
        let below = all.filter(|(name, _)| wider(name).any(|wide| wide == host));
        below.flat_map(|(_, names)| names).cloned().chain(exact).collect()
    }

    /// Everything that is remembered.
    pub(super) fn all(&self) -> Vec<Arc<str>> {
        self.names.values().flatten().cloned().collect()
    }

    /// Whether `name` waits for word that there is nothing.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        self.unknown.contains(name)
    }

    /// Forgets that `name` waits for word that there is nothing.
    pub(super) fn settle(&mut self, name: &str) {
        self.waiting -= usize::from(self.unknown.remove(name));
    }

    /// The names by which `host` was asked for, which are answered now.
    pub(super) fn take(&mut self, host: &str) -> Vec<Arc<str>> {
        let aliases = self.aliases.remove(host).unwrap_or_default();
        self.waiting -= aliases.len();
        aliases.into_iter().collect()
    }

    /// What was asked for of these routes.
    pub(super) fn of(&self, routes: &str) -> Vec<Arc<str>> {
        let from = format!("{routes}/");
        let all = self.names.range(from.clone()..).take_while(|(name, _)| name.starts_with(&from));
        all.flat_map(|(_, names)| names).cloned().collect()
    }

    /// The client does not ask for this name any more, nor for hosts of these routes.
    pub(super) fn forget(&mut self, name: &str) {
        self.greeted.remove(name);
        let from = format!("{name}/");
        let below = self.names.range(from.clone()..).take_while(|(other, _)| other.starts_with(&from));
        let gone: Vec<String> = below.map(|(name, _)| name.clone()).chain([own(name)]).collect();
        for name in gone {
            self.remembered -= self.names.remove(&name).map_or(0, |names| names.len());
        }
    }
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

/// Name of the virtual host that would serve `<routes>/<Host>` alone.
pub(super) fn own(name: &str) -> String {
    let (routes, host) = split_virtual_host(name).unwrap_or_default();
    virtual_host(routes, &without_port(host).to_ascii_lowercase())
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
    fn what_is_kept_of_names_is_bounded_and_given_back() {
        let mut asked = Asked::default();
        for n in 0..=MAX_ASKED {
            let name: Arc<str> = format!("rc/{n}").into();
            asked.remember(&name);
            assert_eq!(asked.answer(name, None).is_ok(), n < MAX_ASKED);
        }
        assert_eq!(asked.remembered, MAX_ASKED);
        asked.settle("rc/0");
        asked.answer("rc/another".into(), Some(&"rc/host".into())).unwrap();
        assert_eq!(asked.take("rc/host"), ["rc/another".into()]);
        asked.forget("rc");
        assert_eq!((asked.remembered, asked.names.len()), (0, 0));
    }

    #[test]
    fn names_are_found_by_the_host_that_would_serve_them() {
        let mut asked = Asked::default();
        for name in ["rc/a.b:80", "rc/A.B", "rc/x.a.b", "rc2/a.b", "rc/b"] {
            asked.remember(&name.into());
        }
        let served = |host: &str| asked.served_by(host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(served("rc/a.b"), ["rc/A.B", "rc/a.b:80"]);
        assert_eq!(served("rc/*.b"), ["rc/A.B", "rc/a.b:80", "rc/x.a.b"]);
        assert_eq!(served("rc/*").len(), 4);
        assert!(served("rc/c").is_empty());
    }
}
