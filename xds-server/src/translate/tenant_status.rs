//! Conditions of Tenants and Plans.

use weir_config::kinds::SYSTEM_TENANT;
use weir_config::kinds::plan::{Plan, PlanSpec};
use weir_config::kinds::tenant::{Isolation, Tenant, TenantState};

use super::facts::Facts;
use super::limits::{in_force, unsupported};
use super::tenant::namespaces;
use super::unit::Group;
use crate::index::{Belongs, Pattern};
use crate::status::{Condition, LostHostname, ObjectStatus, PlanStatus, TenantStatus};

/// Status of a Plan that so many tenants have.
pub(crate) fn plan(plan: &Plan, tenants: usize) -> ObjectStatus {
    let fields = unsupported(&plan.spec);
    let accepted = if fields.is_empty() {
        Condition::holds("Accepted", "Accepted", "every limit is enforced")
    } else {
        let fields: Vec<String> = fields.iter().map(|field| format!("spec.{field}")).collect();
        Condition::fails("Accepted", "Unsupported", format!("not enforced yet: {}", fields.join(", ")))
    };
    let plan = Some(PlanStatus { tenants: u64::try_from(tenants).unwrap_or(u64::MAX) });
    ObjectStatus { conditions: vec![accepted], plan, ..ObjectStatus::default() }
}

/// Status of a Tenant.
pub(crate) fn tenant(facts: &Facts, name: &str, tenant: &Tenant) -> ObjectStatus {
    if name == SYSTEM_TENANT {
        let message = "`system` is the platform itself; its namespaces stand in the bootstrap";
        let conditions = vec![Condition::fails("Accepted", "Reserved", message)];
        return ObjectStatus { conditions, ..ObjectStatus::default() };
    }
    let mut status = TenantStatus {
        namespaces: namespaces(facts, &Group::Tenant(name.to_owned())),
        limits: Some(in_force(facts, tenant)).filter(|limits| *limits != PlanSpec::default()),
        ..TenantStatus::default()
    };
    for entry in facts.names.entries(name) {
        match facts.names.owner(entry) {
            Some(owner) if owner != name => {
                status.lost_hostnames.push(LostHostname { hostname: entry.to_string(), owner: owner.to_owned() });
            }
            _ => status.hostnames.push(entry.to_string()),
        }
    }
    let conditions = vec![accepted(facts, tenant), namespaces_owned(facts, name), hostnames_owned(tenant, &status)];
    ObjectStatus { conditions, tenant: Some(status), ..ObjectStatus::default() }
}

fn accepted(facts: &Facts, tenant: &Tenant) -> Condition {
    let spec = &tenant.spec;
    let mut fields: Vec<String> = Vec::new();
    if let Some(isolation @ (Isolation::Bridge | Isolation::Silo)) = spec.isolation {
        fields.push(format!("spec.isolation {isolation:?}"));
    }
    let limits = spec.limits.iter().flat_map(unsupported);
    fields.extend(limits.map(|field| format!("spec.limits.{field}")));
    if facts.objects.plan("", &spec.plan).is_none() {
        let message = format!("there is no Plan {}: its names answer 503 until there is", spec.plan);
        Condition::fails("Accepted", "PlanNotFound", message)
    } else if !fields.is_empty() {
        Condition::fails("Accepted", "Unsupported", format!("not enforced yet: {}", fields.join(", ")))
    } else if spec.state == Some(TenantState::Suspended) {
        Condition::holds("Accepted", "Suspended", "suspended: its names answer 503")
    } else {
        Condition::holds("Accepted", "Accepted", "the tenant is served")
    }
}

fn namespaces_owned(facts: &Facts, name: &str) -> Condition {
    let contested: Vec<String> = facts
        .tenancy
        .selected_by(name)
        .filter_map(|namespace| match facts.tenancy.of(namespace) {
            Belongs::Conflict(tenants) => {
                let others: Vec<String> = tenants.into_iter().filter(|other| other != name).collect();
                Some(format!("{namespace} (also selected by {})", others.join(", ")))
            }
            Belongs::System => Some(format!("{namespace} (a namespace of the platform)")),
            _ => None,
        })
        .collect();
    if contested.is_empty() {
        Condition::holds("NamespacesOwned", "Owned", "every namespace that it selects is its own")
    } else {
        Condition::fails("NamespacesOwned", "TenantConflict", format!("not served: {}", contested.join("; ")))
    }
}

fn hostnames_owned(tenant: &Tenant, status: &TenantStatus) -> Condition {
    let lost = |lost: &LostHostname| format!("`{}` belongs to the older Tenant {}", lost.hostname, lost.owner);
    let mut problems: Vec<String> = status.lost_hostnames.iter().map(lost).collect();
    let bad = tenant.spec.hostnames.iter().filter_map(|text| Some(format!("`{text}` {}", Pattern::parse(text).err()?)));
    problems.extend(bad);
    if problems.is_empty() {
        Condition::holds("HostnamesOwned", "Owned", "every name that it claims is its own")
    } else {
        Condition::fails("HostnamesOwned", "HostnameConflict", problems.join("; "))
    }
}
