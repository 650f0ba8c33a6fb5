//! Where usage is read: a store on this machine, or a server.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::runtime::Runtime;
use weir_config::bootstrap::ServerUsage;
use weir_xds_server::usage::answer::answer;
use weir_xds_server::usage::audit::{Report, collect};
use weir_xds_server::usage::format::{Line, Rejoin};
use weir_xds_server::usage::page::{NOTE_HEADER, POSITION_HEADER, new_rows};
use weir_xds_server::usage::query::{Question, Row};
use weir_xds_server::usage::span::{Span, show};
use weir_xds_server::usage::store::Store;

/// Where a server's admin endpoint is, unless it is said.
const SERVER: &str = "http://127.0.0.1:18001";
/// How long a server may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest answer that is read at once.
const MAX_TEXT: u64 = 256 << 20;

/// Where usage is read.
pub(super) enum Source {
    /// A store, read while its server runs.
    Local { store: Store, runtime: Runtime },
    /// A server's admin endpoint.
    Server { url: String, agent: ureq::Agent },
}

/// An answer.
pub(super) struct Given {
    /// What is not as it was asked for.
    pub(super) notes: Vec<String>,
    /// Rows in order of time and tenant.
    pub(super) rows: Box<dyn Iterator<Item = anyhow::Result<Row>>>,
}

impl Source {
    pub(super) fn open(state_dir: Option<&Path>, server: Option<&str>) -> anyhow::Result<Self> {
        if let Some(dir) = state_dir {
            let dir = store_dir(dir)?;
            // It serves the store's connections; rows are taken on this thread.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let store = {
                let _inside = runtime.enter();
                Store::open_read_only(&ServerUsage::default(), &dir)?
            };
            return Ok(Self::Local { store, runtime });
        }
        let url = server.unwrap_or(SERVER).trim_end_matches('/').to_owned();
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Ok(Self::Server { url, agent })
    }

    /// Asks for rows.
    pub(super) fn ask(self, question: &Question) -> anyhow::Result<Given> {
        match self {
            Self::Local { store, runtime } => {
                let mut answer = runtime.block_on(answer(&store, question.clone()))?;
                let notes = std::mem::take(&mut answer.plan.notes);
                let pages = std::iter::from_fn(move || runtime.block_on(answer.pages.recv()));
                let rows = pages.flat_map(|page| match page {
                    Ok(rows) => rows.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error.into())],
                });
                Ok(Given { notes, rows: Box::new(rows) })
            }
            Self::Server { url, agent } => {
                let mut query = span_query(question.span);
                query.extend(question.tenant.iter().map(|tenant| ("tenant", tenant.clone())));
                query.push(("by", question.by.name().to_owned()));
                query.push(("format", "jsonl".to_owned()));
                let answer = get(&agent, &url, "/v1/usage", query)?;
                let notes = answer.headers().get_all(NOTE_HEADER).iter();
                let notes = notes.filter_map(|note| note.to_str().ok().map(str::to_owned)).collect();
                let lines = BufReader::new(answer.into_body().into_reader()).lines();
                Ok(Given { notes, rows: Box::new(rejoin(lines)) })
            }
        }
    }

    /// Position of the newest batch.
    pub(super) fn position(&self) -> anyhow::Result<i64> {
        match self {
            Self::Local { store, runtime } => Ok(runtime.block_on(store.newest())?),
            Self::Server { url, agent } => position_of(&get(agent, url, "/v1/usage/follow", Vec::new())?),
        }
    }

    /// Rows of some batches after a position, and the position to go on from.
    pub(super) fn after(&self, position: i64, tenant: Option<&str>) -> anyhow::Result<(i64, Vec<Row>)> {
        match self {
            Self::Local { store, runtime } => Ok(runtime.block_on(new_rows(store, position, tenant))?),
            Self::Server { url, agent } => {
                let mut query = vec![("after", position.to_string())];
                query.extend(tenant.map(|tenant| ("tenant", tenant.to_owned())));
                let answer = get(agent, url, "/v1/usage/follow", query)?;
                let position = position_of(&answer)?;
                let lines = BufReader::new(answer.into_body().into_reader()).lines();
                Ok((position, rejoin(lines).collect::<anyhow::Result<_>>()?))
            }
        }
    }

    /// What the store's own audit says.
    pub(super) fn audit(&self, span: Span, now_ms: i64) -> anyhow::Result<Report> {
        match self {
            Self::Local { store, runtime } => Ok(runtime.block_on(collect::report(store, span, now_ms))?),
            Self::Server { url, agent } => {
                let mut answer = get(agent, url, "/v1/usage/audit", span_query(span))?;
                let text = answer.body_mut().with_config().limit(MAX_TEXT).read_to_string()?;
                serde_json::from_str(&text).context("this is no audit; is it a server of another version?")
            }
        }
    }
}

fn span_query(span: Span) -> Vec<(&'static str, String)> {
    let ends = [("since", span.since_ms, i64::MIN), ("until", span.until_ms, i64::MAX)];
    ends.into_iter().filter(|(_, ms, open)| ms != open).map(|(name, ms, _)| (name, show(ms))).collect()
}

/// Where in a state directory the store is: of `weir up`, or of `weir server`.
fn store_dir(dir: &Path) -> anyhow::Result<PathBuf> {
    let places = [dir.join("server"), dir.to_owned()];
    match places.iter().find(|place| place.join("usage.db").is_file()) {
        Some(place) => Ok(place.clone()),
        None => bail!(
            "no usage is stored in {0}: there is neither {0}/server/usage.db nor {0}/usage.db; is that the state \
             directory? (of a server with another database, ask it: --server URL)",
            dir.display()
        ),
    }
}

/// A GET that was answered 200.
fn get(
    agent: &ureq::Agent,
    url: &str,
    path: &str,
    query: Vec<(&'static str, String)>,
) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
    let mut answer = agent.get(format!("{url}{path}")).query_pairs(query).call().with_context(|| {
        format!("no answer from {url}: is the server running, and is that its admin endpoint? (--server URL, or --state-dir D)")
    })?;
    if answer.status() == 200 {
        return Ok(answer);
    }
    let text = answer.body_mut().with_config().limit(1000).read_to_string().unwrap_or_default();
    bail!("{url}{path} answered {}: {}", answer.status(), text.trim())
}

fn position_of(answer: &ureq::http::Response<ureq::Body>) -> anyhow::Result<i64> {
    let position = answer.headers().get(POSITION_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    position.context("this is no usage; is it a server of another version?")
}

/// Rows from lines of JSON.
fn rejoin(lines: impl Iterator<Item = std::io::Result<String>>) -> impl Iterator<Item = anyhow::Result<Row>> {
    let mut rejoin = Rejoin::default();
    let mut lines = lines;
    std::iter::from_fn(move || {
        loop {
            let Some(line) = lines.next() else { return rejoin.finish().map(Ok) };
            match read(line, &mut rejoin) {
                Ok(None) => {}
                Ok(Some(row)) => return Some(Ok(row)),
                Err(error) => return Some(Err(error)),
            }
        }
    })
}

fn read(line: std::io::Result<String>, rejoin: &mut Rejoin) -> anyhow::Result<Option<Row>> {
    let line = line.context("the answer breaks off")?;
    let line: Line = serde_json::from_str(&line).with_context(|| format!("this is no usage: {line}"))?;
    rejoin.add(line).context("a metric that this version does not know")
}
