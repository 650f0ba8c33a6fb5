//! The pages.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use serde_json::json;
use weir_config::model::ResourceType;

use super::clients::Question;
use crate::ads::Form;
use crate::state::State;
use crate::status::select::Selection;
use crate::usage::intake::now_ms;
use crate::usage::page;
use crate::usage::store::Store;

/// Routes of the admin endpoint; those of usage answer from `store`.
pub fn router(state: Arc<State>, store: Store) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/ready", get(ready))
        .route("/stats/prometheus", get(metrics))
        .route("/config_dump", get(config_dump))
        .route("/v1/status", get(status))
        .with_state(Arc::clone(&state))
        .merge(super::clients::router(Arc::clone(&state)))
        .merge(super::explain::router(state))
        .merge(page::router(store))
}

/// What other machines may ask: whether the server is ready, and its metrics.
pub fn open_router(state: Arc<State>) -> Router {
    Router::new().route("/ready", get(ready)).route("/stats/prometheus", get(metrics)).with_state(state)
}

async fn index() -> &'static str {
    "/ready\n/stats/prometheus\n/config_dump\n/clients\n/v1/status\n/v1/explain\n/v1/usage\n/v1/usage/audit\n"
}

async fn ready(Shared(state): Shared<Arc<State>>) -> (StatusCode, &'static str) {
    if state.is_ready() { (StatusCode::OK, "LIVE\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "INITIALIZING\n") }
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics().render() + &state.usage().render(now_ms()))
        .into_response()
}

/// Every resource, in sending order, with its version; private keys are left out. With `?node=ID` what that proxy
/// has of them.
async fn config_dump(Shared(state): Shared<Arc<State>>, Query(mut question): Query<Question>) -> Response {
    if let Some(node) = question.node.take() {
        return super::clients::dump(state, node, question).await;
    }
    let dump = tokio::task::spawn_blocking(move || {
        let resources: Vec<_> = {
            let store = state.store().read();
            ResourceType::ALL
                .iter()
                .flat_map(|kind| store.of(*kind, Form::STORED).cloned().collect::<Vec<_>>())
                .collect()
        };
        let entries = resources.iter().map(|resource| {
            let body = weir_config::xds::json::to_json(resource.kind, &resource.body);
            json!({
                "name": &*resource.name,
                "version": resource.version.to_string(),
                "resource": body.unwrap_or_else(|error| json!({"error": error.to_string()})),
            })
        });
        json!({"resources": entries.collect::<Vec<_>>()})
    });
    match dump.await {
        Ok(dump) => Json(dump).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The report copies every object's status: it is made off the threads that serve streams.
async fn status(Shared(state): Shared<Arc<State>>, query: Result<Query<Selection>, QueryRejection>) -> Response {
    let selection = match query {
        Ok(Query(selection)) => selection,
        Err(rejection) => return (StatusCode::BAD_REQUEST, rejection.body_text() + "\n").into_response(),
    };
    match tokio::task::spawn_blocking(move || state.status(&selection)).await {
        Ok(report) => Json(report).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
