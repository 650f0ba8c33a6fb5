//! Which tenants have Prometheus series of their own, so that a scrape stays small whatever the number
//! of tenants, and still adds up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::{Metric, NO_TENANT, Units};

/// The series of all tenants without one of their own. No tenant can have this name: names are DNS
/// labels.
pub const OTHERS: &str = "(others)";

/// The tenants with series of their own. Every series of a tenant only grows, so does [`OTHERS`], and
/// all of them together are exactly the totals.
///
/// Free places go to the busiest; a tenant that has one keeps it until the tenant is gone, and then what
/// it had is in [`OTHERS`] (a series that came and went with every change of rank would count twice
/// in every rate). What a tenant had used before it got its place stays in [`OTHERS`] too; but where all
/// who used anything have had a place so far, a new one's series is its whole total. Traffic of no
/// tenant ([`NO_TENANT`]) has a series beyond the limit.
#[derive(Debug)]
pub struct Busiest {
    limit: usize,
    named: BTreeMap<Arc<str>, Place>,
    /// Whether a tenant without a place had used anything: then its part of [`OTHERS`] was shown.
    crowded: bool,
}

/// One selection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Tenants with series of their own, by name, with what each shows.
    pub named: Vec<(Arc<str>, Units)>,
    /// What [`OTHERS`] shows.
    pub others: Units,
}

#[derive(Debug, Default)]
struct Place {
    /// The total that it had when last seen.
    total: Units,
    /// What its series shows.
    shown: Units,
    /// Whether it was among the tenants of the selection under way.
    seen: bool,
}

impl Place {
    /// Takes a new total. One that fell is of a tenant that was gone and came back within two selections:
    /// it counts from zero again, and the series goes on.
    fn see(&mut self, total: Units) {
        let fell = total.iter().any(|(metric, n)| n < self.total[metric]);
        let grown = if fell { total } else { total.since(&self.total) };
        self.shown.add(&grown);
        self.total = total;
        self.seen = true;
    }
}

impl Busiest {
    /// At most `limit` tenants by name.
    pub fn new(limit: usize) -> Self {
        Self { limit, named: BTreeMap::new(), crowded: false }
    }

    /// The series now. `gone` is what tenants used that are no more among `tenants` (each of which is
    /// there once); a total only grows until its tenant is gone, and then is in `gone`.
    pub fn select<N>(&mut self, gone: Units, tenants: impl IntoIterator<Item = (N, Units)>) -> Series
    where
        N: AsRef<str> + Ord + Into<Arc<str>>,
    {
        self.named.values_mut().for_each(|place| place.seen = false);
        let (mut sum, mut unnamed) = (gone, Units::ZERO);
        let mut best = BinaryHeap::<Reverse<(u64, Reverse<N>, _)>>::new();
        for (name, total) in tenants {
            sum.add(&total);
            if let Some(place) = self.named.get_mut(name.as_ref()) {
                place.see(total);
            } else if name.as_ref() == NO_TENANT {
                self.name(name.into(), total);
            } else if !total.is_zero() {
                unnamed.add(&total);
                let weight = weight(&total);
                // Which places are free is known only when all were seen; it is never more than all of them.
                let full = best.len() >= self.limit;
                if full && best.peek().is_none_or(|Reverse((least, ..))| weight < *least) {
                    continue;
                }
                best.push(Reverse((weight, Reverse(name), total.0)));
                if full {
                    best.pop();
                }
            }
        }
        self.named.retain(|_, place| place.seen);
        for Reverse((_, Reverse(name), total)) in best.into_sorted_vec().into_iter().take(self.free()) {
            let total = Units(total);
            unnamed = unnamed.since(&total);
            self.name(name.into(), total);
        }
        self.crowded = !unnamed.is_zero();
        let named: Vec<_> = self.named.iter().map(|(name, place)| (Arc::clone(name), place.shown)).collect();
        let others = named.iter().fold(sum, |rest, (_, shown)| rest.since(shown));
        Series { named, others }
    }

    fn free(&self) -> usize {
        let taken = self.named.len() - usize::from(self.named.contains_key(NO_TENANT));
        self.limit.saturating_sub(taken)
    }

    fn name(&mut self, name: Arc<str>, total: Units) {
        let shown = if self.crowded { Units::ZERO } else { total };
        self.named.insert(name, Place { total, shown, seen: true });
    }
}

/// How busy a tenant is: a request weighs as much as a KiB.
fn weight(total: &Units) -> u64 {
    let bytes = [Metric::RequestBytes, Metric::ResponseBytes, Metric::TunnelRequestBytes, Metric::TunnelResponseBytes];
    let bytes = bytes.iter().fold(0u64, |sum, metric| sum.saturating_add(total[*metric]));
    total[Metric::Requests].saturating_mul(1024).saturating_add(bytes)
}

#[cfg(test)]
#[path = "busiest_tests.rs"]
mod tests;
