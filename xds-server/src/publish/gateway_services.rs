//! Makes the Services of Gateways (`perGateway`) and what leads them to the edge's pods, and removes those that are not to
//! be any more. [`crate::translate::gateway_services`] says what is to be; this reads what is, and writes what differs.
//!
//! What bears the name of something that is to be made, and was not made for the same Gateway, is not touched: the
//! Gateway's status says so.
//!
//! Rights that it needs: `get`, `create`, `patch`, `delete` of Services, and `create`, `patch`, `delete` of
//! EndpointSlices, which it may list anyway.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Resource};
use serde_json::{Value, json};
use weir_config::bootstrap::ServiceName;
use weir_config::kinds::{Kind, MADE_BY, ObjectKey};

use super::writer::MANAGER;
use crate::apiserver::{ApiServer, Cause, Failure};
use crate::index::NsName;
use crate::state::State;
use crate::translate::gateway_services::{APPLIED, GatewayService, SERVICE_LABEL, is_applied, pods};

/// Between a change and the look: what changes together is looked at together.
const SETTLE: Duration = Duration::from_millis(100);
/// Between two Gateways of which something was written.
const PACE: Duration = Duration::from_millis(50);
/// Until what failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Keeps what Gateways are to have, for as long as this replica leads.
pub(super) async fn keep(api: ApiServer, state: Arc<State>) {
    let mut keeper = Keeper { api, state: Arc::clone(&state), done: HashMap::new(), told: HashSet::new() };
    loop {
        let again = keeper.round().await;
        let rest = async {
            match again {
                true => tokio::time::sleep(AGAIN).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = state.gateway_services_changed() => tokio::time::sleep(SETTLE).await,
            () = rest => {}
        }
    }
}

struct Keeper {
    api: ApiServer,
    state: Arc<State>,
    /// What is in the cluster as it is to be: the digests of all that belongs to a Service.
    done: HashMap<NsName, Vec<String>>,
    /// What was said in the log.
    told: HashSet<(NsName, String)>,
}

impl Keeper {
    /// Brings the cluster to where it is to be. Answers whether something of it failed, and is to be tried again.
    async fn round(&mut self) -> bool {
        // What was made, or of which a slice was written, and may be nobody's now.
        let mut orphans: Vec<NsName> = Vec::new();
        for (touched, slice) in self.state.touched_services() {
            if self.done.remove(&touched).is_some() || slice {
                orphans.push(touched);
            }
        }
        let plan = self.state.gateway_services();
        let ids: BTreeSet<&NsName> = plan.wanted.iter().map(|one| &one.id).collect();
        self.done.retain(|id, _| ids.contains(id));
        orphans.retain(|id| !ids.contains(id));
        let mut failed = false;
        for id in &orphans {
            if let Err(failure) = self.remove_orphans(id).await {
                failed = true;
                self.tell(id, &failure, "EndpointSlices of a Gateway that is gone cannot be deleted");
            }
        }
        let mut edges: BTreeMap<ServiceName, BTreeMap<IpAddr, Value>> = BTreeMap::new();
        for one in &plan.wanted {
            if !edges.contains_key(&one.pods) {
                match self.pods(&one.pods).await {
                    Ok(pods) => drop(edges.insert(one.pods.clone(), pods)),
                    Err(failure) => {
                        failed = true;
                        self.tell(&one.id, &failure, "the pods of an edge cannot be read");
                        continue;
                    }
                }
            }
            let slices = edges.get(&one.pods).map(|pods| one.slices(pods)).unwrap_or_default();
            let digests: Vec<String> = std::iter::once(&one.service).chain(&slices).map(digest).collect();
            if self.done.get(&one.id) == Some(&digests) {
                continue;
            }
            match self.put(one, &slices).await {
                Ok(wrote) => {
                    self.done.insert(one.id.clone(), digests);
                    if wrote {
                        tokio::time::sleep(PACE).await;
                    }
                }
                Err(failure) => {
                    failed = true;
                    self.tell(&one.id, &failure, "a Gateway's Service cannot be written");
                }
            }
        }
        for (id, uid) in &plan.leftover {
            if let Err(failure) = self.remove(id, uid).await {
                failed = true;
                self.tell(
                    id,
                    &failure,
                    "the Service of a Gateway that is to have none cannot be deleted; delete it by hand",
                );
            }
        }
        failed
    }

    async fn pods(&self, service: &ServiceName) -> Result<BTreeMap<IpAddr, Value>, Failure> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.api.client().clone(), &service.namespace);
        let of_it = ListParams::default().labels(&format!("{SERVICE_LABEL}={}", service.name));
        Ok(pods(&self.api.ask(slices.list(&of_it)).await?.items))
    }

    /// Writes what differs of one Gateway's Service and its EndpointSlices. Answers whether anything did.
    async fn put(&self, one: &GatewayService, slices: &[Value]) -> Result<bool, Failure> {
        let services = self.objects::<Service>(&one.id.0);
        let there = self.api.ask(services.get_opt(&one.id.1)).await?;
        if there.as_ref().is_some_and(|there| owner(there) != Some(&one.uid)) {
            // The Gateway's status says it, and the Service's next change brings it here again.
            return Ok(false);
        }
        let mut wrote = self.apply(&services, &one.service, there.as_ref()).await?;
        let objects = self.objects::<EndpointSlice>(&one.id.0);
        let mut there: BTreeMap<String, DynamicObject> = BTreeMap::new();
        for slice in self.made_slices(&objects, &one.id.1).await? {
            there.insert(slice.metadata.name.clone().unwrap_or_default(), slice);
        }
        for slice in slices {
            let name = slice["metadata"]["name"].as_str().unwrap_or_default();
            let found = there.remove(name).filter(|found| owner(found) == Some(&one.uid));
            wrote |= self.apply(&objects, slice, found.as_ref()).await?;
        }
        for stale in there.values() {
            self.delete(&objects, stale).await?;
            wrote = true;
        }
        Ok(wrote)
    }

    /// Deletes a Service that was made for the Gateway with this `uid`, and what leads it anywhere.
    async fn remove(&self, id: &NsName, uid: &str) -> Result<(), Failure> {
        let services = self.objects::<Service>(&id.0);
        let there = self.api.ask(services.get_opt(&id.1)).await?;
        let slices = self.objects::<EndpointSlice>(&id.0);
        for slice in
            self.made_slices(&slices, &id.1).await?.iter().filter(|slice| owner(slice).is_some_and(|of| of == uid))
        {
            self.delete(&slices, slice).await?;
        }
        match there.filter(|there| owner(there).is_some_and(|of| of == uid)) {
            Some(there) => self.delete(&services, &there).await,
            None => Ok(()),
        }
    }

    /// Deletes EndpointSlices of a Service that were made for a Gateway that is gone. One that is written while its Gateway
    /// goes comes too late for who collects what a Gateway owned.
    async fn remove_orphans(&self, id: &NsName) -> Result<(), Failure> {
        let slices = self.objects::<EndpointSlice>(&id.0);
        for slice in self.made_slices(&slices, &id.1).await? {
            let Some(owner) = owner_reference(&slice) else { continue };
            let gateway = ObjectKey::new(Kind::Gateway, &id.0, &owner.name);
            if self.state.uid_of(&gateway).as_ref() != Some(&owner.uid) {
                self.delete(&slices, &slice).await?;
            }
        }
        Ok(())
    }

    /// EndpointSlices that were made for a Service, whichever Gateway's.
    async fn made_slices(&self, slices: &Api<DynamicObject>, service: &str) -> Result<Vec<DynamicObject>, Failure> {
        let made = format!("{SERVICE_LABEL}={service},{}={}", MADE_BY.0, MADE_BY.1);
        Ok(self.api.ask(slices.list(&ListParams::default().labels(&made))).await?.items)
    }

    /// Applies `wanted` where `there`, which was made for the same Gateway, is not as it. Answers whether it wrote.
    async fn apply(
        &self,
        objects: &Api<DynamicObject>,
        wanted: &Value,
        there: Option<&DynamicObject>,
    ) -> Result<bool, Failure> {
        let found = there.and_then(|there| serde_json::to_value(there).ok()).unwrap_or_default();
        if there.is_some() && is_applied(wanted, &found) {
            return Ok(false);
        }
        let mut wanted = wanted.clone();
        let mut params = PatchParams::apply(MANAGER);
        if let Some(there) = there {
            // It is this one that is Weir's, and no other that may have come in its place.
            wanted["metadata"]["uid"] = json!(there.metadata.uid);
            wanted["metadata"]["resourceVersion"] = json!(there.metadata.resource_version);
            params = params.force();
        }
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.api.ask(objects.patch(&name, &params, &Patch::Apply(&wanted))).await?;
        Ok(true)
    }

    async fn delete(&self, objects: &Api<DynamicObject>, there: &DynamicObject) -> Result<(), Failure> {
        let preconditions = Preconditions { uid: there.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams::default().preconditions(preconditions);
        let name = there.metadata.name.clone().unwrap_or_default();
        match self.api.ask(objects.delete(&name, &params)).await {
            Err(failure) if failure.cause() != Cause::NotFound => Err(failure),
            _ => Ok(()),
        }
    }

    fn objects<K: Resource<DynamicType = ()>>(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(&K::group(&()), &K::version(&()), &K::kind(&()));
        let resource = ApiResource::from_gvk_with_plural(&kind, &K::plural(&()));
        Api::namespaced_with(self.api.client().clone(), namespace, &resource)
    }

    /// Says once for each Service and problem what failed.
    fn tell(&mut self, (namespace, name): &NsName, failure: &Failure, what: &str) {
        // A race is lost now and then, and tried again.
        if failure.cause() != Cause::Conflict
            && self.told.insert(((namespace.clone(), name.clone()), failure.to_string()))
        {
            tracing::warn!(service = format!("{namespace}/{name}"), problem = %failure, "{what}");
        }
    }
}

/// `uid` of the Gateway for which an object was made; none: it was not made by a server of Weir's.
fn owner(object: &DynamicObject) -> Option<&String> {
    owner_reference(object).map(|owner| &owner.uid)
}

fn owner_reference(object: &DynamicObject) -> Option<&OwnerReference> {
    let made = object.metadata.labels.as_ref()?.get(MADE_BY.0)? == MADE_BY.1;
    let owners = object.metadata.owner_references.as_ref()?;
    owners.iter().find(|owner| made && owner.kind == "Gateway")
}

fn digest(object: &Value) -> String {
    object["metadata"]["annotations"][APPLIED].as_str().unwrap_or_default().to_owned()
}
