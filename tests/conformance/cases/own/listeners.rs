//! Listeners that come, go, and compete.

use serde_json::json;

use crate::cases::{accepted, listener};
use crate::client::Place;
use crate::compare::Expected;
use crate::sockets::ask_tcp;
use crate::status::{Listener, SERVES, Want, fails, gateway, holds, infra};
use crate::suite::{Case, Check};
use crate::world::INFRA;

const HTTP: &[&str] = &["HTTPRoute"];

/// A listener is added, and another taken away: its status, and what is served, follow.
pub(super) fn modified(case: &Case<'_>) -> Check {
    accepted(case)?;
    let name = "own-modified";
    let shows = |names: &[&str]| {
        let of = |name| Listener { name, kinds: HTTP, routes: 1, conditions: SERVES };
        case.listeners(gateway(name), &names.iter().copied().map(of).collect::<Vec<_>>())
    };
    let serves = |listener_name: &str| -> Result<Place, String> {
        let place = listener(case, INFRA, name, listener_name)?;
        let host = format!("{listener_name}.modified.example");
        case.expect(&place, &Expected::reaches(&host, "/", "infra-backend-v1", INFRA)).map(|()| place)
    };
    shows(&["first", "second"])?;
    serves("first")?;
    let gone = serves("second")?;
    let third = json!({"name": "third", "port": 80, "protocol": "HTTP", "hostname": "third.modified.example"});
    let generation = case.generation(gateway(name))?;
    case.world.mutate("Gateway", INFRA, name, |found| {
        found["spec"]["listeners"].as_array_mut().unwrap().push(third);
    });
    shows(&["first", "second", "third"])?;
    serves("third")?;
    case.world.mutate("Gateway", INFRA, name, |found| {
        found["spec"]["listeners"].as_array_mut().unwrap().retain(|listener| listener["name"] != "second");
    });
    shows(&["first", "third"])?;
    serves("first")?;
    // Its port was its alone: nobody listens there any more.
    case.until("the port to be closed", || match ask_tcp(gone.address, &None) {
        Err(told) if told.starts_with("connect") => Ok(()),
        other => Err(format!("{} still answers: {other:?}", gone.address)),
    })?;
    match case.generation(gateway(name))? {
        now if now > generation => Ok(()),
        now => Err(format!("the generation went from {generation} to {now}")),
    }
}

/// A ReferenceGrant for the one Secret that a listener of another namespace refers to.
pub(super) fn secret_granted(case: &Case<'_>) -> Check {
    let conditions = &[holds("Programmed", "Programmed"), holds("ResolvedRefs", "")];
    let listener = Listener { name: "https", kinds: HTTP, routes: 0, conditions };
    case.listeners(gateway("own-secret-grant"), &[listener])?;
    let grants: Vec<_> = case.objects.iter().filter(|object| object["kind"] == "ReferenceGrant").cloned().collect();
    let renamed = grants.iter().cloned().map(|mut grant| {
        grant["spec"]["to"][0]["name"] = json!("another-certificate");
        grant
    });
    case.world.apply(renamed.collect());
    case.listener_has(gateway("own-secret-grant"), "https", &[fails("ResolvedRefs", "RefNotPermitted")])
}

/// Two listeners of one port and name: the Gateway's before any set's, the older set's before the younger's.
pub(super) fn hostname_conflict(case: &Case<'_>) -> Check {
    const LOST: &[Want] = &[
        fails("Accepted", "HostnameConflict"),
        fails("Programmed", "HostnameConflict"),
        holds("Conflicted", "HostnameConflict"),
    ];
    let parent = gateway("own-conflicts");
    case.has(parent, &[holds("Accepted", "")])?;
    case.attached_sets(parent.name, 2)?;
    case.listener_has(parent, "", SERVES)?;
    let set = |name| infra("ListenerSet", name);
    let partly: &[Want] = &[holds("Accepted", ""), holds("Programmed", "Programmed")];
    let none: &[Want] = &[fails("Accepted", "ListenersNotValid"), fails("Programmed", "ListenersNotValid")];
    type Row<'r> = (&'r str, &'r [Want], &'r [(&'r str, &'r [Want])]);
    let rows: [Row<'_>; 4] = [
        ("own-conflicts-1", partly, &[("first", SERVES), ("taken", LOST), ("shared", SERVES)]),
        ("own-conflicts-2", none, &[("taken", LOST)]),
        ("own-conflicts-3", partly, &[("third", SERVES), ("shared", LOST)]),
        ("own-conflicts-4", none, &[("shared", LOST)]),
    ];
    for (name, conditions, listeners) in rows {
        case.has(set(name), conditions)?;
        for (listener, wants) in listeners {
            case.listener_has(set(name), listener, wants)?;
        }
    }
    case.rows(&listener(case, INFRA, parent.name, "")?)
}
