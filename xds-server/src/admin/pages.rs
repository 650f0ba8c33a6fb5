//! The pages.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::server::State;

/// Routes of the admin endpoint.
pub fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/ready", get(ready))
        .route("/stats/prometheus", get(metrics))
        .route("/v1/status", get(status))
        .with_state(state)
}

async fn index() -> &'static str {
    "/ready\n/stats/prometheus\n/config_dump\n/v1/status\n"
}

async fn ready(Shared(state): Shared<Arc<State>>) -> (StatusCode, &'static str) {
    if state.is_ready() { (StatusCode::OK, "LIVE\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "INITIALIZING\n") }
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics().render()).into_response()
}

/// The report copies every object's status: it is made off the threads that serve streams.
async fn status(Shared(state): Shared<Arc<State>>) -> Response {
    match tokio::task::spawn_blocking(move || state.status()).await {
        Ok(report) => Json(report).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
