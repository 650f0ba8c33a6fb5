//! Two servers of one cluster: whichever a proxy is connected to, it gets the same; one that is killed costs
//! nothing; and when both are replaced, a hundred proxies notice nothing.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::apiserver::ApiServer;
use crate::support::http::{self, Request, Target};
use crate::support::load::{Ask, Load};
use crate::support::plane::{self, wait_for_port};
use crate::support::process::Process;
use crate::support::service::Service;
use crate::support::site::{HTTP, Site, XDS, repository, weir};
use crate::support::swarm::Swarm;
use crate::support::wait;

/// Proxies that are connected during an upgrade.
const PROXIES: usize = 100;
/// Ports of the first server; each next has the ones 100 above.
const FIRST: (u16, u16) = (18_300, 18_301);

/// A cluster with something in it, and replicas that read it.
struct Cluster {
    replicas: Vec<Replica>,
    service: Service,
    api: ApiServer,
    site: Site,
}

struct Replica {
    n: u16,
    process: Process,
}

impl Cluster {
    fn start(replicas: u16) -> Self {
        let site = Site::new();
        let api = ApiServer::start(&site);
        let manifests = ["platform.yaml", "backends.yaml"]
            .map(|file| fs::read_to_string(repository("tests/cases/base").join(file)).unwrap());
        // A cluster has it by the chart.
        api.cluster().apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: weir-system}\n");
        for text in manifests.iter().chain([&route("acme", "shop.acme.test", "shop", 0)]) {
            api.cluster().apply(&text.replace("${IP}", &site.ip().to_string()));
        }
        let service = Service::start((site.ip(), XDS).into(), Vec::new());
        let mut cluster = Self { replicas: Vec::new(), service, api, site };
        (0..replicas).for_each(|n| cluster.add(n));
        cluster
    }

    /// Starts replica `n`; once it is ready the Service leads to it too.
    fn add(&mut self, n: u16) {
        let (xds, admin) = ports(n);
        let address = |port: u16| format!("{}:{port}", self.site.ip());
        let name = format!("weir-server-{n}");
        let bootstrap = json!({
            "source": {"kubernetes": {"kubeconfig": self.api.kubeconfig(), "replica": name}},
            "stateDir": self.site.path(&name),
            "xds": {"address": address(xds)},
            "admin": {"address": address(admin)},
            "authentication": {"anonymous": true},
        });
        let file = self.site.path(&format!("{name}.yaml"));
        fs::write(&file, bootstrap.to_string()).unwrap();
        let mut process = self.site.process(&name, weir().arg("server").arg("--config").arg(&file));
        wait::until(&format!("{name} to be ready"), || {
            process.assert_alive();
            let ready = http::once(&Target::plain(self.site.ip(), admin), &Request::get("admin", "/ready"));
            ready.ok().filter(|response| response.status == 200)
        });
        self.replicas.push(Replica { n, process });
        self.lead();
    }

    /// Ends a replica as an upgrade does: it is no endpoint any more, then it is asked to end.
    fn retire(&mut self, n: u16) {
        let mut replica = self.remove(n);
        let status = replica.process.terminate();
        assert!(status.success(), "replica {n} after SIGTERM: {status}");
    }

    /// `kill -9` of a replica.
    fn kill(&mut self, n: u16) {
        self.remove(n).process.kill();
    }

    fn remove(&mut self, n: u16) -> Replica {
        let place = self.replicas.iter().position(|replica| replica.n == n).expect("it runs");
        let replica = self.replicas.remove(place);
        self.lead();
        replica
    }

    fn lead(&self) {
        self.service.lead_to(self.replicas.iter().map(|replica| self.xds(replica.n)).collect());
    }

    fn xds(&self, n: u16) -> SocketAddr {
        (self.site.ip(), ports(n).0).into()
    }

    /// Sends acme's route to a backend; its virtual host changes with `edit`.
    fn edit(&self, backend: &str, edit: usize) {
        self.api.cluster().apply(&route("acme", "shop.acme.test", backend, edit));
    }
}

fn ports(n: u16) -> (u16, u16) {
    (FIRST.0 + 100 * n, FIRST.1 + 100 * n)
}

/// A route that needs the same clusters wherever it leads, so that an edit takes nothing away.
fn route(namespace: &str, host: &str, backend: &str, edit: usize) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route, namespace: {namespace}}}
spec:
  parentRefs: [{{name: public, namespace: weir-system}}]
  hostnames: [{host}]
  rules:
    - matches: [{{path: {{value: /edit-{edit}}}}}]
      backendRefs: [{{name: {backend}, port: 80}}]
    - matches: [{{path: {{value: /both}}}}]
      backendRefs: [{{name: shop, port: 80}}, {{name: canary, port: 80}}]
    - backendRefs: [{{name: {backend}, port: 80}}]
"
    )
}

#[test]
fn every_replica_gives_the_same_bytes() {
    let cluster = Cluster::start(2);
    let clients = [0, 1].map(|n| Swarm::start(cluster.xds(n), 1));
    for edit in 1..=5 {
        cluster.edit(["shop", "canary"][edit % 2], edit);
        wait::until_ok(&format!("both replicas to give edit {edit}, and the same"), || {
            let [first, second] = clients.each_ref().map(|swarm| swarm.held().remove(0));
            let has = first.values().any(|(_, body)| contains(body, &format!("/edit-{edit}")));
            if has && first == second { Ok(()) } else { Err(format!("{} and {}", first.len(), second.len())) }
        });
    }
}

/// A proxy reaches the replicas by one address. Whichever is killed, edits arrive and no request fails.
#[test]
fn a_replica_that_is_killed_costs_nothing() {
    let mut cluster = Cluster::start(2);
    let _backends = [("shop", 9001), ("canary", 9002)].map(|(name, port)| cluster.site.backend(name, port));
    let mut proxy = plane::proxy(&cluster.site);
    wait_for_port(&cluster.site, HTTP);
    let target = Target::plain(cluster.site.ip(), HTTP);
    let ask = Ask { target, host: "shop.acme.test", query: "", body: 0, backends: &["shop", "canary"] };
    let answers = |path: &str| {
        let response = http::once(&ask.target, &Request::get(ask.host, path)).map_err(|e| e.to_string())?;
        response.backend().ok_or_else(|| format!("status {}", response.status))
    };
    wait::until_ok("the first answer", || answers("/"));
    let load = Load::start(vec![ask.clone(), ask.clone()]);
    for round in 0..4_u16 {
        cluster.kill(round);
        cluster.add(round + 2);
        // What was connected to the other moves too.
        cluster.service.cut();
        let backend = ["canary", "shop"][usize::from(round % 2)];
        cluster.edit(backend, usize::from(round) + 1);
        wait::until_ok(&format!("{backend} to answer after replica {round} was killed"), || {
            let answered = answers("/")?;
            if answered == backend { Ok(()) } else { Err(answered) }
        });
    }
    proxy.assert_alive();
    let seen = load.finish();
    assert!(seen.failures.is_empty(), "{} of {}: {:?}", seen.failures.len(), seen.requests, seen.failures.first());
    assert!(seen.requests > 100, "only {} requests", seen.requests);
}

/// Both replicas are replaced, one after the other, while a hundred proxies are connected and routes change.
#[test]
fn an_upgrade_is_not_noticed_by_a_hundred_proxies() {
    let mut cluster = Cluster::start(2);
    let proxies = Swarm::start((cluster.site.ip(), XDS).into(), PROXIES);
    let mut edit = 0;
    let mut settle = |cluster: &Cluster, proxies: &Swarm| {
        edit += 1;
        cluster.edit(["shop", "canary"][edit % 2], edit);
        let mark = format!("/edit-{edit}");
        wait::until_ok(&format!("all proxies to have edit {edit}"), || {
            let held = proxies.held();
            let whole = held.iter().find(|held| held.values().any(|(_, body)| contains(body, &mark)));
            let behind = whole.map_or(PROXIES, |whole| proxies.behind(whole));
            if behind == 0 { Ok(()) } else { Err(format!("{behind} are behind")) }
        });
    };
    settle(&cluster, &proxies);
    let before = proxies.opened().len();
    let refused = proxies.refused().len();
    let begun = Instant::now();
    for n in 0..2 {
        cluster.add(n + 2);
        cluster.retire(n);
        // One that comes for the first time, to the replica that has just begun, gets all at once or nothing.
        let fresh = Swarm::start(cluster.xds(n + 2), 1);
        settle(&cluster, &proxies);
        wait::until("a new proxy to have what the others have", || {
            (proxies.behind(&fresh.held()[0]) == 0).then_some(())
        });
        assert_eq!(fresh.faults(), Vec::<String>::new());
    }
    assert_eq!(proxies.faults(), Vec::<String>::new(), "nothing is taken away, and nothing sent again");
    let opened = proxies.opened().split_off(before);
    assert!(opened.len() >= PROXIES, "everybody moved: only {} streams were opened", opened.len());
    eprintln!(
        "{} streams were opened again within {:?}, at most {} of them in 100 ms; {} attempts found nobody",
        opened.len(),
        begun.elapsed(),
        most_at_once(&opened),
        proxies.refused().len() - refused
    );
}

/// A fleet that comes in one moment is let in at the rate that the server bears, and all are in soon.
#[test]
fn a_thundering_herd_is_let_in_bit_by_bit() {
    let cluster = Cluster::start(1);
    // The bound of an idle machine is 200 a second; the herd is greater than its burst.
    let herd = Swarm::start(cluster.xds(0), 300);
    wait::until_ok("the herd to be in", || match herd.opened().len() {
        300.. => Ok(()),
        open => Err(format!("{open} are in")),
    });
    assert_eq!(herd.faults(), Vec::<String>::new());
    for why in herd.refused() {
        assert!(why.contains("load.streamsPerSecond"), "{why}");
    }
    let admin = Target::plain(cluster.site.ip(), ports(0).1);
    let page = http::once(&admin, &Request::get("admin", "/stats/prometheus")).unwrap();
    assert_eq!(page.status, 200);
}

/// The most streams that were opened within 100 ms.
fn most_at_once(opened: &[Instant]) -> usize {
    let end = |from: Instant| from + Duration::from_millis(100);
    let within = |from: Instant| opened.iter().filter(|at| (from..end(from)).contains(*at)).count();
    opened.iter().map(|from| within(*from)).max().unwrap_or_default()
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}
