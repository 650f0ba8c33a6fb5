//! What connected proxies have: `/clients`, and `/config_dump?node=ID`.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::Deserialize;
use serde_json::{Value, json};
use weir_config::model::ResourceType;

use crate::ads::Proxy;
use crate::ads::subscription::ResourceStatus;
use crate::state::State;

/// Resources of a page, unless it is asked for more or less, and at most.
const LIMIT: (usize, usize) = (10_000, 100_000);

/// What is asked about one proxy. A page ends with `next`, where there is more: the `after` of the next page.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// Its `node.id`; absent: the server's own resources are meant.
    pub(super) node: Option<String>,
    /// A type, such as `Cluster`; of all types without it.
    #[serde(rename = "type")]
    type_name: Option<String>,
    /// Only what comes after this, `Type/name`, in the order of pages.
    after: Option<String>,
    /// Resources of each stream, at most.
    limit: Option<usize>,
}

/// Routes of what proxies have.
pub(super) fn router(state: Arc<State>) -> Router {
    Router::new().route("/clients", get(clients)).with_state(state)
}

/// Every open stream, with what it has by type.
async fn clients(Shared(state): Shared<Arc<State>>) -> Response {
    answer(move || Ok(json!({"clients": state.registry().proxies()}))).await
}

/// What the proxy has, by stream and resource: names, versions, and what it refused. No bodies.
pub(super) async fn dump(state: Arc<State>, node: String, question: Question) -> Response {
    answer(move || {
        let kinds = match question.type_name.as_deref().map(kind_of) {
            None => Vec::new(),
            Some(Some(kind)) => vec![kind],
            Some(None) => return Err(format!("type: one of {}", known().join(", "))),
        };
        let after = match question.after.as_deref().map(|after| after.split_once('/')) {
            None => None,
            Some(Some((kind, name))) => Some((kind_of(kind).ok_or_else(|| format!("after: no type {kind}"))?, name)),
            Some(None) => return Err("after: write Type/name".to_owned()),
        };
        let limit = question.limit.unwrap_or(LIMIT.0).clamp(1, LIMIT.1);
        let streams: Vec<_> = state.registry().open().into_iter().filter(|proxy| proxy.about().node == node).collect();
        let streams: Vec<Value> = streams.iter().map(|proxy| stream(proxy, &kinds, after, limit)).collect();
        if streams.is_empty() {
            return Err(format!("no proxy that calls itself {node:?} is connected to this server; see /clients"));
        }
        Ok(json!({"node": node, "streams": streams}))
    })
    .await
}

fn stream(proxy: &Proxy, kinds: &[ResourceType], after: Option<(ResourceType, &str)>, limit: usize) -> Value {
    let mut resources = proxy.live().statuses(kinds, after, limit + 1);
    let more = resources.len() > limit;
    resources.truncate(limit);
    let last = resources.last().filter(|_| more);
    json!({
        "client": proxy.report(),
        "resources": resources.iter().map(resource).collect::<Vec<_>>(),
        "next": last.map(|last| format!("{}/{}", last.kind.message(), last.name)),
    })
}

fn resource(status: &ResourceStatus) -> Value {
    let refused = status.refused.as_ref();
    json!({
        "type": status.kind.message(),
        "name": &*status.name,
        "status": status.sync.name(),
        "version": status.version.map(|version| version.to_string()),
        "newest": status.newest.as_ref().map(|(version, _)| version.to_string()),
        "error": refused.map(|refused| json!({
            "version": refused.version.to_string(),
            "message": &*refused.text,
        })),
    })
}

fn kind_of(name: &str) -> Option<ResourceType> {
    ResourceType::ALL.iter().copied().find(|kind| kind.message() == name)
}

fn known() -> Vec<&'static str> {
    ResourceType::ALL.iter().map(|kind| kind.message()).collect()
}

/// Made off the threads that serve streams: it may be large.
async fn answer(make: impl FnOnce() -> Result<Value, String> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(make).await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(problem)) => (StatusCode::NOT_FOUND, problem + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
