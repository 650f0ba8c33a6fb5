//! Whose rows are taken of whom, over restarts and with several servers.

use tokio::sync::watch;

use super::*;
use crate::usage::store::tests::{Database, on_both};

on_both!(
    an_edge_reports_what_it_was_given_and_no_more,
    a_server_that_begins_anew_knows_what_was_given,
    a_server_that_has_seen_no_objects_waits_before_it_refuses,
    a_sidecar_reports_its_tenant_and_the_one_it_had,
    what_was_given_counts_for_as_long_as_batches_are_kept,
);

const NOW: i64 = 1_772_359_200_000;
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// A server on a database.
struct Server {
    ledger: Arc<Ledger>,
    namespaces: Arc<Namespaces>,
    ready: watch::Sender<bool>,
    store: Store,
    reporters: Arc<Reporters>,
}

impl Server {
    fn on(database: &Database) -> Self {
        let (ledger, namespaces, ready) =
            (Arc::new(Ledger::default()), Arc::<Namespaces>::default(), watch::Sender::new(true));
        let store = database.store();
        let reporters =
            Reporters::new(Arc::clone(&ledger), store.clone(), Arc::clone(&namespaces), ready.subscribe(), WEEK);
        Self { ledger, namespaces, ready, store, reporters }
    }

    /// Of these tenants, those whose rows are taken.
    async fn taken(&self, role: &Role, tenants: &[&str], now_ms: i64) -> Vec<String> {
        let scope = self.reporters.scope(role, tenants.iter().copied(), now_ms).await.unwrap();
        tenants.iter().filter(|tenant| scope.holds(tenant)).map(ToString::to_string).collect()
    }
}

fn edge(name: &str) -> Role {
    Role::Edge(name.into())
}

async fn an_edge_reports_what_it_was_given_and_no_more(database: Database) {
    let server = Server::on(&database);
    server.ledger.note([("edge", "acme"), ("edge", "globex"), ("silo", "initech")], NOW);
    let all = ["acme", "globex", "initech", "nobody", "-"];
    assert_eq!(server.taken(&edge("edge"), &all, NOW).await, ["acme", "globex", "-"]);
    assert_eq!(server.taken(&edge("silo"), &all, NOW).await, ["initech", "-"]);
    assert_eq!(server.taken(&edge("sidecar"), &all, NOW).await, ["-"]);
    assert_eq!(server.taken(&Role::Operator, &all, NOW).await, ["-"]);
    assert_eq!(server.taken(&Role::Anyone, &all, NOW).await, all);
}

async fn a_server_that_begins_anew_knows_what_was_given(database: Database) {
    let old = Server::on(&database);
    let other = Server::on(&database);
    assert_eq!(other.taken(&edge("silo"), &["acme"], NOW).await, [""; 0]);
    old.ledger.note([("edge", "acme"), ("edge", "globex")], NOW);
    assert!(old.ledger.store(&old.store, NOW).await);
    assert!(old.ledger.lock().take_due().is_empty(), "stored once");

    // The tenants are gone from the objects, and their last windows come late.
    let new = Server::on(&database);
    let waiting = (0..16).map(|_| async { new.taken(&edge("edge"), &["acme", "globex"], NOW + 1).await });
    for taken in futures::future::join_all(waiting).await {
        assert_eq!(taken, ["acme", "globex"], "nobody who asks at once is refused");
    }
    assert_eq!(other.taken(&edge("edge"), &["acme", "nobody"], NOW).await, ["acme"], "another replica");
}

async fn a_server_that_has_seen_no_objects_waits_before_it_refuses(database: Database) {
    let server = Server::on(&database);
    server.ready.send_replace(false);
    server.ledger.note([("edge", "acme")], NOW);
    assert_eq!(server.taken(&edge("edge"), &["acme"], NOW).await, ["acme"], "what is known needs no objects");
    let objects = async {
        tokio::task::yield_now().await;
        server.ledger.note([("edge", "globex")], NOW);
        server.ready.send_replace(true);
    };
    let edge = edge("edge");
    let (taken, ()) = tokio::join!(server.taken(&edge, &["globex", "nobody"], NOW), objects);
    assert_eq!(taken, ["globex"]);
}

async fn a_sidecar_reports_its_tenant_and_the_one_it_had(database: Database) {
    let server = Server::on(&database);
    let set = |tenant: Option<&str>| server.namespaces.set([("shop".to_owned(), tenant.map(str::to_owned))]);
    let sidecar = Role::Sidecar("shop".into());
    set(Some("acme"));
    assert_eq!(server.taken(&sidecar, &["acme", "globex"], NOW).await, ["acme"]);
    set(Some("globex"));
    assert_eq!(server.taken(&sidecar, &["acme", "globex"], NOW).await, ["acme", "globex"]);
    set(None);
    assert_eq!(server.taken(&Role::Sidecar("shop2".into()), &["acme", "globex"], NOW).await, [""; 0]);
    assert_eq!(server.taken(&edge("shop"), &["acme"], NOW).await, [""; 0]);
}

async fn what_was_given_counts_for_as_long_as_batches_are_kept(database: Database) {
    let server = Server::on(&database);
    server.ledger.note([("edge", "acme")], NOW);
    assert!(server.ledger.store(&server.store, NOW).await);
    let end = NOW + i64::try_from(WEEK.as_millis()).unwrap() + SLACK_MS;
    for server in [&server, &Server::on(&database)] {
        assert_eq!(server.taken(&edge("edge"), &["acme"], end).await, ["acme"]);
        assert_eq!(server.taken(&edge("edge"), &["acme"], end + 1).await, [""; 0]);
    }
}
