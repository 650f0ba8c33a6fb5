//! What a stream's client has of each resource, for those who look: client status discovery and the admin
//! endpoint.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use weir_config::model::ResourceType;

use super::kind::{Kind, Refusal, Standing};
use super::stream::Subscriptions;
use crate::ads::encoded::Version;
use crate::ads::view::View;

/// How far a client is with a resource; the names are those of `envoy.service.status.v3.ConfigStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It accepted the newest version, or knows that there is none.
    Synced,
    /// There is a version that it was not sent.
    NotSent,
    /// It was sent the newest version and has not answered.
    Stale,
    /// It refused the version that it was sent last.
    Error,
}

impl Sync {
    /// The name in `ConfigStatus`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Synced => "SYNCED",
            Self::NotSent => "NOT_SENT",
            Self::Stale => "STALE",
            Self::Error => "ERROR",
        }
    }
}

/// A resource that a client has, or asked for.
#[derive(Clone, Debug)]
pub struct ResourceStatus {
    /// Type.
    pub kind: ResourceType,
    /// Name.
    pub name: Arc<str>,
    /// The version that it uses, where that is known.
    pub version: Option<Version>,
    /// How far it is.
    pub sync: Sync,
    /// What it refused, if that was not replaced since.
    pub refused: Option<Refusal>,
    /// The newest version, as the server has it for this client; none where there is no such resource. Of a
    /// Secret it is a key.
    pub newest: Option<(Version, Bytes)>,
}

impl Subscriptions {
    /// Up to `limit` resources that the client has or asked for, by type and name, after `after`.
    pub fn statuses(
        &self,
        view: &View<'_>,
        kinds: &[ResourceType],
        after: Option<(ResourceType, &str)>,
        limit: usize,
    ) -> Vec<ResourceStatus> {
        let mut all = Vec::new();
        for kind in ResourceType::ALL.iter().filter(|kind| kinds.is_empty() || kinds.contains(kind)) {
            let names = match after {
                Some((before, _)) if *kind < before => continue,
                Some((before, name)) if *kind == before => self.kinds[*kind as usize].names_after(Some(name)),
                _ => self.kinds[*kind as usize].names_after(None),
            };
            for name in names {
                if all.len() >= limit {
                    return all;
                }
                all.push(self.status(*kind, name, view));
            }
        }
        all
    }

    fn status(&self, kind: ResourceType, name: &Arc<str>, view: &View<'_>) -> ResourceStatus {
        let state = &self.kinds[kind as usize];
        let newest = view.get(kind, name).map(|resource| (resource.version, resource.body.clone()));
        let held = state.held.get(name);
        let told = held.and_then(|held| held.told);
        let refused = state.refused.get(name).cloned();
        let current = newest.as_ref().map(|(version, _)| *version);
        let sync = match held.map(|held| held.standing) {
            _ if told != current => Sync::NotSent,
            Some(Standing::Rejected) => Sync::Error,
            Some(Standing::Waiting) => Sync::Stale,
            Some(Standing::Accepted) | None => Sync::Synced,
        };
        let version = match (&refused, held.map(|held| held.standing)) {
            (Some(refusal), _) => refusal.in_use,
            (None, Some(Standing::Accepted)) => told,
            (None, _) => state.before(name),
        };
        ResourceStatus { kind, name: Arc::clone(name), version, sync, refused, newest }
    }
}

impl Kind {
    /// Names that the client knows, must hear of or asked for, in order.
    fn names_after(&self, after: Option<&str>) -> BTreeSet<&Arc<str>> {
        let all = self.held.keys().chain(self.pending.keys()).chain(&self.names);
        all.filter(|name| after.is_none_or(|after| &***name > after)).collect()
    }
}
