//! `weir status`

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use weir_xds_server::ads::ProxyReport;
use weir_xds_server::status::report::{ObjectReport, StatusReport};
use weir_xds_server::status::{Condition, unmet};

use crate::check::Output;
use crate::term::{self, Colour, paint};

/// Show what a control server knows: tenants, gateways, routes, what is wrong, proxies
///
/// Exits with 1 if anything is wrong: a document that cannot be used, a condition that does not
/// hold, a resource that a proxy refused.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The server's admin endpoint
    #[arg(long, default_value = "http://127.0.0.1:18001")]
    server: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest report that is read.
const MAX_REPORT: u64 = 256 << 20;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = fetch(&args.server)?;
    let report: StatusReport =
        serde_json::from_str(&text).context("this is not a status; is it a server of another version?")?;
    match args.output {
        Output::Json => term::print(&format!("{}\n", text.trim_end()))?,
        Output::Text => term::print(&show(&report))?,
    }
    let refused = report.proxies.iter().flat_map(|p| &p.types).any(|t| !t.rejections.is_empty());
    let wrong = refused || !report.findings.is_empty() || report.objects.iter().any(|o| !unmet(&o.status).is_empty());
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn fetch(server: &str) -> anyhow::Result<String> {
    let url = format!("{}/v1/status", server.trim_end_matches('/'));
    let agent =
        ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().new_agent();
    let mut answer = agent.get(&url).call().with_context(|| {
        format!("no answer from {url}: is the server running, and is that its admin endpoint? (--server URL)")
    })?;
    if answer.status() != 200 {
        bail!("{url} answered {}: is that a control server's admin endpoint?", answer.status());
    }
    Ok(answer.body_mut().with_config().limit(MAX_REPORT).read_to_string()?)
}

fn show(report: &StatusReport) -> String {
    let mut out = String::new();
    let of = |kind: &str| report.objects.iter().filter(|o| o.kind == kind).collect::<Vec<_>>();
    section(
        &mut out,
        "Tenants",
        &["TENANT", "SERVED", "NAMESPACES", "HOSTNAMES"],
        of("Tenant").iter().map(|o| tenant(o)),
    );
    section(
        &mut out,
        "Gateways, by listener",
        &["GATEWAY", "LISTENER", "PROGRAMMED", "ROUTES"],
        of("Gateway").iter().flat_map(|o| gateway(o)),
    );
    section(
        &mut out,
        "Routes, by parent",
        &["ROUTE", "PARENT", "ACCEPTED", "REFERENCES"],
        of("HTTPRoute").iter().flat_map(|o| route(o)),
    );
    section(
        &mut out,
        "Proxies",
        &["NODE", "AGENT", "SINCE", "RESOURCES", "WAITING", "REFUSED"],
        report.proxies.iter().map(proxy),
    );
    let wrong = wrong(report);
    if wrong.is_empty() {
        let _ = writeln!(out, "{} nothing is wrong", paint(Colour::Green, "ok"));
    } else {
        let _ = writeln!(out, "{}", paint(Colour::Bold, "What is wrong"));
        for line in wrong {
            let _ = writeln!(out, "  {line}");
        }
    }
    if !report.ready {
        let _ = writeln!(out, "{} the server has not read all objects yet", paint(Colour::Yellow, "starting"));
    }
    out
}

fn section(out: &mut String, title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<_> = rows.collect();
    let _ = writeln!(out, "{} {}", paint(Colour::Bold, title), paint(Colour::Dim, &format!("({})", rows.len())));
    if !rows.is_empty() {
        out.push_str(&term::table(head, &rows));
    }
    out.push('\n');
}

fn name(object: &ObjectReport) -> String {
    if object.namespace.is_empty() { object.name.clone() } else { format!("{}/{}", object.namespace, object.name) }
}

/// Yes, no with the reason, or nothing known.
fn answer(conditions: &[Condition], type_: &str) -> String {
    match conditions.iter().find(|c| c.type_ == type_) {
        Some(c) if c.status => paint(Colour::Green, "yes"),
        Some(c) => paint(Colour::Red, &format!("no: {}", c.reason)),
        None => "-".to_owned(),
    }
}

fn tenant(object: &ObjectReport) -> Vec<String> {
    let (namespaces, hostnames) = match &object.status.tenant {
        Some(t) => (t.namespaces.join(" "), t.hostnames.join(" ")),
        None => Default::default(),
    };
    vec![name(object), answer(&object.status.conditions, "Accepted"), namespaces, hostnames]
}

fn gateway(object: &ObjectReport) -> Vec<Vec<String>> {
    object
        .status
        .listeners
        .iter()
        .map(|l| vec![name(object), l.name.clone(), answer(&l.conditions, "Programmed"), l.attached_routes.to_string()])
        .collect()
}

fn route(object: &ObjectReport) -> Vec<Vec<String>> {
    let parent = |p: &weir_config::kinds::gateway::ParentReference| {
        p.section_name.as_ref().map_or_else(|| p.name.clone(), |s| format!("{}/{s}", p.name))
    };
    object
        .status
        .parents
        .iter()
        .map(|p| {
            vec![
                name(object),
                parent(&p.parent_ref),
                answer(&p.conditions, "Accepted"),
                answer(&p.conditions, "ResolvedRefs"),
            ]
        })
        .collect()
}

fn proxy(proxy: &ProxyReport) -> Vec<String> {
    let sum = |f: fn(&weir_xds_server::ads::TypeReport) -> usize| proxy.types.iter().map(f).sum::<usize>();
    vec![
        proxy.node.clone(),
        proxy.agent.clone(),
        proxy.since.clone(),
        sum(|t| t.resources).to_string(),
        sum(|t| t.waiting).to_string(),
        sum(|t| t.rejections.len()).to_string(),
    ]
}

fn wrong(report: &StatusReport) -> Vec<String> {
    let findings = report.findings.iter().map(|f| {
        let object = f.object.as_ref().map(|o| format!(" {o}:")).unwrap_or_default();
        match (f.file.as_str(), &f.object) {
            ("", Some(_)) => format!("{}{object} {}", paint(Colour::Red, "object"), f.error),
            ("", None) => format!("{} {}", paint(Colour::Red, "source"), f.error),
            (file, _) => format!("{} {file}:{}:{object} {}", paint(Colour::Red, "document"), f.line, f.error),
        }
    });
    let conditions = report.objects.iter().flat_map(|o| {
        unmet(&o.status).into_iter().map(move |(at, c)| {
            format!("{} {} {}{at}: {}: {}", paint(Colour::Yellow, &c.type_), o.kind, name(o), c.reason, c.message)
        })
    });
    let refused = report.proxies.iter().flat_map(|p| {
        p.types.iter().flat_map(move |t| {
            t.rejections.iter().map(move |r| {
                format!("{} by {}: {} {}: {}", paint(Colour::Red, "refused"), p.node, t.type_name, r.name, r.message)
            })
        })
    });
    findings.chain(conditions).chain(refused).collect()
}
