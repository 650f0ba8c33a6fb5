//! Ownership of names: which tenant a hostname belongs to.
//!
//! The most specific entry of any Tenant's `hostnames` owns a name; of equal entries the older
//! Tenant's. What no entry covers belongs to nobody, and only the platform may serve it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Age, Few, Pattern};

/// Entries of all Tenants.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Tenants that name an entry, the oldest first.
    claims: BTreeMap<Pattern, Few<Age>>,
    tenants: BTreeMap<String, (Age, Few<Pattern>)>,
}

impl Names {
    /// Replaces a Tenant's entries (`None`: it is gone). Answers with the entries whose owner is
    /// another now.
    pub fn set(&mut self, tenant: &str, entries: Option<(Age, BTreeSet<Pattern>)>) -> Vec<Pattern> {
        let old = self.tenants.remove(tenant);
        let mut touched: BTreeSet<Pattern> = old.iter().flat_map(|(_, patterns)| patterns.iter().cloned()).collect();
        touched.extend(entries.iter().flat_map(|(_, patterns)| patterns.iter().cloned()));
        let before: Vec<Option<String>> = touched.iter().map(|p| self.owner(p).map(str::to_owned)).collect();
        if let Some((age, patterns)) = old {
            for pattern in &patterns {
                if let Some(claims) = self.claims.get_mut(pattern) {
                    claims.remove(&age);
                    if claims.is_empty() {
                        self.claims.remove(pattern);
                    }
                }
            }
        }
        if let Some((age, patterns)) = entries {
            for pattern in &patterns {
                self.claims.entry(pattern.clone()).or_default().insert(age.clone());
            }
            self.tenants.insert(tenant.to_owned(), (age, patterns.into()));
        }
        touched
            .into_iter()
            .zip(before)
            .filter(|(p, before)| self.owner(p) != before.as_deref())
            .map(|(p, _)| p)
            .collect()
    }

    /// Number of Tenants.
    pub fn tenants(&self) -> usize {
        self.tenants.len()
    }

    /// Entries of a Tenant, owned or not.
    pub fn entries(&self, tenant: &str) -> impl Iterator<Item = &Pattern> {
        self.tenants.get(tenant).into_iter().flat_map(|(_, patterns)| patterns)
    }

    /// Owner of this very entry.
    pub fn owner(&self, entry: &Pattern) -> Option<&str> {
        self.claims.get(entry).and_then(Few::first).map(|age| age.name.as_str())
    }

    /// The entry that decides whose `pattern` is, with its owner.
    pub fn deciding(&self, pattern: &Pattern) -> Option<(Pattern, &str)> {
        let own = std::iter::once(pattern.clone());
        own.chain(pattern.wider()).find_map(|entry| self.owner(&entry).map(|owner| (entry.clone(), owner)))
    }

    /// Tenants that name this very entry, the oldest first.
    pub fn claims(&self, entry: &Pattern) -> impl Iterator<Item = &str> {
        self.claims.get(entry).into_iter().flatten().map(|age| age.name.as_str())
    }

    /// Owner of all names of `pattern`, but for what narrower entries take out of them.
    pub fn owner_of(&self, pattern: &Pattern) -> Option<&str> {
        self.owner(pattern).or_else(|| self.owner_above(pattern))
    }

    fn owner_above(&self, pattern: &Pattern) -> Option<&str> {
        pattern.wider().find_map(|wider| self.owner(&wider))
    }

    /// Entries below a wildcard, without the wildcard itself, with their owners.
    pub fn below<'a>(&'a self, wildcard: &'a Pattern) -> impl Iterator<Item = (&'a Pattern, &'a str)> {
        self.claims
            .range(wildcard..)
            .take_while(|(entry, _)| wildcard.covers(entry))
            .filter(move |(entry, _)| *entry != wildcard)
            .filter_map(|(entry, claims)| Some((entry, claims.first()?.name.as_str())))
    }

    /// Tenants that claim `entry` or anything below it.
    pub fn claimants<'a>(&'a self, entry: &'a Pattern) -> impl Iterator<Item = &'a str> {
        self.claims
            .range(entry..)
            .take_while(|(claimed, _)| entry.covers(claimed))
            .flat_map(|(_, claims)| claims.iter().map(|age| age.name.as_str()))
    }

    /// The patterns that `tenant` (`None`: the platform) may serve of `wanted`, so that each host
    /// that it owns is covered by the narrowest of them, once what other tenants own below is
    /// carved out: `wanted` itself where its owner is the tenant, and each entry of the tenant
    /// below it that stands in a region of another's.
    pub fn served(&self, tenant: Option<&str>, wanted: &Pattern) -> Vec<Pattern> {
        let mut served = Vec::new();
        if self.owner_of(wanted) == tenant {
            served.push(wanted.clone());
        }
        let Some((_, entries)) = tenant.and_then(|name| self.tenants.get(name)) else { return served };
        let below = entries.since(wanted).take_while(|entry| wanted.covers(entry)).filter(|entry| *entry != wanted);
        served.extend(below.filter(|e| self.owner(e) == tenant && self.owner_above(e) != tenant).cloned());
        served
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn set(names: &mut Names, tenant: &str, entries: &[&str]) -> Vec<String> {
        let age = Age::of(&ObjectMeta { name: Some(tenant.into()), ..ObjectMeta::default() });
        let entries = entries.iter().map(|e| Pattern::parse(e).unwrap()).collect();
        names.set(tenant, Some((age, entries))).iter().map(Pattern::to_string).collect()
    }

    fn served(names: &Names, tenant: Option<&str>, wanted: &str) -> Vec<String> {
        names.served(tenant, &Pattern::parse(wanted).unwrap()).iter().map(Pattern::to_string).collect()
    }

    #[test]
    fn the_most_specific_entry_owns_and_the_older_tenant_wins() {
        let mut names = Names::default();
        assert_eq!(set(&mut names, "b", &["*.x.com", "a.com"]), ["a.com", "*.x.com"]);
        assert_eq!(set(&mut names, "a", &["a.com", "s.x.com"]), ["a.com", "s.x.com"]);
        assert_eq!(names.owner_of(&Pattern::parse("s.x.com").unwrap()), Some("a"));
        assert_eq!(names.owner_of(&Pattern::parse("t.x.com").unwrap()), Some("b"));
        assert_eq!(served(&names, Some("b"), "a.com"), Vec::<String>::new());
        assert_eq!(names.set("a", None).len(), 2);
        assert_eq!(served(&names, Some("b"), "a.com"), ["a.com"]);
    }

    #[test]
    fn a_wider_wish_is_cut_to_what_the_tenant_has() {
        let mut names = Names::default();
        set(&mut names, "a", &["*.x.com", "y.com", "d.c.x.com"]);
        set(&mut names, "b", &["*.c.x.com"]);
        assert_eq!(served(&names, Some("a"), "*"), ["*.x.com", "d.c.x.com", "y.com"]);
        assert_eq!(served(&names, Some("a"), "*.x.com"), ["*.x.com", "d.c.x.com"]);
        assert_eq!(served(&names, Some("a"), "*.c.x.com"), ["d.c.x.com"]);
        assert_eq!(served(&names, None, "*"), ["*"]);
        assert_eq!(served(&names, None, "*.x.com"), Vec::<String>::new());
    }
}
