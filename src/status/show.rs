//! A report for people: tables, then, where the eye is when the prompt is back, what is wrong.

use std::fmt::Write as _;

use weir_config::kinds::Kind;
use weir_config::kinds::gateway::ParentReference;
use weir_xds_server::ads::{ProxyReport, TypeReport};
use weir_xds_server::status::report::{ObjectReport, StatusReport};
use weir_xds_server::status::{Condition, unmet};

use crate::term::{self, Colour, paint};

/// Names in one cell.
const NAMES: usize = 4;

/// The report, with at most `rows` lines of what is wrong.
pub(super) fn show(report: &StatusReport, rows: usize) -> String {
    let mut out = String::new();
    let of = |kind: &str| report.objects.iter().filter(|o| o.kind == kind).collect::<Vec<_>>();
    let mut section = |title: &str, kind: &str, head: &[&str], rows: Vec<Vec<String>>| {
        let count = report.counts.get(kind).copied().unwrap_or_default();
        self::section(&mut out, title, head, &rows, count.total, count.total - count.shown);
    };
    let tenants = of("Tenant");
    let used = tenants.iter().any(|tenant| tenant.status.tenant.as_ref().is_some_and(|t| t.usage.is_some()));
    let head = ["TENANT", "SERVED", "NAMESPACES", "HOSTNAMES", "REQUESTS THIS MONTH", "BYTES"];
    let head = if used { &head[..] } else { &head[..4] };
    section("Tenants", "Tenant", head, tenants.iter().map(|o| tenant(o, used)).collect());
    let gateways = of("Gateway").iter().flat_map(|o| gateway(o)).collect();
    section("Gateways, by listener", "Gateway", &["GATEWAY", "LISTENER", "PROGRAMMED", "ROUTES"], gateways);
    let sets: Vec<_> = of("ListenerSet").iter().flat_map(|o| gateway(o)).collect();
    if !sets.is_empty() {
        let head = ["LISTENERSET", "LISTENER", "PROGRAMMED", "ROUTES"];
        section("ListenerSets, by listener", "ListenerSet", &head, sets);
    }
    for kind in Kind::ROUTES.map(Kind::name) {
        let routes: Vec<_> = of(kind).iter().flat_map(|o| route(o)).collect();
        if kind == "HTTPRoute" || !routes.is_empty() {
            let title =
                if kind == "HTTPRoute" { "Routes, by parent".to_owned() } else { format!("{kind}s, by parent") };
            section(&title, kind, &["ROUTE", "PARENT", "ACCEPTED", "REFERENCES"], routes);
        }
    }
    let proxies: Vec<_> = report.proxies.iter().map(proxy).collect();
    let head = ["NODE", "AGENT", "SINCE", "RESOURCES", "WAITING", "REFUSED", "ACKNOWLEDGED"];
    let hidden = report.proxy_count.saturating_sub(proxies.len());
    self::section(&mut out, "Proxies", &head, &proxies, report.proxy_count, hidden);
    let wrong = wrong(report);
    let objects: usize = report.counts.values().map(|count| count.wrong).sum();
    let shown = report.objects.iter().filter(|object| !unmet(&object.status).is_empty()).count();
    if wrong.is_empty() {
        let _ = writeln!(out, "{} nothing is wrong", paint(Colour::Green, "ok"));
    } else {
        let _ = writeln!(out, "{}", paint(Colour::Bold, "What is wrong"));
        for line in wrong.iter().take(rows) {
            let _ = writeln!(out, "  {line}");
        }
        let hidden = wrong.len().saturating_sub(rows) + objects.saturating_sub(shown);
        if hidden > 0 {
            let _ = writeln!(out, "  and at least {hidden} more (--all)");
        }
    }
    if !report.ready {
        let _ = writeln!(out, "{} the server has not read all objects yet", paint(Colour::Yellow, "starting"));
    }
    out
}

/// A table; `total` of its kind there are, and `hidden` of them are left out.
fn section(out: &mut String, title: &str, head: &[&str], rows: &[Vec<String>], total: usize, hidden: usize) {
    let _ = writeln!(out, "{} {}", paint(Colour::Bold, title), paint(Colour::Dim, &format!("({total})")));
    if !rows.is_empty() {
        out.push_str(&term::table(head, rows));
    }
    if hidden > 0 {
        let _ = writeln!(out, "{}", paint(Colour::Dim, &format!("and {hidden} more (--all)")));
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

fn tenant(object: &ObjectReport, used: bool) -> Vec<String> {
    let status = object.status.tenant.as_ref();
    let names = |names: &[String]| {
        let more = names.len().saturating_sub(NAMES);
        let shown = names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(" ");
        if more > 0 { format!("{shown} +{more}") } else { shown }
    };
    let (namespaces, hostnames) =
        status.map(|status| (names(&status.namespaces), names(&status.hostnames))).unwrap_or_default();
    // One that is suspended is accepted, and not served.
    let suspended = object.status.conditions.iter().any(|c| c.type_ == "Accepted" && c.reason == "Suspended");
    let served = match suspended {
        true => paint(Colour::Yellow, "no: Suspended"),
        false => answer(&object.status.conditions, "Accepted"),
    };
    let mut cells = vec![name(object), served, namespaces, hostnames];
    if used {
        let usage = status.and_then(|status| status.usage.as_ref());
        cells.push(usage.map(|usage| usage.requests.to_string()).unwrap_or_default());
        cells.push(usage.map(|usage| usage.bytes.to_string()).unwrap_or_default());
    }
    cells
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
    let parent =
        |p: &ParentReference| p.section_name.as_ref().map_or_else(|| p.name.clone(), |s| format!("{}/{s}", p.name));
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
    let sum = |f: fn(&TypeReport) -> usize| proxy.types.iter().map(f).sum::<usize>();
    // A change that was sent and not acknowledged is under way, or was refused.
    let behind = proxy.types.iter().map(|t| t.sent.saturating_sub(t.acknowledged)).max().unwrap_or_default();
    let acknowledged = match behind {
        0 => "all".to_owned(),
        behind => paint(Colour::Yellow, &format!("{behind} changes behind")),
    };
    vec![
        proxy.node.clone(),
        proxy.agent.clone(),
        proxy.since.clone(),
        sum(|t| t.resources).to_string(),
        sum(|t| t.waiting).to_string(),
        sum(|t| t.rejections.len()).to_string(),
        acknowledged,
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
