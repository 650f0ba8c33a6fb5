//! `weir status`

mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use weir_config::kinds::Kind;
use weir_config::model::ResourceType;
use weir_xds_server::status::report::{FindingReport, StatusReport};
use weir_xds_server::status::select::{Selection, USUAL};
use weir_xds_server::status::unmet;
use weir_xds_server::translate::World;
use weir_xds_server::watch::directory::read_once;

use crate::check::{Output, Unassigned};
use crate::term;

/// Show what a control server knows: tenants, gateways, routes, proxies, and, last, what is wrong
///
/// Of many objects a few are shown, those first of which something is wrong; the others are counted.
/// Exits with 1 if anything is wrong: a document that cannot be used, a condition that does not
/// hold, a resource that a proxy refused.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  weir status
  weir status --tenant acme
  weir status --kind HTTPRoute --all
  weir status --dir manifests/        what a directory would come to: no server is needed
  weir status --server http://10.0.0.7:18001 --output json")]
pub(crate) struct Args {
    /// The server's admin endpoint [default: http://127.0.0.1:18001]
    #[arg(long, value_name = "ADMIN_URL", conflicts_with = "dir")]
    server: Option<String>,
    /// Ask no server: show what this directory of manifests would come to
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only this tenant's objects (`system`: the platform's)
    #[arg(long, value_name = "T")]
    tenant: Option<String>,
    /// Only this kind: Tenant, Plan, Gateway, HTTPRoute, ...
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<Kind>,
    /// Show every object and proxy
    #[arg(long)]
    all: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// With --dir, namespaces of no tenant: refuse them, or take them as the platform's own
    #[arg(long, value_enum, default_value_t, requires = "dir")]
    unassigned: Unassigned,
}

/// Where a server's admin endpoint is, unless it is said.
const SERVER: &str = "http://127.0.0.1:18001";
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest report that is read.
const MAX_REPORT: u64 = 256 << 20;
/// Rows of a table, unless all are asked for.
const ROWS: usize = 20;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let limit = match (args.all, args.output) {
        (true, _) => usize::MAX,
        (false, Output::Json) => USUAL,
        (false, Output::Text) => ROWS,
    };
    let kind = args.kind.map(|kind| kind.name().to_owned());
    let selection = Selection { tenant: args.tenant.clone(), kind, limit: Some(limit) };
    let report = match &args.dir {
        Some(dir) => directory(dir, args.unassigned, &selection)?,
        None => fetch(args.server.as_deref(), &selection)?,
    };
    match args.output {
        Output::Json => term::print(&format!("{}\n", serde_json::to_string(&report)?))?,
        Output::Text => term::print(&show::show(&report, limit))?,
    }
    let refused = report.proxies.iter().flat_map(|p| &p.types).any(|t| !t.rejections.is_empty());
    let unmet = report.counts.values().any(|count| count.wrong > 0)
        || report.objects.iter().any(|object| !unmet(&object.status).is_empty());
    let wrong = refused || unmet || !report.findings.is_empty();
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A kind by its name, in any case, one or many.
fn kind(text: &str) -> Result<Kind, String> {
    let same = |kind: &&Kind| {
        let name = kind.name();
        text.eq_ignore_ascii_case(name) || text.strip_suffix('s').is_some_and(|one| one.eq_ignore_ascii_case(name))
    };
    Kind::ALL.iter().find(same).copied().ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        format!("no kind that Weir reads: {}", names.join(", "))
    })
}

/// What a directory would come to. Nothing is connected, so there are no proxies.
fn directory(dir: &Path, unassigned: Unassigned, selection: &Selection) -> anyhow::Result<StatusReport> {
    let batch = read_once(dir)?;
    let mut world = World::new(unassigned.settings());
    world.apply(&batch.events);
    let (objects, counts) = selection.select(world.statuses().iter(), |key| world.tenant_of_object(key));
    let count = |kind: &ResourceType| (kind.message().to_owned(), world.snapshot().count(*kind));
    Ok(StatusReport {
        ready: true,
        sequence: 0,
        resources: ResourceType::ALL.iter().map(count).collect(),
        counts,
        objects,
        findings: batch.findings.iter().map(FindingReport::from).collect(),
        proxies: Vec::new(),
        proxy_count: 0,
    })
}

fn fetch(server: Option<&str>, selection: &Selection) -> anyhow::Result<StatusReport> {
    let url = format!("{}/v1/status", server.unwrap_or(SERVER).trim_end_matches('/'));
    let agent =
        ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().new_agent();
    let mut query: Vec<(&str, String)> = Vec::new();
    query.extend(selection.tenant.iter().map(|tenant| ("tenant", tenant.clone())));
    query.extend(selection.kind.iter().map(|kind| ("kind", kind.clone())));
    query.push(("limit", selection.limit().to_string()));
    let mut answer = agent.get(&url).query_pairs(query).call().with_context(|| {
        format!(
            "no answer from {url}: is the server running, and is that its admin endpoint? (--server URL, or --dir DIR)"
        )
    })?;
    if answer.status() != 200 {
        bail!("{url} answered {}: is that a control server's admin endpoint?", answer.status());
    }
    let text = answer.body_mut().with_config().limit(MAX_REPORT).read_to_string()?;
    serde_json::from_str(&text).context("this is not a status; is it a server of another version?")
}
