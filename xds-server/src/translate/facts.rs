//! What the objects say, before anything is made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_config::kinds::gateway::{BackendTLSPolicy, Gateway};
use weir_config::kinds::tenant::TenantState;
use weir_config::kinds::traffic_policy::TrafficPolicy;
use weir_config::kinds::{CONTROLLER_NAME, Kind, Object, ObjectKey, SYSTEM_TENANT};
use weir_config::model::Secret;

use super::classes::EdgeId;
use super::{Settings, refers, secrets};
use crate::index::{Age, Belongs, Names, NsName, Objects, Pattern, Reverse, Tenancy};
use crate::watch::SecretsRead;

/// Objects, and what follows from them for all.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) settings: Settings,
    pub(crate) objects: Objects,
    pub(crate) tenancy: Tenancy,
    pub(crate) names: Names,
    /// TLS Secrets as resources, or what is wrong with them.
    pub(crate) certificates: BTreeMap<NsName, Result<Arc<Secret>, String>>,
    /// Gateways to the ListenerSets that name them.
    pub(crate) listener_sets: Reverse<NsName, NsName>,
    /// Objects to the TrafficPolicies that target them.
    pub(crate) traffic_policies: Reverse<ObjectKey, NsName>,
    /// Services to the BackendTLSPolicies that target them.
    pub(crate) tls_policies: Reverse<NsName, NsName>,
    /// ConfigMaps to the BackendTLSPolicies that refer to them.
    pub(crate) policy_authorities: Reverse<NsName, NsName>,
    /// Of which namespaces Secrets are read.
    pub(crate) secrets_read: SecretsRead,
}

/// What taking an object in changed beside the object itself.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Namespaces that a tenant gained or lost.
    pub(crate) namespaces: Vec<String>,
    /// Entries whose owner changed.
    pub(crate) entries: Vec<Pattern>,
}

/// Why a tenant's names answer 503.
pub(crate) enum Standing {
    /// They do not: it is served.
    Served,
    /// It is suspended.
    Suspended,
    /// Its plan does not exist: without it nothing limits the tenant, so it is not served.
    WithoutPlan,
}

impl Facts {
    pub(crate) fn new(settings: Settings) -> Self {
        let tenancy = Tenancy::new(&settings.system_namespaces, settings.unassigned_is_system);
        Self { settings, tenancy, ..Self::default() }
    }

    /// Why a namespace is not served, if it is not: a reason and a sentence.
    pub(crate) fn without_tenant(&self, namespace: &str) -> Option<(&'static str, String)> {
        match self.tenancy.of(namespace) {
            Belongs::Nobody => Some((
                "NoTenant",
                format!(
                    "namespace {namespace} belongs to no tenant: label it `weir.dev/tenant=<name>`, or let a Tenant select it"
                ),
            )),
            Belongs::Conflict(tenants) => Some((
                "TenantConflict",
                format!(
                    "namespace {namespace} is selected by several Tenants ({}), so none has it",
                    tenants.join(", ")
                ),
            )),
            Belongs::System | Belongs::Unassigned | Belongs::Tenant(_) => None,
        }
    }

    /// Takes an object in (`None`: out) of which the store already knows.
    pub(crate) fn learn(&mut self, key: &ObjectKey, object: Option<&Object>) -> Moved {
        let mut moved = Moved::default();
        match (key.kind, object) {
            (Kind::Namespace, object) => {
                let labels = object.map(|object| object.metadata().labels.clone().unwrap_or_default());
                self.tenancy.set_namespace(&key.name, labels);
            }
            (Kind::Tenant, _) if key.name == SYSTEM_TENANT => {}
            (Kind::Tenant, Some(Object::Tenant(tenant))) => {
                moved.namespaces = self.tenancy.set_tenant(&key.name, Some(tenant.spec.namespace_selector.clone()));
                let entries: BTreeSet<Pattern> =
                    tenant.spec.hostnames.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
                moved.entries = self.names.set(&key.name, Some((Age::of(&tenant.metadata), entries)));
            }
            (Kind::Tenant, _) => {
                moved.namespaces = self.tenancy.set_tenant(&key.name, None);
                moved.entries = self.names.set(&key.name, None);
            }
            (Kind::ListenerSet, object) => {
                let gateway = match object {
                    Some(Object::ListenerSet(set)) => refers::gateway_of(set),
                    _ => None,
                };
                self.listener_sets.set(&(key.namespace.clone(), key.name.clone()), gateway.into_iter().collect());
            }
            (Kind::TrafficPolicy, object) => {
                let policy: Option<&TrafficPolicy> = match object {
                    Some(Object::TrafficPolicy(policy)) => Some(policy),
                    _ => None,
                };
                let about = policy.into_iter().flat_map(refers::traffic_targets).map(|(target, _)| target);
                self.traffic_policies.set(&(key.namespace.clone(), key.name.clone()), about.collect());
            }
            (Kind::BackendTLSPolicy, object) => {
                let policy: Option<&BackendTLSPolicy> = match object {
                    Some(Object::BackendTLSPolicy(policy)) => Some(policy),
                    _ => None,
                };
                let id = (key.namespace.clone(), key.name.clone());
                let services = policy.into_iter().flat_map(refers::tls_targets).map(|(service, _)| service);
                self.tls_policies.set(&id, services.collect());
                self.policy_authorities.set(&id, policy.map(refers::authorities).unwrap_or_default());
            }
            (Kind::Secret, Some(Object::Secret(secret))) => {
                let name = (key.namespace.clone(), key.name.clone());
                self.certificates.insert(name, secrets::certificate(secret).map(Arc::new));
            }
            (Kind::Secret, _) => {
                self.certificates.remove(&(key.namespace.clone(), key.name.clone()));
            }
            _ => {}
        }
        moved
    }

    /// Whether a Gateway is of a class of Weir's.
    pub(crate) fn serves(&self, gateway: &Gateway) -> bool {
        self.objects
            .class("", &gateway.spec.gateway_class_name)
            .is_some_and(|class| class.spec.controller_name == CONTROLLER_NAME)
    }

    /// The edge that serves a Gateway; none: no proxy class lists it.
    pub(crate) fn edge_of(&self, gateway: &NsName) -> Option<EdgeId> {
        self.settings.classes.of(&gateway.0, &gateway.1)
    }

    /// A Gateway, if it is of a class of Weir's.
    pub(crate) fn own_gateway(&self, namespace: &str, name: &str) -> Option<&Gateway> {
        self.objects.gateway(namespace, name).filter(|gateway| self.serves(gateway))
    }

    /// Whether a tenant is served.
    pub(crate) fn standing(&self, tenant: &str) -> Standing {
        match self.objects.tenant("", tenant) {
            Some(tenant) if tenant.spec.state == Some(TenantState::Suspended) => Standing::Suspended,
            Some(tenant) if self.objects.plan("", &tenant.spec.plan).is_none() => Standing::WithoutPlan,
            _ => Standing::Served,
        }
    }
}
