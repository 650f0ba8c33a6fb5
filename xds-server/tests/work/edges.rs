//! The same with two edges and a sidecar, each of which sees a part.

use std::sync::Arc;

use weir_xds_server::ads::{Form, Interest, Store};
use weir_xds_server::scope::Scope;
use weir_xds_server::translate::{Classes, Settings, World};

use super::support::{applied, objects};
use super::{names, platform, tenant};

/// A fleet of which every tenant is at the shared edge, and each tenth at the second one too.
struct Fleet {
    world: World,
    store: Arc<Store>,
    size: usize,
    _streams: Vec<Interest>,
}

fn attached(index: usize, gateways: &[&str]) -> String {
    let parents = gateways.iter().map(|name| format!("{{namespace: weir-system, name: {name}}}")).collect::<Vec<_>>();
    let parents = parents.join(", ");
    tenant(index, "/")
        .replace("parentRefs: [{namespace: weir-system, name: public}]", &format!("parentRefs: [{parents}]"))
}

impl Fleet {
    fn of(size: usize) -> Self {
        let mut text = platform();
        text += "\n---\nkind: Gateway\nmetadata: {namespace: weir-system, name: own}\nspec: {gatewayClassName: weir, listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]}\n";
        for index in 0..size {
            text += &attached(index, if index % 10 == 0 { &["public", "own"] } else { &["public"] });
        }
        let classes = Classes::new([("edge", ["*"]), ("own", ["weir-system/own"])]);
        let mut world = World::new(Settings { classes, ..Settings::default() });
        let store = Arc::new(Store::new());
        let scopes = [Scope::Edge("edge".into()), Scope::Edge("own".into()), Scope::Tenant("t7".into())];
        let streams = scopes.map(|scope| store.enter(Form::STORED, scope)).into();
        store.publish(&world.apply(&applied(&objects(&text))));
        Self { world, store, size, _streams: streams }
    }

    /// What an edit sends, how many changes it logs, and what it costs the scopes.
    fn edit(&mut self, manifests: &str) -> (Vec<String>, usize, u64) {
        let (before, cost) = (self.store.read().sequence(), self.store.read().scope_work());
        let delta = self.world.apply(&applied(&objects(manifests)));
        self.store.publish(&delta);
        let resources = self.store.read();
        let changes = resources.since(before).into_iter().flatten().map(|changes| changes.len()).sum();
        (names(&delta), changes, resources.scope_work() - cost)
    }
}

#[test]
fn an_edited_route_costs_the_scopes_nothing() {
    let (sent, changes, cost) = Fleet::of(40).edit(&tenant(7, "/new"));
    assert_eq!((sent.len(), changes, cost), (1, 1, 0), "{sent:?}");
}

#[test]
fn what_comes_and_moves_costs_the_same_in_a_fleet_ten_times_as_large() {
    let [small, large] = [40, 400].map(|size| {
        let mut fleet = Fleet::of(size);
        let new = fleet.size + 1;
        [&["public"][..], &["public", "own"], &["own"], &["public"]].map(|gateways| {
            let (sent, changes, cost) = fleet.edit(&attached(new, gateways));
            assert!(fleet.world.work().ports == 0 && fleet.world.work().tenants <= 2, "{:?}", fleet.world.work());
            (sent.len(), changes, cost)
        })
    });
    assert_eq!(small, large);
    // It comes with a cluster and endpoints; then they are the second edge's too; then no longer the first's.
    let costs = small.map(|(_, _, cost)| cost);
    assert!(costs.iter().all(|cost| (1..=10).contains(cost)), "{costs:?}");
}
