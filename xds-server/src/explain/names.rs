//! The tenants in question.

use std::collections::BTreeSet;

use weir_config::kinds::plan::RequestRate;
use weir_config::kinds::{Kind, ObjectKey, SYSTEM_TENANT};

use super::scene::{Rate, TenantScene};
use super::{Question, Scene};
use crate::status::{Condition, unmet};
use crate::translate::World;
use crate::translate::facts::Standing;
use crate::translate::limits::unsupported;

/// Puts the owner in, and the tenants of the candidates; where the host is nobody's, the platform.
pub(super) fn tenants(world: &World, _: &Question, scene: &mut Scene) {
    let mut names: BTreeSet<&str> = scene.candidates.iter().filter_map(|c| c.tenant.as_deref()).collect();
    names.extend(scene.owner.as_ref().map(|owner| owner.tenant.as_str()));
    scene.tenants = names.into_iter().map(|name| tenant(world, name)).collect();
}

fn tenant(world: &World, name: &str) -> TenantScene {
    let facts = world.facts();
    let object = facts.objects.tenant("", name).filter(|_| name != SYSTEM_TENANT);
    let plan = object.map(|tenant| tenant.spec.plan.as_str());
    let of_plan = plan.and_then(|plan| facts.objects.plan("", plan)).map(|plan| &plan.spec);
    let limits = object.and_then(|tenant| tenant.spec.limits.as_ref());
    let own = limits.and_then(|limits| limits.requests.as_ref());
    let shared = of_plan.and_then(|spec| spec.requests.as_ref());
    let fields: BTreeSet<&str> = limits.into_iter().chain(of_plan).flat_map(unsupported).collect();
    let state = match facts.standing(name) {
        Standing::Served => "Active",
        Standing::Suspended => "Suspended",
        Standing::WithoutPlan => "PlanNotFound",
    };
    TenantScene {
        name: name.to_owned(),
        state: state.to_owned(),
        requests: own.map(|rate| shown(rate, true)).or_else(|| shared.map(|rate| shown(rate, false))),
        unenforced: fields.into_iter().map(str::to_owned).collect(),
        unmet: object.map(|_| unmet_of(world, name, plan)).unwrap_or_default(),
        plan: plan.map(str::to_owned),
    }
}

fn unmet_of(world: &World, tenant: &str, plan: Option<&str>) -> Vec<Condition> {
    let keys = [Some((Kind::Tenant, tenant)), plan.map(|plan| (Kind::Plan, plan))];
    let statuses =
        keys.into_iter().flatten().filter_map(|(kind, name)| world.statuses().get(&ObjectKey::new(kind, "", name)));
    statuses.flat_map(|status| unmet(status).into_iter().map(|(_, condition)| condition.clone())).collect()
}

fn shown(rate: &RequestRate, of_tenant: bool) -> Rate {
    Rate { per_second: rate.per_second, burst: rate.burst.unwrap_or(rate.per_second), of_tenant }
}
