//! `Plan` and `Tenant`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{Errors, names};
use crate::kinds::plan::PlanSpec;
use crate::kinds::quantity::Quantity;
use crate::kinds::tenant::TenantSpec;

/// Hostnames that one Tenant may list.
const MAX_HOSTNAMES: usize = 1024;

pub(super) fn limits(at: &str, plan: &PlanSpec, errors: &mut Errors) {
    if let Some(requests) = &plan.requests {
        errors.check(requests.per_second >= 1, format!("{at}.requests.perSecond"), || "must be at least 1".into());
        errors.check(requests.burst != Some(0), format!("{at}.requests.burst"), || "must be at least 1".into());
    }
    for (field, count) in
        [("concurrentRequests", plan.concurrent_requests), ("connections", plan.connections), ("weight", plan.weight)]
    {
        errors.check(count != Some(0), format!("{at}.{field}"), || "must be at least 1".into());
    }
    if let Some(bandwidth) = &plan.bandwidth {
        quantity(&bandwidth.bytes_per_second, 1, &format!("{at}.bandwidth.bytesPerSecond"), errors);
    }
    for (field, bytes) in [("monthlyBytes", &plan.monthly_bytes), ("maxRequestBytes", &plan.max_request_bytes)] {
        if let Some(bytes) = bytes {
            quantity(bytes, 0, &format!("{at}.{field}"), errors);
        }
    }
}

fn quantity(quantity: &Quantity, least: u64, at: &str, errors: &mut Errors) {
    match quantity.value() {
        Ok(value) => errors.check(value >= least, at, || format!("must be at least {least}")),
        Err(error) => errors.push(error.within(at)),
    }
}

pub(super) fn tenant(tenant: &TenantSpec, errors: &mut Errors) {
    let plan = &tenant.plan;
    errors.check(names::is_subdomain(plan), "spec.plan", || format!("`{plan}` is not the name of a Plan"));
    if let Some(selector) = &tenant.namespace_selector {
        label_selector(selector, "spec.namespaceSelector", errors);
    }
    errors.at_most(&tenant.hostnames, MAX_HOSTNAMES, "spec.hostnames");
    for (index, hostname) in tenant.hostnames.iter().enumerate() {
        if hostname != "*"
            && let Some(error) = names::hostname(hostname)
        {
            errors.push(error.within(&format!("spec.hostnames[{index}]")));
        }
    }
    errors.unique(tenant.hostnames.iter(), |index| format!("spec.hostnames[{index}]"), "stands twice");
    if let Some(overrides) = &tenant.limits {
        limits("spec.limits", overrides, errors);
    }
}

/// What the API server refuses of a label selector.
pub(super) fn label_selector(selector: &LabelSelector, at: &str, errors: &mut Errors) {
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let at = format!("{at}.matchExpressions[{index}]");
        let valued = !requirement.values.as_deref().unwrap_or_default().is_empty();
        errors.check(!requirement.key.is_empty(), format!("{at}.key"), || "is required".into());
        match requirement.operator.as_str() {
            "In" | "NotIn" => errors.check(valued, format!("{at}.values"), || "is required with In and NotIn".into()),
            "Exists" | "DoesNotExist" => {
                errors.check(!valued, format!("{at}.values"), || "must be empty with Exists and DoesNotExist".into());
            }
            other => {
                let known = ["In", "NotIn", "Exists", "DoesNotExist"];
                errors.one_of(Some(other), &known, format!("{at}.operator"));
            }
        }
    }
}
