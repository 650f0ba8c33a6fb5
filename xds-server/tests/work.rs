//! What a change costs: the units that are worked out anew, and the resources that are sent, do not
//! grow with the fleet.

#[path = "work/edges.rs"]
mod edges;
mod support;

use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::{Delta, Resource};
use weir_xds_server::translate::{Settings, Work, World};
use weir_xds_server::watch::Event;

const TENANTS: usize = 200;

fn platform() -> String {
    include_str!("golden/with/platform.yaml").to_owned()
}

fn tenant(index: usize, path: &str) -> String {
    format!(
        r#"
---
kind: Tenant
apiVersion: weir.dev/v1alpha1
metadata: {{name: t{index}}}
spec: {{plan: pro, hostnames: [t{index}.example, "*.t{index}.example"]}}
---
kind: Namespace
apiVersion: v1
metadata: {{name: n{index}, labels: {{weir.dev/tenant: t{index}}}}}
---
kind: Service
apiVersion: v1
metadata: {{namespace: n{index}, name: web}}
spec: {{ports: [{{port: 80}}]}}
{}{}"#,
        slice(index, "10.0.0.1"),
        route(index, path)
    )
}

fn slice(index: usize, address: &str) -> String {
    format!(
        r#"
---
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {{namespace: n{index}, name: web, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{port: 8080}}]
endpoints: [{{addresses: [{address}]}}]
"#
    )
}

fn route(index: usize, path: &str) -> String {
    format!(
        r#"
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {{namespace: n{index}, name: web}}
spec:
  parentRefs: [{{namespace: weir-system, name: public}}]
  hostnames: [t{index}.example]
  rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{name: web, port: 80}}]}}]
"#
    )
}

/// A fleet, and a platform's route for every name, so that something lies above all tenants.
fn fleet() -> World {
    let mut text = platform();
    text += "\n---\nkind: HTTPRoute\napiVersion: gateway.networking.k8s.io/v1\nmetadata: {namespace: weir-system, name: all}\nspec: {parentRefs: [{name: public}]}\n";
    for index in 0..TENANTS {
        text += &tenant(index, "/");
    }
    let mut world = World::new(Settings::default());
    world.apply(&support::applied(&support::objects(&text)));
    world
}

fn edit(world: &mut World, manifests: &str) -> (Vec<String>, Work) {
    let delta = world.apply(&support::applied(&support::objects(manifests)));
    (names(&delta), world.work())
}

fn names(delta: &Delta) -> Vec<String> {
    let upserts = delta.upserts.iter().map(|r: &Resource| format!("{} {}", r.kind().message(), r.name()));
    upserts.chain(delta.removals.iter().map(|(kind, name)| format!("-{} {name}", kind.message()))).collect()
}

#[test]
fn an_edited_route_works_out_its_tenant_and_sends_one_virtual_host() {
    let (sent, work) = edit(&mut fleet(), &route(7, "/new"));
    assert_eq!(sent, ["VirtualHost edge/0.0.0.0/80/http/t7.example"]);
    assert_eq!(work, Work { tenants: 1, ..Work::default() });
}

#[test]
fn an_edit_changes_the_statuses_of_what_was_edited() {
    let mut world = fleet();
    let mut changed = |manifests: &str, generation: i64| {
        let mut objects = support::objects(manifests);
        for object in &mut objects {
            std::sync::Arc::get_mut(object).unwrap().metadata_mut().generation = Some(generation);
        }
        world.apply(&support::applied(&objects));
        let changed: Vec<String> = world.changed().iter().map(ToString::to_string).collect();
        let observed = world.changed().iter().map(|key| world.statuses()[key].observed_generation);
        assert!(observed.into_iter().all(|observed| observed.is_none_or(|observed| observed == generation)));
        changed
    };
    assert_eq!(changed(&route(7, "/new"), 2), ["HTTPRoute n7/web"]);
    // Nothing but the generation: the status says that it is seen.
    assert_eq!(changed(&route(7, "/new"), 3), ["HTTPRoute n7/web"]);
    assert!(changed(&route(7, "/new"), 3).is_empty());
    assert!(changed(&slice(7, "10.0.0.9"), 4).is_empty(), "what serves well is no news");
    let tenants = format!("t{TENANTS}");
    let new = changed(&tenant(TENANTS, "/"), 5);
    assert_eq!(
        new,
        ["Gateway weir-system/public", &format!("HTTPRoute n{TENANTS}/web"), "Plan pro", &format!("Tenant {tenants}")]
    );
}

#[test]
fn a_changed_slice_sends_one_load_assignment() {
    let (sent, work) = edit(&mut fleet(), &slice(7, "10.0.0.2"));
    assert_eq!(sent, ["ClusterLoadAssignment n7/web/80"]);
    assert_eq!(work, Work { services: 1, ..Work::default() });
}

#[test]
fn a_new_tenant_touches_no_other() {
    let (sent, work) = edit(&mut fleet(), &tenant(TENANTS, "/"));
    let host = format!("t{TENANTS}.example");
    assert_eq!(
        sent,
        [
            format!("Cluster t{TENANTS}/n{TENANTS}/web/80"),
            format!("ClusterLoadAssignment n{TENANTS}/web/80"),
            format!("VirtualHost edge/0.0.0.0/80/http/*.{host}"),
            format!("VirtualHost edge/0.0.0.0/80/http/{host}"),
        ]
    );
    // The tenant, and the namespace that was nobody's a moment before.
    assert_eq!((work.tenants, work.ports, work.services), (2, 0, 1));
    assert!(work.borders <= 4, "{work:?}");
}

#[test]
fn a_name_that_moves_touches_its_two_tenants() {
    let mut world = fleet();
    let claim = "kind: Tenant\napiVersion: weir.dev/v1alpha1\nmetadata: {name: t100}\nspec: {plan: pro, hostnames: [t7.example]}\n";
    let (_, work) = edit(&mut world, claim);
    assert_eq!((work.tenants, work.ports), (2, 0), "{work:?}");
}

#[test]
fn a_changed_rate_sends_the_limits_and_works_out_no_tenant() {
    let plan = "kind: Plan\napiVersion: weir.dev/v1alpha1\nmetadata: {name: pro}\nspec: {requests: {perSecond: 5}}\n";
    let (sent, work) = edit(&mut fleet(), plan);
    assert_eq!(sent, ["TypedExtensionConfig weir.dev/local_ratelimit"]);
    assert_eq!(work, Work::default());
}

#[test]
fn what_changes_nothing_sends_nothing() {
    let mut world = fleet();
    let (sent, work) = edit(&mut world, &tenant(7, "/"));
    assert_eq!((sent.len(), work), (0, Work::default()));
    let missing = Event::Delete(ObjectKey::new(Kind::HTTPRoute, "nowhere", "nothing"));
    assert!(world.apply(&[missing]).is_empty());
}

#[test]
fn a_deleted_tenant_leaves_nothing_behind() {
    let mut world = fleet();
    let before = world.snapshot().clone();
    let objects = support::objects(&tenant(TENANTS, "/"));
    world.apply(&support::applied(&objects));
    let gone: Vec<Event> = objects.iter().rev().map(|object| Event::Delete(object.key())).collect();
    world.apply(&gone);
    assert_eq!(*world.snapshot(), before);
    assert!(
        world.statuses().keys().all(|key| key.name != format!("t{TENANTS}") && key.namespace != format!("n{TENANTS}"))
    );
}

#[test]
fn an_edited_route_of_connections_works_out_its_tenant_and_one_port() {
    let mut world = fleet();
    let text = |index: usize, service: &str| {
        format!(
            r#"
kind: TLSRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {{namespace: n{index}, name: db}}
spec:
  parentRefs: [{{namespace: weir-system, name: tls}}]
  hostnames: [t{index}.example]
  rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]
"#
        )
    };
    let gateway = r#"
kind: Gateway
apiVersion: gateway.networking.k8s.io/v1
metadata: {namespace: weir-system, name: tls}
spec:
  gatewayClassName: weir
  listeners:
  - {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}, allowedRoutes: {namespaces: {from: All}}}
"#;
    let mut all = gateway.to_owned();
    for index in 0..TENANTS {
        all += &format!("\n---{}", text(index, "web"));
    }
    world.apply(&support::applied(&support::objects(&all)));
    let delta = world.apply(&support::applied(&support::objects(&text(7, "gone"))));
    assert_eq!(world.work(), Work { tenants: 1, sockets: 1, ..Work::default() });
    let sent: Vec<&str> = delta.upserts.iter().map(Resource::name).collect();
    assert_eq!(sent, ["edge/0.0.0.0/443/tcp"]);
}
