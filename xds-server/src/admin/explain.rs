//! `GET /v1/explain?host=H&tls=B&port=P&gateway=NS/NAME`: what there is about one host.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use tokio::sync::Semaphore;

use crate::explain::Question;
use crate::state::State;

/// Questions that are looked into at one time: each reads every route's hostnames, on a thread of its own.
const AT_ONCE: usize = 2;

/// Route of the page.
pub(super) fn router(state: Arc<State>) -> Router {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    Router::new().route("/v1/explain", axum::routing::get(explain)).with_state((state, room))
}

async fn explain(
    Shared((state, room)): Shared<(Arc<State>, Arc<Semaphore>)>,
    query: Result<Query<Question>, QueryRejection>,
) -> Response {
    let refuse = |status: StatusCode, problem: String| (status, format!("{problem}\n")).into_response();
    let question = match query {
        Ok(Query(question)) => match question.check() {
            Ok(question) => question,
            Err(problem) => return refuse(StatusCode::BAD_REQUEST, problem),
        },
        Err(rejection) => return refuse(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    if !state.is_ready() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the server has not read all objects yet".to_owned());
    }
    // It is never closed.
    let Ok(permit) = room.acquire_owned().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down".to_owned());
    };
    let scene = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        state.explain(&question)
    });
    match scene.await {
        Ok(scene) => Json(scene).into_response(),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
