//! Usage over HTTP, on the admin endpoint.

use std::fmt::Write as _;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use serde::Deserialize;
use serde_json::json;
use weir_config::usage::MAX_TENANT_BYTES;

use super::answer::{Answer, AnswerError, answer};
use super::audit;
use super::format::{CSV_HEAD, csv, json as json_lines};
use super::query::{By, Question, Row};
use super::span::{Span, show};
use super::store::{Store, StoreError};

/// Header of an answer that says what is not as it was asked for; once for each such thing.
pub const NOTE_HEADER: &str = "weir-usage-note";
/// Header of `/v1/usage/follow`: what to give as `after` the next time.
pub const POSITION_HEADER: &str = "weir-usage-position";
/// Batches of one answer of `/v1/usage/follow`.
pub const FOLLOW_BATCHES: u32 = 32;

/// Routes of usage.
pub fn router(store: Store) -> Router {
    Router::new()
        .route("/v1/usage", get(usage))
        .route("/v1/usage/follow", get(follow))
        .route("/v1/usage/audit", get(audit_page))
        .with_state(store)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    tenant: Option<String>,
    since: Option<String>,
    until: Option<String>,
    by: Option<String>,
    format: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FollowParams {
    tenant: Option<String>,
    after: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditParams {
    since: Option<String>,
    until: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
    Lines,
}

/// An answer that is none: a status and a line for people.
#[derive(Debug)]
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "usage cannot be read");
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<AnswerError> for Problem {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Store(error) => error.into(),
            AnswerError::Forgotten => Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}

fn bad(what: impl Into<String>) -> Problem {
    Problem(StatusCode::BAD_REQUEST, what.into())
}

/// Parameters, or what is wrong with them.
fn params<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(params)| params).map_err(|rejection| bad(rejection.body_text()))
}

/// The span; where a `+` of a zone came unescaped, it is a blank now.
fn span(since: Option<&str>, until: Option<&str>) -> Result<Span, Problem> {
    let mend =
        |text: Option<&str>| text.map(|text| if text.contains('T') { text.replace(' ', "+") } else { text.into() });
    Span::read(mend(since).as_deref(), mend(until).as_deref(), now_ms()).map_err(bad)
}

fn tenant(name: Option<String>) -> Result<Option<String>, Problem> {
    match name {
        Some(name) if !(1..=MAX_TENANT_BYTES).contains(&name.len()) => {
            Err(bad(format!("tenant: a name has 1 to {MAX_TENANT_BYTES} bytes")))
        }
        name => Ok(name),
    }
}

fn format(name: Option<&str>) -> Result<Format, Problem> {
    match name {
        None | Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some("jsonl") => Ok(Format::Lines),
        Some(other) => Err(bad(format!("format: `{other}` is none; write json, csv or jsonl"))),
    }
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

async fn usage(State(store): State<Store>, query: Result<Query<Params>, QueryRejection>) -> Result<Response, Problem> {
    let asked = params(query)?;
    let by =
        asked.by.as_deref().map_or(Ok(By::default()), |by| by.parse::<By>().map_err(|e| bad(format!("by: {e}"))))?;
    let format = format(asked.format.as_deref())?;
    let span = span(asked.since.as_deref(), asked.until.as_deref())?;
    let question = Question { span, tenant: tenant(asked.tenant)?, by };
    let mut answer = answer(&store, question).await?;
    // A store that fails at once is a status, not an answer that breaks off.
    let first = answer.pages.recv().await.transpose()?.unwrap_or_default();
    Ok(give(by, format, answer, first))
}

/// The answer, written while it is read.
fn give(by: By, format: Format, answer: Answer, first: Vec<Row>) -> Response {
    let Answer { plan, pages } = answer;
    let (kind, head) = match format {
        Format::Csv => ("text/csv; charset=utf-8", CSV_HEAD.to_owned()),
        Format::Lines => ("application/jsonl", String::new()),
        Format::Json => ("application/json", open(by, plan.span, &plan.notes)),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for note in plan.notes.iter().filter_map(|note| HeaderValue::from_str(note).ok()) {
        headers.append(NOTE_HEADER, note);
    }
    let writer = Writer { format, any: false, pages: Some(pages), next: Some((head, first)) };
    let body = stream::unfold(writer, |mut writer| async move { writer.chunk().await.map(|chunk| (chunk, writer)) });
    (headers, Body::from_stream(body)).into_response()
}

/// The begin of a JSON answer, up to its rows.
fn open(by: By, span: Span, notes: &[String]) -> String {
    let end = |ms: i64, open: i64| (ms != open).then(|| show(ms));
    let head = json!({
        "since": end(span.since_ms, i64::MIN),
        "until": end(span.until_ms, i64::MAX),
        "by": by.name(),
        "notes": notes,
    });
    let mut text = head.to_string();
    text.pop();
    text + ",\"rows\":["
}

/// Writes an answer, a page at a time.
struct Writer {
    format: Format,
    /// Whether a row was written, so that the next one follows a comma.
    any: bool,
    /// None: all was written.
    pages: Option<tokio::sync::mpsc::Receiver<Result<Vec<Row>, AnswerError>>>,
    /// What to begin with.
    next: Option<(String, Vec<Row>)>,
}

impl Writer {
    /// The next part of the body. An error breaks the answer off, so that nobody takes it for whole.
    async fn chunk(&mut self) -> Option<Result<String, AnswerError>> {
        if let Some((head, rows)) = self.next.take() {
            return Some(Ok(self.write(head, &rows)));
        }
        match self.pages.as_mut()?.recv().await {
            Some(Ok(rows)) => Some(Ok(self.write(String::new(), &rows))),
            Some(Err(error)) => {
                self.pages = None;
                tracing::warn!(%error, "an answer about usage breaks off");
                Some(Err(error))
            }
            None => {
                self.pages = None;
                (self.format == Format::Json).then(|| Ok("]}\n".to_owned()))
            }
        }
    }

    fn write(&mut self, mut text: String, rows: &[Row]) -> String {
        for row in rows {
            match self.format {
                Format::Csv => csv(&mut text, row),
                Format::Lines => json_lines(&mut text, row, "\n"),
                Format::Json => {
                    let mut lines = String::new();
                    json_lines(&mut lines, row, ",");
                    if !lines.is_empty() {
                        let comma = if std::mem::replace(&mut self.any, true) { "," } else { "" };
                        let _ = write!(text, "{comma}{}", lines.trim_end_matches(','));
                    }
                }
            }
        }
        text
    }
}

/// Rows of the batches after a position, as lines of JSON; without one, only where the end is now.
async fn follow(
    State(store): State<Store>,
    query: Result<Query<FollowParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = params(query)?;
    let tenant = tenant(asked.tenant)?;
    let (position, rows) = match asked.after {
        None => (store.newest().await?, Vec::new()),
        Some(after) => new_rows(&store, after, tenant.as_deref()).await?,
    };
    let mut text = String::new();
    rows.iter().for_each(|row| json_lines(&mut text, row, "\n"));
    let headers =
        [(header::CONTENT_TYPE.as_str(), "application/jsonl".to_owned()), (POSITION_HEADER, position.to_string())];
    Ok((headers, text).into_response())
}

/// Rows of the batches after a position, and the position to ask for next.
///
/// # Errors
/// The store is away or fails.
pub async fn new_rows(store: &Store, after: i64, tenant: Option<&str>) -> Result<(i64, Vec<Row>), StoreError> {
    let batches = store.batches(after, FOLLOW_BATCHES).await?;
    let position = batches.last().map_or(after, |batch| batch.position);
    let rows = batches.into_iter().flat_map(|stored| {
        let start_ms = stored.booked_ms;
        stored.batch.usage.into_iter().map(move |(tenant, units)| Row { start_ms, tenant, units })
    });
    Ok((position, rows.filter(|row| tenant.is_none_or(|one| one == row.tenant)).collect()))
}

async fn audit_page(
    State(store): State<Store>,
    query: Result<Query<AuditParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = params(query)?;
    let span = span(asked.since.as_deref(), asked.until.as_deref())?;
    Ok(Json(audit::collect::report(&store, span, now_ms()).await?).into_response())
}
