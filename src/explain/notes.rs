//! What to know, or to do.

use weir_xds_server::explain::{Scene, Spoken};

use super::answer::{Answer, Kind};
use super::request::Asked;

/// Names that are listed in a sentence.
const MOST_NAMES: usize = 8;

/// Notes on an answer, what helps most first.
pub(super) fn of(scene: &Scene, asked: &Asked, answer: &Answer) -> Vec<String> {
    let mut notes = Vec::new();
    connection(scene, asked, answer, &mut notes);
    name(scene, answer, &mut notes);
    certificate(answer, &mut notes);
    if let Some(tenant) = &answer.tenant {
        if !tenant.unenforced.is_empty() {
            notes.push(format!("not enforced yet (Unsupported): {}", tenant.unenforced.join(", ")));
        }
        let other = tenant.unmet.iter().filter(|condition| condition.reason != "Unsupported");
        notes.extend(other.map(|c| format!("tenant {}: {}: {}", tenant.name, c.reason, c.message)));
    }
    let left = &scene.left_off;
    for (count, what) in [
        (left.listeners, "listeners in question are not looked at: say --gateway"),
        (left.candidates, "routes that name the host are not listed"),
        (left.endpoints, "backends have too many endpoints to be shown"),
        (left.policies, "policies are not listed"),
    ] {
        if count > 0 {
            notes.push(format!("{count} more {what}"));
        }
    }
    notes
}

fn connection(scene: &Scene, asked: &Asked, answer: &Answer, notes: &mut Vec<String>) {
    let port = asked.question(None).default_port();
    if let (Some(listener), None) = (&answer.listener, asked.port)
        && listener.port != port
    {
        notes.push(format!("no listener has port {port}: this is the answer at port {}", listener.port));
    }
    for trouble in &scene.troubles {
        notes.push(format!(
            "listener {}/{} (port {}) is not programmed: {}: {}",
            trouble.gateway, trouble.listener, trouble.port, trouble.reason, trouble.message
        ));
    }
    if answer.listener.is_none() {
        let ports = scene.ports.iter().map(|p| format!("{} ({})", p.port, spoken(p.speaks)));
        let ports: Vec<String> = ports.collect();
        notes.push(match ports.is_empty() {
            true => "there is no listener at all".to_owned(),
            false => format!("there are listeners at {}", ports.join(", ")),
        });
    }
}

fn spoken(speaks: Spoken) -> &'static str {
    match speaks {
        Spoken::Http => "http",
        Spoken::Tls => "https",
        Spoken::Tcp => "tcp",
        Spoken::Udp => "udp",
    }
}

fn name(scene: &Scene, answer: &Answer, notes: &mut Vec<String>) {
    let unserved = matches!(answer.result.kind, Kind::NotFound | Kind::Closed | Kind::NoConnection);
    if unserved {
        for near in &scene.near {
            notes.push(format!("`{}` is near: route {} names it", near.hostname, near.route));
        }
        if let (Some(owner), false) = (&scene.owner, scene.served.is_empty()) {
            let names: Vec<&str> = scene.served.iter().take(MOST_NAMES).map(String::as_str).collect();
            notes.push(format!("routes of tenant {} name {}", owner.tenant, names.join(", ")));
        }
        if scene.host.ends_with('.') {
            notes.push("the host ends with a dot, and no listener or route has such a name".to_owned());
        }
    }
    if let Some(owner) = &scene.owner
        && !owner.lost_by.is_empty()
    {
        let others = owner.lost_by.join(", ");
        notes.push(format!("`{}` is also claimed by {others}, and {} is older", owner.entry, owner.tenant));
    }
}

fn certificate(answer: &Answer, notes: &mut Vec<String>) {
    let Some(certificate) = answer.listener.as_ref().and_then(|listener| listener.certificate.as_ref()) else { return };
    if !certificate.covers {
        let names = certificate.names.join(", ");
        notes.push(format!("the certificate in {} is for {names}: clients will not take it", certificate.secret));
    }
}
