//! The answer for people: the answer first, then aligned lines.

use std::fmt::Write as _;

use super::answer::{Answer, BackendPart, Kind, LostPart, Reason, RoutePart};
use super::{backends, policies};
use crate::term::{Colour, paint};

/// What did not win, in lines; `--output json` has all.
const MOST_LOST: usize = 12;
/// Endpoints of a backend in a line.
const MOST_ENDPOINTS: usize = 4;
/// Width of the names of lines.
const WIDTH: usize = 11;

pub(super) fn show(answer: &Answer) -> String {
    let mut out = String::new();
    let (colour, word) = headline(answer);
    let _ = writeln!(out, "{} {}\n", paint(colour, &word), answer.result.text);
    line(
        &mut out,
        "request",
        &match &answer.request.method {
            Some(method) => format!("{method} {}", answer.request.url),
            None => answer.request.url.clone(),
        },
    );
    if !answer.request.url.contains(&answer.request.host) {
        line(&mut out, "host", &answer.request.host);
    }
    tenant(&mut out, answer);
    listener(&mut out, answer);
    if let Some(host) = &answer.virtual_host {
        line(&mut out, "hostname", &host.domain);
    }
    if let Some(route) = &answer.route {
        self::route(&mut out, route);
    }
    for (n, part) in answer.backends.iter().enumerate() {
        line(&mut out, if n == 0 { "backends" } else { "" }, &backend(part));
        for policy in &part.policies {
            line(&mut out, "", &policies::shown(policy));
        }
    }
    section(&mut out, "Did not win", answer.candidates.iter().map(lost), MOST_LOST);
    let others = answer.other_listeners.iter().map(|other| {
        let status = other.result.status.map(|status| format!("{status} ")).unwrap_or_default();
        format!("{}: {status}{}", other.name, other.result.text)
    });
    section(&mut out, "At other listeners", others, MOST_LOST);
    section(&mut out, "To know", answer.notes.iter().cloned(), usize::MAX);
    out
}

fn headline(answer: &Answer) -> (Colour, String) {
    let status = answer.result.status.map(|status| status.to_string());
    match answer.result.kind {
        Kind::Forwarded => (Colour::Green, "ok".to_owned()),
        Kind::Redirected | Kind::Answered => (Colour::Green, status.unwrap_or_else(|| "ok".to_owned())),
        Kind::PartlyForwarded => (Colour::Yellow, "partly".to_owned()),
        Kind::NoConnection => (Colour::Red, "no connection".to_owned()),
        Kind::Closed => (Colour::Red, "closed".to_owned()),
        Kind::Unserved if status.is_none() => (Colour::Red, "closed".to_owned()),
        Kind::OtherProtocol => (Colour::Yellow, "other protocol".to_owned()),
        Kind::Failed | Kind::Unserved | Kind::NotFound | Kind::Refused => {
            (Colour::Red, status.unwrap_or_else(|| "error".to_owned()))
        }
    }
}

fn line(out: &mut String, name: &str, text: &str) {
    let gap = " ".repeat(WIDTH.saturating_sub(name.len()));
    let _ = writeln!(out, "  {}{gap} {text}", paint(Colour::Dim, name));
}

fn tenant(out: &mut String, answer: &Answer) {
    let owned = answer.owner.as_ref().map(|owner| format!("owns `{}`", owner.entry));
    let Some(tenant) = &answer.tenant else {
        line(out, "tenant", "none");
        return;
    };
    let state = match tenant.state.as_str() {
        "Active" => tenant.state.clone(),
        other => paint(Colour::Red, other),
    };
    let plan = tenant.plan.as_ref().map(|plan| format!("plan {plan}"));
    let owned = owned.filter(|_| answer.owner.as_ref().is_some_and(|owner| owner.tenant == tenant.name));
    let parts = [Some(tenant.name.clone()), Some(state), plan, owned];
    line(out, "tenant", &parts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    if let (Some(owner), Some(route)) = (&answer.owner, &answer.route)
        && owner.tenant != tenant.name
    {
        line(out, "", &format!("the name is tenant {}'s; route {}", owner.tenant, route.name));
    }
    if tenant.plan.is_some() {
        let limit = match tenant.requests {
            Some(rate) => {
                let whose = if rate.of_tenant { "its own" } else { "of its plan" };
                format!(
                    "{} request{} a second, burst {} ({whose}; all its names together, in each proxy)",
                    rate.per_second,
                    if rate.per_second == 1 { "" } else { "s" },
                    rate.burst
                )
            }
            None => "no limit of requests".to_owned(),
        };
        line(out, "limit", &limit);
    }
}

fn listener(out: &mut String, answer: &Answer) {
    let Some(listener) = &answer.listener else { return };
    let address =
        if listener.address.contains(':') { format!("[{}]", listener.address) } else { listener.address.clone() };
    let mut text = format!("{address}:{} {} at edge {}", listener.port, listener.protocol, listener.edge);
    if let Some(of) = &listener.gateway_listener {
        let set = of.listener_set.as_ref().map(|set| format!(" of ListenerSet {set}")).unwrap_or_default();
        let _ = write!(text, ", Gateway {} listener {}{set} (`{}`)", of.gateway, of.listener, of.hostname);
    }
    line(out, "listener", &text);
    if let Some(certificate) = &listener.certificate {
        let until = certificate.not_after.as_ref().map(|end| format!(", until {end}")).unwrap_or_default();
        let text = format!("{} for {}{until}", certificate.secret, certificate.names.join(", "));
        line(out, "certificate", &text);
    }
}

fn route(out: &mut String, route: &RoutePart) {
    if route.kind.is_empty() {
        line(out, "route", &format!("`{}`, which the server put in place of the tenant's", route.name));
        return;
    }
    let rule = route.rule_name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let text =
        format!("{} {}/{} rule {}{rule}: {}", route.kind, route.namespace, route.name, route.rule, route.matched);
    line(out, "route", &text);
    for why in &route.why {
        line(out, "why", why);
    }
    for filter in &route.filters {
        line(out, "filter", filter);
    }
    if let Some(timeout) = &route.timeout {
        line(out, "timeout", timeout);
    }
    for policy in &route.policies {
        line(out, "policy", &policies::shown(policy));
    }
}

fn backend(part: &BackendPart) -> String {
    let mut text = format!("{}% {}", part.share, backends::called(part));
    text.extend(part.tls.iter().map(|name| format!(" over TLS as {name}")));
    if let Some(status) = part.status {
        let _ = write!(text, " {}", paint(Colour::Red, &format!("answered {status}")));
    }
    if part.closed {
        let _ = write!(text, " {}", paint(Colour::Red, "closed"));
    }
    let endpoints = part.endpoints.iter().take(MOST_ENDPOINTS).map(|endpoint| {
        let zone = if endpoint.zone.is_empty() { String::new() } else { format!(" in {}", endpoint.zone) };
        let used = if endpoint.used { "" } else { ", not used" };
        format!("{} {}{zone}{used}", endpoint.address, endpoint.health)
    });
    let endpoints: Vec<String> = endpoints.collect();
    if !endpoints.is_empty() {
        let more = part.endpoint_count.saturating_sub(endpoints.len());
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let _ = write!(text, ": {}{more}", endpoints.join(", "));
    }
    text
}

fn lost(part: &LostPart) -> String {
    let rule = part.rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
    let index = part.index.filter(|index| *index > 0).map(|index| format!(" match {index}")).unwrap_or_default();
    let tenant = match part.reason {
        Reason::NotServed => {
            part.tenant.as_ref().map_or_else(|| " (no tenant)".to_owned(), |tenant| format!(" (tenant {tenant})"))
        }
        _ => String::new(),
    };
    // The commonest kind goes without saying.
    let kind = if part.kind == "HTTPRoute" { String::new() } else { format!("{} ", part.kind) };
    format!("{kind}{}/{}{rule}{index}{tenant}: {}", part.namespace, part.name, part.text)
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>, most: usize) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", paint(Colour::Bold, title));
    for line in lines.iter().take(most) {
        let _ = writeln!(out, "  {line}");
    }
    if lines.len() > most {
        let _ = writeln!(out, "  and {} more (--output json has all)", lines.len() - most);
    }
}
