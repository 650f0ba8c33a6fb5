//! What proxies acknowledged and refused, summed over streams, so that it can be told to another replica. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::report::ProxyReport;

/// Name of the type whose versions are counted: what stands on a Listener is served once it is there.
const LISTENER: &str = "Listener";
/// Refusals that are told, and bytes of each text.
const MAX_REFUSED: usize = 50;
const MAX_TEXT: usize = 512;

/// What the proxies of a replica, or of several, said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledged {
    /// Streams that asked for Listeners: one a proxy.
    #[serde(default)]
    pub proxies: u32,
    /// By name of the Listener and version: how many proxies accepted that version last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub listeners: BTreeMap<String, BTreeMap<String, u32>>,
    /// What is refused now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// Whether there was more than there is room for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// A resource that proxies refuse.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refused {
    /// `Cluster`, `Listener`, ...
    #[serde(rename = "type")]
    pub type_name: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// What the first of them said.
    pub message: String,
    /// How many.
    pub proxies: u32,
}

impl Acknowledged {
    /// What open streams say.
    pub fn of(proxies: &[ProxyReport]) -> Self {
        let mut all = Self::default();
        for report in proxies.iter().flat_map(|proxy| &proxy.types) {
            if report.type_name == LISTENER {
                all.proxies += 1;
            }
            for (name, version) in &report.versions {
                *all.listeners.entry(name.clone()).or_default().entry(version.clone()).or_default() += 1;
            }
            for rejection in &report.rejections {
                let mut message = rejection.message.clone();
                message.truncate(message.floor_char_boundary(MAX_TEXT));
                all.refuse(Refused {
                    type_name: report.type_name.clone(),
                    name: rejection.name.clone(),
                    version: rejection.version.clone(),
                    message,
                    proxies: 1,
                });
            }
        }
        all
    }

    /// Adds what another replica's proxies say.
    pub fn add(&mut self, other: &Self) {
        self.proxies = self.proxies.saturating_add(other.proxies);
        for (name, versions) in &other.listeners {
            let mine = self.listeners.entry(name.clone()).or_default();
            for (version, count) in versions {
                let sum = mine.entry(version.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        other.refused.iter().for_each(|refused| self.refuse(refused.clone()));
        self.cut |= other.cut;
    }

    /// As JSON of at most `limit` bytes: what does not fit is left out, from the end.
    pub fn to_json(&self, limit: usize) -> String {
        let mut told = self.clone();
        loop {
            let text = serde_json::to_string(&told).unwrap_or_default();
            if text.len() <= limit || (told.listeners.is_empty() && told.refused.is_empty()) {
                return text;
            }
            told.cut = true;
            let (listeners, refused) = (told.listeners.len() / 2, told.refused.len() / 2);
            told.refused.truncate(refused);
            told.listeners = std::mem::take(&mut told.listeners).into_iter().take(listeners).collect();
        }
    }

    fn refuse(&mut self, refused: Refused) {
        let same = |old: &&mut Refused| {
            (&old.type_name, &old.name, &old.version) == (&refused.type_name, &refused.name, &refused.version)
        };
        if let Some(old) = self.refused.iter_mut().find(same) {
            old.proxies = old.proxies.saturating_add(refused.proxies);
        } else if self.refused.len() < MAX_REFUSED {
            self.refused.push(refused);
        } else {
            self.cut = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::{Rejection, TypeReport};
    use super::*;

    fn proxy(version: &str, refuses: Option<&str>) -> ProxyReport {
        let rejection = |name: &str| Rejection { name: name.into(), version: "v9".into(), message: "x: bad".into() };
        let types = vec![TypeReport {
            type_name: LISTENER.into(),
            versions: BTreeMap::from([("edge/a".to_owned(), version.to_owned())]),
            rejections: refuses.map(rejection).into_iter().collect(),
            ..TypeReport::default()
        }];
        ProxyReport { types, ..ProxyReport::default() }
    }

    #[test]
    fn proxies_are_counted_by_version_over_all_replicas() {
        let mut all = Acknowledged::of(&[proxy("v1", None), proxy("v2", Some("edge/b"))]);
        let told = Acknowledged::of(&[proxy("v2", Some("edge/b"))]).to_json(4096);
        all.add(&serde_json::from_str(&told).unwrap());
        assert_eq!(all.proxies, 3);
        let versions = BTreeMap::from([("v1".to_owned(), 1), ("v2".to_owned(), 2)]);
        assert_eq!(all.listeners, BTreeMap::from([("edge/a".to_owned(), versions)]));
        assert_eq!((all.refused.len(), all.refused[0].proxies), (1, 2));
    }

    #[test]
    fn what_is_told_has_a_bound_and_says_that_it_is_cut() {
        let mut all = Acknowledged::default();
        for index in 0..1000 {
            all.add(&Acknowledged::of(&[proxy("v1", Some(&format!("edge/{index}")))]));
            all.listeners.insert(format!("edge/0.0.0.0/{index}/tcp"), BTreeMap::from([("v1".to_owned(), 1)]));
        }
        assert_eq!(all.refused.len(), MAX_REFUSED);
        let text = all.to_json(8 << 10);
        assert!(text.len() <= 8 << 10);
        let read: Acknowledged = serde_json::from_str(&text).unwrap();
        assert!(read.cut && read.proxies == 1000 && !read.listeners.is_empty(), "{text}");
    }
}
