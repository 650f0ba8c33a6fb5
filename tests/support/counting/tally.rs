//! Amounts by tenant and metric, counted by a client or read from what Weir says.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

/// A metric that no client can know.
const UNKNOWABLE: &str = "execution_ms";

/// Amounts by tenant and metric; an amount of zero is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<(String, String), u64>);

impl Tally {
    /// Adds to a tenant's amount.
    pub fn add(&mut self, tenant: &str, metric: &str, n: u64) {
        if n > 0 {
            *self.0.entry((tenant.into(), metric.into())).or_default() += n;
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Tally) {
        for ((tenant, metric), n) in &other.0 {
            self.add(tenant, metric, *n);
        }
    }

    /// A tenant's amount.
    pub fn get(&self, tenant: &str, metric: &str) -> u64 {
        self.0.get(&(tenant.into(), metric.into())).copied().unwrap_or(0)
    }

    /// One tenant's amounts.
    pub fn of(&self, tenant: &str) -> Tally {
        Tally(self.0.iter().filter(|((t, _), _)| t == tenant).map(|(key, n)| (key.clone(), *n)).collect())
    }

    /// An amount of all tenants together.
    pub fn sum(&self, metric: &str) -> u64 {
        self.0.iter().filter(|((_, m), _)| m == metric).map(|(_, n)| n).sum()
    }

    /// What has come in since `before`, which is smaller.
    pub fn since(&self, before: &Tally) -> Tally {
        let mut rest = self.clone();
        for (key, n) in &before.0 {
            if let Entry::Occupied(mut entry) = rest.0.entry(key.clone()) {
                assert!(*entry.get() >= *n, "{key:?} fell from {n} to {}", entry.get());
                *entry.get_mut() -= n;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
        rest
    }

    /// From the proxy's or the server's Prometheus text.
    pub fn from_prometheus(text: &str) -> Self {
        let mut tally = Self::default();
        for line in text.lines() {
            let Some((name, rest)) = line.strip_prefix("weir_tenant_").and_then(|l| l.split_once("_total{tenant=\""))
            else {
                continue;
            };
            let (tenant, value) = rest.split_once("\"} ").unwrap_or_else(|| panic!("a series: {line}"));
            if name != UNKNOWABLE {
                tally.add(tenant, name, value.trim().parse().unwrap_or_else(|_| panic!("a value: {line}")));
            }
        }
        tally
    }

    /// From `weir usage --format csv`.
    pub fn from_csv(text: &str) -> Self {
        let mut tally = Self::default();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("timestamp,tenant,metric,units"), "the header of {text}");
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let [_, tenant, metric, units] = fields.as_slice() else { panic!("a row: {line}") };
            if *metric != UNKNOWABLE {
                tally.add(tenant, metric, units.parse().unwrap_or_else(|_| panic!("units: {line}")));
            }
        }
        tally
    }

    /// Where two differ, in words; none where they are equal.
    pub fn difference(&self, counted: &Tally) -> Result<(), String> {
        let keys: std::collections::BTreeSet<_> = self.0.keys().chain(counted.0.keys()).collect();
        let lines: Vec<String> = keys
            .into_iter()
            .map(|key| (key, self.0.get(key).copied().unwrap_or(0), counted.0.get(key).copied().unwrap_or(0)))
            .filter(|(_, metered, counted)| metered != counted)
            .map(|((tenant, metric), metered, counted)| {
                format!(
                    "{tenant} {metric}: metered {metered}, counted {counted}: {:+}",
                    metered as i128 - counted as i128
                )
            })
            .collect();
        if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for ((tenant, metric), n) in &self.0 {
            if last != tenant {
                write!(f, "\n{tenant}:")?;
                last = tenant;
            }
            write!(f, " {metric} {n}")?;
        }
        Ok(())
    }
}
