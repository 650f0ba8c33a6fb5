//! A replica that leads is stopped in the middle of what it does, for longer than its Lease holds, and wakes up when
//! another leads: real processes, SIGSTOP and SIGCONT, and a relay of its own, so that its requests are known.

use std::fs;

use serde_json::{Value, json};

use crate::support::apiserver::{ApiServer, Call, Relay};
use crate::support::http::{self, Request, Target};
use crate::support::load::{Ask, Load};
use crate::support::plane::{self, wait_for_port};
use crate::support::process::Process;
use crate::support::service::Service;
use crate::support::site::{HTTP, Site, XDS, repository, weir};
use crate::support::wait;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/weir-system/leases/weir-server";
const PLAN: &str = "/apis/weir.dev/v1alpha1/plans/pro";
/// The first replica's; the second has the next.
const PORTS: (u16, u16) = (18_300, 18_400);

/// A replica of the server whose API server is at `kubeconfig`.
fn replica(site: &Site, number: u16, kubeconfig: &std::path::Path) -> Process {
    let name = format!("server-{number}");
    let bootstrap = json!({
        "source": {"kubernetes": {"kubeconfig": kubeconfig, "replica": name}},
        "stateDir": site.path(&format!("{name}-state")),
        "xds": {"address": format!("{}:{}", site.ip(), PORTS.0 + number)},
        "admin": {"address": format!("{}:{}", site.ip(), PORTS.1 + number)},
        "authentication": {"anonymous": true},
    });
    let file = site.path(&format!("{name}.yaml"));
    fs::write(&file, bootstrap.to_string()).unwrap();
    site.process(&name, weir().arg("server").arg("--config").arg(&file))
}

fn plan(weight: u32) -> String {
    format!("apiVersion: weir.dev/v1alpha1\nkind: Plan\nmetadata: {{name: pro}}\nspec: {{weight: {weight}}}\n")
}

fn holder(api: &ApiServer) -> String {
    let lease = api.cluster().get(LEASE).unwrap_or_default();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

/// The generation of the Plan, and the one that its status is of.
fn generations(api: &ApiServer) -> (Value, Value) {
    let plan = api.cluster().get(PLAN).unwrap_or_default();
    (plan["metadata"]["generation"].clone(), plan["status"]["conditions"][0]["observedGeneration"].clone())
}

fn until_observed(api: &ApiServer) {
    wait::until_ok("the Plan's status to be of its generation", || match generations(api) {
        (is, observed) if is == observed && is.is_number() => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// What only a leader does: statuses and Events. (A write of the Lease names the version that it replaces.)
fn of_a_leader(call: &Call) -> bool {
    call.verb == "patch" || call.resource == "events"
}

#[test]
fn a_leader_that_slept_past_its_lease_wakes_up_as_no_leader() {
    let site = Site::new();
    let api = ApiServer::start(&site);
    let manifests = ["platform.yaml", "backends.yaml"]
        .map(|file| fs::read_to_string(repository("tests/cases/base").join(file)).unwrap())
        .join("\n---\n")
        .replace("${IP}", &site.ip().to_string());
    api.cluster().apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: weir-system}\n");
    api.cluster().apply(&manifests);
    let route = |backend: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: shop, namespace: acme}}\n\
             spec: {{parentRefs: [{{name: public, namespace: weir-system}}], hostnames: [shop.acme.test], \
             rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]}}\n"
        )
    };
    api.cluster().apply(&route("shop"));
    api.cluster().apply(&plan(1));
    // The first replica's requests go past the other's relay, so that it is known whose they are.
    let own = Relay::start((site.ip(), 6445).into(), (site.ip(), 6443).into(), &site.path("own.kubeconfig"));
    let first = replica(&site, 0, own.kubeconfig());
    wait::until("the first to lead", || holder(&api).starts_with("server-0_").then_some(()));
    until_observed(&api);
    let _second = replica(&site, 1, api.kubeconfig());
    let ready = Target::plain(site.ip(), PORTS.1 + 1);
    wait::until("the second to be ready", || {
        http::once(&ready, &Request::get("admin", "/ready")).ok().filter(|answer| answer.status == 200)
    });
    // The proxy is the first's, and goes to the second when that falls silent.
    let service = Service::start((site.ip(), XDS).into(), vec![(site.ip(), PORTS.0).into()]);
    let _backends = [("shop", 9001), ("canary", 9002)].map(|(name, port)| site.backend(name, port));
    let _proxy = plane::proxy(&site);
    wait_for_port(&site, HTTP);
    let target = Target::plain(site.ip(), HTTP);
    let ask = Ask { target, host: "shop.acme.test", query: "", body: 0, backends: &["shop", "canary"] };
    let until_answered = |backend: &str| {
        wait::until_ok(&format!("{backend} to answer"), || {
            let answer = http::once(&ask.target, &Request::get(ask.host, "/")).map_err(|error| error.to_string())?;
            let found = answer.backend().ok_or_else(|| format!("status {}", answer.status))?;
            if found == backend { Ok(()) } else { Err(found) }
        });
    };
    until_answered("shop");
    let load = Load::start(vec![ask.clone()]);

    first.signal("STOP");
    service.lead_to(vec![(site.ip(), PORTS.0 + 1).into()]);
    service.cut();
    api.cluster().apply(&plan(2));
    wait::until("the second to lead", || holder(&api).starts_with("server-1_").then_some(()));
    until_observed(&api);
    api.cluster().apply(&route("canary"));
    until_answered("canary");

    // It wakes up with all of its news unread, and believes for a moment that no time has passed.
    let before = own.count(of_a_leader);
    first.signal("CONT");
    api.cluster().apply(&plan(3));
    let log = || first.errors();
    wait::until_ok("the first to know that it does not lead", || {
        let said = log();
        if said.contains("this replica does not lead any more") { Ok(()) } else { Err(said) }
    });
    until_observed(&api);
    let looks = || own.count(|call| call.is("get", "leases"));
    let seen = looks();
    wait::until("the first to look at the Lease again and again", || (looks() >= seen + 3).then_some(()));
    let wrote: Vec<String> =
        own.calls().iter().filter(|call| of_a_leader(call)).skip(before).map(ToString::to_string).collect();
    assert_eq!(wrote, Vec::<String>::new(), "what it did of a leader's since it woke up");
    assert!(holder(&api).starts_with("server-1_"), "{}", holder(&api));

    // Both give the same.
    let resources = |number: u16| {
        let page = http::once(&Target::plain(site.ip(), PORTS.1 + number), &Request::get("admin", "/config_dump"));
        page.map(|answer| answer.json()["resources"].clone()).unwrap_or_default()
    };
    wait::until("both to have the same", || {
        let (one, other) = (resources(0), resources(1));
        (one == other && one.as_array().is_some_and(|all| all.len() > 5)).then_some(())
    });
    let seen = load.finish();
    assert!(seen.failures.is_empty(), "{} of {}: {:?}", seen.failures.len(), seen.requests, seen.failures.first());
    assert!(seen.requests > 100, "only {} requests", seen.requests);
}
