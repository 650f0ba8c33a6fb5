//! Plans to the one filter configuration that holds every tenant's request rate.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::kinds::SYSTEM_TENANT;
use weir_config::kinds::plan::{PlanSpec, RequestRate};
use weir_config::kinds::tenant::Tenant;
use weir_config::model::{FilterConfig, LocalRateLimit, Owner, TokenBucket, name};

use super::facts::Facts;
use crate::index::Reverse;

/// At least so many tenants have a bucket, so that the number, which stands in the configuration,
/// rarely changes.
const LEAST_BUCKETS: usize = 1024;

/// Buckets by plan, kept as plans and tenants come and go.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    buckets: BTreeMap<String, TokenBucket>,
    /// Plans to the tenants that have them.
    users: Reverse<String, String>,
    overrides: BTreeMap<String, String>,
    /// Whether a bucket is new, different or gone since the resource was last made.
    changed: bool,
    /// The number of buckets in the resource as it was last made.
    most: Option<u32>,
}

impl Limits {
    /// Takes a Plan's change in.
    pub(crate) fn learn_plan(&mut self, facts: &Facts, plan: &str) {
        let used = self.users.contains(&plan.to_owned());
        let rate = facts.objects.plan("", plan).filter(|_| used).and_then(|plan| plan.spec.requests.as_ref());
        self.put(plan.to_owned(), rate);
    }

    /// Takes a Tenant's change in; answers with the plans that gained or lost it.
    pub(crate) fn learn_tenant(&mut self, facts: &Facts, tenant: &str) -> Vec<String> {
        let object = facts.objects.tenant("", tenant).filter(|_| tenant != SYSTEM_TENANT);
        let plans: BTreeSet<String> = object.iter().map(|tenant| tenant.spec.plan.clone()).collect();
        let moved = self.users.set(&tenant.to_owned(), plans);
        for plan in &moved {
            self.learn_plan(facts, plan);
        }
        let limit = object.and_then(|object| Some((override_name(object, tenant), override_of(object)?)));
        let old = match &limit {
            Some((plan, _)) => self.overrides.insert(tenant.to_owned(), plan.clone()),
            None => self.overrides.remove(tenant),
        };
        if let Some(old) = old.filter(|old| limit.as_ref().is_none_or(|(plan, _)| plan != old)) {
            self.put(old, None);
        }
        if let Some((plan, rate)) = limit {
            self.put(plan, Some(rate));
        }
        moved
    }

    /// Number of a plan's tenants.
    pub(crate) fn tenants(&self, plan: &str) -> usize {
        self.users.count(&plan.to_owned())
    }

    /// Tenants of a plan.
    pub(crate) fn users(&self, plan: &str) -> Vec<String> {
        self.users.owners(&plan.to_owned()).cloned().collect()
    }

    /// The resource, where it is another than it last was: it holds every plan and override, so it is not made for
    /// nothing.
    pub(crate) fn renewed(&mut self, facts: &Facts) -> Option<FilterConfig> {
        let most = facts.names.tenants().max(LEAST_BUCKETS).next_power_of_two();
        let most = u32::try_from(most).unwrap_or(1 << 31);
        if !std::mem::take(&mut self.changed) && self.most == Some(most) {
            return None;
        }
        self.most = Some(most);
        Some(FilterConfig {
            name: name::RATE_LIMITS.into(),
            config: LocalRateLimit {
                stat_prefix: "tenant".into(),
                default_bucket: None,
                plans: self.buckets.clone(),
                max_dynamic_descriptors: most,
                headers: true,
            },
        })
    }

    fn put(&mut self, plan: String, rate: Option<&RequestRate>) {
        let bucket = rate.map(bucket);
        let before = match bucket {
            Some(bucket) => self.buckets.insert(plan, bucket),
            None => self.buckets.remove(&plan),
        };
        self.changed |= before != bucket;
    }
}

/// The tenant and plan that routes carry.
pub(crate) fn owner(facts: &Facts, tenant: &str) -> Owner {
    let object = facts.objects.tenant("", tenant).filter(|_| tenant != SYSTEM_TENANT);
    let plan = object.map(|object| match override_of(object) {
        Some(_) => override_name(object, tenant),
        None => object.spec.plan.clone(),
    });
    Owner { tenant: tenant.to_owned(), plan }
}

/// Fields that are set and that nothing enforces yet.
pub(crate) fn unsupported(spec: &PlanSpec) -> Vec<&'static str> {
    [
        ("concurrentRequests", spec.concurrent_requests.is_some()),
        ("connections", spec.connections.is_some()),
        ("bandwidth", spec.bandwidth.is_some()),
        ("monthlyBytes", spec.monthly_bytes.is_some()),
        ("maxRequestBytes", spec.max_request_bytes.is_some()),
        ("weight", spec.weight.is_some()),
    ]
    .into_iter()
    .filter_map(|(field, set)| set.then_some(field))
    .collect()
}

/// The limits that hold for a tenant, of those that are enforced.
pub(crate) fn in_force(facts: &Facts, tenant: &Tenant) -> PlanSpec {
    let plan = facts.objects.plan("", &tenant.spec.plan).and_then(|plan| plan.spec.requests.as_ref());
    PlanSpec { requests: override_of(tenant).or(plan).cloned(), ..PlanSpec::default() }
}

fn override_of(tenant: &Tenant) -> Option<&RequestRate> {
    tenant.spec.limits.as_ref()?.requests.as_ref()
}

fn override_name(object: &Tenant, tenant: &str) -> String {
    format!("{}/{tenant}", object.spec.plan)
}

fn bucket(rate: &RequestRate) -> TokenBucket {
    let each_second = rate.per_second.max(1);
    TokenBucket {
        max_tokens: rate.burst.unwrap_or(each_second).max(1),
        tokens_per_fill: each_second,
        fill_interval_ms: 1000,
    }
}
