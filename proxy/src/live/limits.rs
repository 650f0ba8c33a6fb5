//! Rate limits: filters, owners, and buckets that outlive any change that is not of their own rate.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_config::model::{FilterConfig, LocalRateLimit};

use super::slots::Slots;
use crate::request::limit::{Bucket, Buckets, LimitSlot, LimitTable, OwnerSlot, Rate};

/// Owners and buckets looked at in one sweep: it goes round little by little.
const SWEEP: usize = 64;

/// Every rate limit filter, every tenant on a plan, every bucket.
#[derive(Debug, Default)]
pub(super) struct Limits {
    discovered: Slots<LimitSlot>,
    /// Those that came with a listener, by listener, chain and filter.
    inline: BTreeMap<[String; 3], Arc<LimitSlot>>,
    next_id: u32,
    /// What is set, by slot.
    filters: BTreeMap<u32, Filter>,
    /// By plan first: a plan's new rate reaches just its tenants.
    owners: BTreeMap<(Arc<str>, Arc<str>), Arc<OwnerSlot>>,
    /// By tenant, name of the filter, and rate. Held until nobody draws on it *and* it is full:
    /// then a new one is the same. So no edit, and no removal followed by a return, refills one.
    buckets: BTreeMap<(Arc<str>, Arc<str>, Rate), Arc<Bucket>>,
    swept_owner: Option<(Arc<str>, Arc<str>)>,
    swept_bucket: Option<(Arc<str>, Arc<str>, Rate)>,
}

#[derive(Debug)]
struct Filter {
    name: Arc<str>,
    plans: HashMap<String, Rate>,
}

impl Limits {
    /// The slot of a filter that a listener discovers.
    pub(super) fn discovered(&mut self, name: &str) -> Arc<LimitSlot> {
        let id = &mut self.next_id;
        self.discovered.named(name, || make(id, name))
    }

    /// The slot of a filter that came with a listener, set as it says.
    pub(super) fn inline(&mut self, place: [&str; 3], config: &LocalRateLimit) -> Arc<LimitSlot> {
        let id = &mut self.next_id;
        let slot = self.inline.entry(place.map(str::to_owned)).or_insert_with(|| Arc::new(make(id, place[2]))).clone();
        self.configure(&slot, config);
        slot
    }

    /// A discovered filter was sent.
    pub(super) fn set(&mut self, filter: &FilterConfig) {
        let id = &mut self.next_id;
        let slot = self.discovered.sent(&filter.name, || make(id, &filter.name));
        self.configure(&slot, &filter.config);
    }

    /// A discovered filter is gone: it limits nothing.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(slot) = self.discovered.gone(name) {
            self.configure(&slot, &LocalRateLimit::default());
        }
    }

    /// The place where a tenant on a plan finds its buckets.
    pub(super) fn owner(&mut self, tenant: &Arc<str>, plan: &str) -> Arc<OwnerSlot> {
        let key = (plan.into(), tenant.clone());
        if let Some(owner) = self.owners.get(&key) {
            return owner.clone();
        }
        let owner = Arc::new(OwnerSlot {
            tenant: tenant.clone(),
            buckets: ArcSwap::from_pointee(self.buckets_of(tenant, plan)),
        });
        self.owners.insert(key, owner.clone());
        owner
    }

    /// Sets a filter: its own bucket, and those of the tenants on plans whose rate is new.
    fn configure(&mut self, slot: &LimitSlot, config: &LocalRateLimit) {
        let old = slot.state.load();
        let rate = config.default_bucket.as_ref().map(Rate::new);
        let same = old.default_bucket.clone().filter(|bucket| Some(bucket.rate()) == rate);
        let default_bucket = same.or_else(|| rate.map(|rate| Arc::new(Bucket::new(rate))));
        slot.state.store(Arc::new(LimitTable { default_bucket, headers: config.headers }));

        let plans: HashMap<_, _> = config.plans.iter().map(|(plan, rate)| (plan.clone(), Rate::new(rate))).collect();
        let filter = Filter { name: (&*slot.name).into(), plans: plans.clone() };
        let before = self.filters.insert(slot.id, filter).map(|old| old.plans).unwrap_or_default();
        let is_new = |plan: &&String| before.get(*plan) != plans.get(*plan);
        let mut changed: Vec<&String> = before.keys().chain(plans.keys()).filter(is_new).collect();
        changed.sort_unstable();
        changed.dedup();
        for plan in changed {
            self.refresh(plan);
        }
    }

    /// Gives the tenants of a plan the buckets that they draw on now.
    fn refresh(&mut self, plan: &str) {
        let from = (Arc::from(plan), Arc::from(""));
        let owners: Vec<_> =
            self.owners.range(from..).take_while(|((p, _), _)| **p == *plan).map(|(_, owner)| owner.clone()).collect();
        for owner in owners {
            owner.buckets.store(Arc::new(self.buckets_of(&owner.tenant, plan)));
        }
    }

    fn buckets_of(&mut self, tenant: &Arc<str>, plan: &str) -> Buckets {
        let buckets = &mut self.buckets;
        let drawn = self.filters.iter().filter_map(|(id, filter)| {
            let rate = *filter.plans.get(plan)?;
            let bucket = buckets.entry((tenant.clone(), filter.name.clone(), rate));
            Some((*id, bucket.or_insert_with(|| Arc::new(Bucket::new(rate))).clone()))
        });
        drawn.collect()
    }

    /// How many owners and buckets are held.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.owners.len(), self.buckets.len())
    }

    /// Forgets filters that nobody sends or names, and some of the owners and buckets that nobody needs.
    pub(super) fn sweep(&mut self, now: u64) {
        let mut idle: Vec<_> = self.discovered.sweep().iter().map(|slot| slot.id).collect();
        self.inline.retain(|_, slot| {
            let held = Arc::strong_count(slot) > 1;
            if !held {
                idle.push(slot.id);
            }
            held
        });
        for id in idle {
            let plans = self.filters.remove(&id).map(|filter| filter.plans).unwrap_or_default();
            plans.keys().for_each(|plan| self.refresh(plan));
        }
        sweep_some(&mut self.owners, &mut self.swept_owner, |owner| Arc::strong_count(owner) == 1);
        sweep_some(&mut self.buckets, &mut self.swept_bucket, |b| Arc::strong_count(b) == 1 && b.is_full(now));
    }
}

/// Looks at the next few entries after `at` and takes out those that are idle.
fn sweep_some<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, at: &mut Option<K>, idle: impl Fn(&V) -> bool) {
    use std::ops::Bound::{Excluded, Unbounded};
    let from = at.take().map_or(Unbounded, Excluded);
    let some: Vec<_> = map.range((from, Unbounded)).take(SWEEP).map(|(k, v)| (k.clone(), idle(v))).collect();
    // At the end the next sweep begins anew.
    *at = some.last().filter(|_| some.len() == SWEEP).map(|(key, _)| key.clone());
    for (key, _) in some.into_iter().filter(|(_, idle)| *idle) {
        map.remove(&key);
    }
}

fn make(next_id: &mut u32, name: &str) -> LimitSlot {
    *next_id += 1;
    LimitSlot { id: *next_id, name: name.into(), state: ArcSwap::default() }
}
