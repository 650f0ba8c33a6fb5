//! Writes one object's status: looks at what is there, and applies what differs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use weir_config::kinds::ObjectKey;

use super::holds;
use super::queue::Outcome;
use crate::apiserver::{ApiServer, Cause, Failure};
use crate::seen::{digest_of, shared_list};
use crate::state::{State, Wanted};
use crate::status::render::{digest_wanted, render};

/// Owner of the fields that Weir applies.
pub(super) const MANAGER: &str = "weir";
/// After a race: the other has written, so it may be tried soon.
const SOON: Duration = Duration::from_millis(200);
/// Until proxies of a new leader were heard of.
const EARLY: Duration = Duration::from_secs(1);
/// Without a right nothing but an operator helps.
const FORBIDDEN: Duration = Duration::from_secs(60);

/// What writes.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) api: ApiServer,
    pub(super) state: Arc<State>,
    /// Until when this replica leads.
    pub(super) leads: watch::Receiver<Option<Instant>>,
}

/// What is to be done about an object before any request is made.
pub(super) enum Look {
    /// Nothing, as far as is known.
    Fine,
    /// It is too early to say.
    Early(Duration),
    /// It must be looked at.
    Ask,
}

impl Writer {
    /// Compares what is wanted with what was seen. Makes no request.
    pub(super) fn look(&self, key: &ObjectKey) -> Look {
        let status = match self.state.wanted(key) {
            Wanted::Early => return Look::Early(EARLY),
            Wanted::Status(status) => Some(status),
            // Another controller's, or nobody's: only a list that controllers share has entries of Weir's to take back.
            Wanted::Nothing if shared_list(key.kind).is_none() => return Look::Fine,
            Wanted::Nothing => None,
        };
        let wanted = digest_wanted(key.kind, status.as_deref());
        match self.state.news().has(key) {
            Some(there) if there == wanted => Look::Fine,
            None if status.is_none() => Look::Fine,
            _ => Look::Ask,
        }
    }

    /// Looks at an object and writes what differs.
    pub(super) async fn write(&self, key: &ObjectKey) -> (Outcome, Option<Failure>) {
        match self.try_write(key).await {
            Ok(outcome) => (outcome, None),
            Err(failure) => match failure.cause() {
                // It is gone, or its kind is not installed.
                Cause::NotFound => {
                    self.state.news().seen(&[], [key]);
                    (Outcome::Fine, None)
                }
                Cause::Conflict => (Outcome::Conflict, None),
                Cause::Forbidden | Cause::Unauthenticated | Cause::Invalid => {
                    (Outcome::Again(FORBIDDEN), Some(failure))
                }
                _ => (Outcome::Again(failure.retry_after().unwrap_or(SOON)), Some(failure)),
            },
        }
    }

    async fn try_write(&self, key: &ObjectKey) -> Result<Outcome, Failure> {
        let objects = objects(self.api.client().clone(), key);
        let object = self.api.ask(objects.get_status(&key.name)).await?;
        let there = &object.data["status"];
        // As it is now: a look may have waited.
        let status = match self.state.wanted(key) {
            Wanted::Early => return Ok(Outcome::Again(EARLY)),
            Wanted::Status(status) => Some(status),
            Wanted::Nothing => None,
        };
        let wanted = digest_wanted(key.kind, status.as_deref());
        if digest_of(key.kind, there) == wanted {
            self.state.news().wrote(key, wanted);
            return Ok(Outcome::Fine);
        }
        // Whoever slept since it asked leads no more, and what it would write is old.
        if !holds(*self.leads.borrow()) {
            return Ok(Outcome::Again(EARLY));
        }
        let now = k8s_openapi::jiff::Timestamp::now();
        let now = now.round(k8s_openapi::jiff::Unit::Second).unwrap_or(now).to_string();
        let mut metadata = json!({ "name": key.name });
        if !key.namespace.is_empty() {
            metadata["namespace"] = json!(key.namespace);
        }
        if shared_list(key.kind).is_some() {
            // The list of parents, or ancestors, is one value that controllers share: who writes it must have seen it.
            metadata["resourceVersion"] = json!(object.metadata.resource_version);
        }
        let apply = json!({
            "apiVersion": format!("{}/{}", key.kind.group(), key.kind.versions()[0]),
            "kind": key.kind.name(),
            "metadata": metadata,
            "status": render(key.kind, status.as_deref(), there, &now),
        });
        let params = PatchParams::apply(MANAGER).force();
        let written = self.api.ask(objects.patch_status(&key.name, &params, &Patch::Apply(&apply))).await?;
        self.state.news().wrote(key, digest_of(key.kind, &written.data["status"]));
        self.state.metrics().status_written(key.kind);
        Ok(Outcome::Wrote(wanted))
    }
}

fn objects(client: Client, key: &ObjectKey) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(key.kind.group(), key.kind.versions()[0], key.kind.name());
    let resource = ApiResource::from_gvk_with_plural(&kind, &key.kind.plural());
    if key.namespace.is_empty() {
        Api::all_with(client, &resource)
    } else {
        Api::namespaced_with(client, &key.namespace, &resource)
    }
}
