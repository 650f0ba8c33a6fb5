//! Word of what Gateways are to have in the cluster, for the replica that makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use weir_config::kinds::{Kind, ObjectKey};

use super::State;
use crate::index::NsName;
use crate::translate::World;
use crate::translate::gateway_services::{self, GatewayServices, service_of_slice};
use crate::watch::Event;

/// What may not be as it is to be.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Services that somebody wrote, and whether it was an EndpointSlice of theirs.
    services: Mutex<BTreeMap<NsName, bool>>,
    wake: Notify,
}

impl Touched {
    /// Takes changes in.
    pub(super) fn note(&self, events: &[Event], changed: &BTreeSet<ObjectKey>, world: &World) {
        let mut about =
            changed.iter().any(|key| gateway_services::is_about(world, key, None) && key.kind == Kind::Gateway);
        for event in events {
            let (key, object) = match event {
                Event::Apply(object) => (object.key(), Some(&**object)),
                Event::Delete(key) => (key.clone(), None),
                Event::SecretsRead(_) => continue,
            };
            if !gateway_services::is_about(world, &key, object) {
                continue;
            }
            about = true;
            let service = match key.kind {
                Kind::Service => Some(key.name.clone()),
                Kind::EndpointSlice => service_of_slice(&key.name).map(str::to_owned),
                _ => None,
            };
            if let Some(service) = service {
                let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
                *services.entry((key.namespace, service)).or_default() |= key.kind == Kind::EndpointSlice;
            }
        }
        if about {
            self.wake.notify_one();
        }
    }
}

impl State {
    /// What Gateways are to have in the cluster beside their status.
    pub fn gateway_services(&self) -> GatewayServices {
        let world = self.world.read().unwrap_or_else(PoisonError::into_inner);
        gateway_services::all(world.world())
    }

    /// Services that somebody wrote since it was asked last, and whether it was an EndpointSlice of theirs.
    pub fn touched_services(&self) -> BTreeMap<NsName, bool> {
        std::mem::take(&mut self.touched.services.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until [`State::gateway_services`] may say something else, or something was touched. It may return early.
    pub async fn gateway_services_changed(&self) {
        self.touched.wake.notified().await;
    }
}
