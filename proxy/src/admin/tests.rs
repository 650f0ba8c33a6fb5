use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use weir_config::FieldError;
use weir_config::model::{
    Cluster, Delta, Endpoint, EndpointSource, HealthStatus, LoadAssignment, LocalityEndpoints, PrivateKey, Resource,
    ResourceType, Secret, TlsCertificate,
};

use weir_config::usage::v1::UsageBatch;

use super::*;
use crate::meter::{Epoch, Metric};
use crate::serve::ListenerStatus;
use crate::xds::Admit;
use crate::xds::client::Client;
use crate::xds::persist::Store;
use crate::xds::pipeline::Pipeline;

struct All;

impl Admit for All {
    fn admit(&self, _: &Resource) -> Result<(), Vec<FieldError>> {
        Ok(())
    }
}

/// An admin endpoint that runs, over a stored configuration of one cluster and one secret.
struct Rig {
    address: SocketAddr,
    open_address: SocketAddr,
    meter: Arc<Meter>,
    reporter: Reporter,
    stop: watch::Sender<bool>,
    statuses: watch::Sender<Statuses>,
    filter: Arc<Mutex<String>>,
    drain: watch::Receiver<bool>,
    _state: tempfile::TempDir,
}

fn stored() -> Vec<(Resource, String)> {
    let endpoint = Endpoint { address: ([127, 0, 0, 1], 7).into(), health: HealthStatus::Healthy, weight: 3 };
    let localities = vec![LocalityEndpoints { endpoints: vec![endpoint], ..LocalityEndpoints::default() }];
    let endpoints = EndpointSource::Static(LoadAssignment { name: "c".into(), localities });
    let cluster = Cluster::new("c", endpoints);
    let certificate = TlsCertificate { chain: "chain".into(), key: PrivateKey("very secret".into()) };
    vec![(cluster.into(), "v7".into()), (Secret { name: "s".into(), certificate }.into(), "v8".into())]
}

impl Rig {
    async fn start(entries: Vec<(Resource, String)>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut store = Store::new(state.path(), Some(state.path())).unwrap();
        store.save(entries.into_iter(), std::time::SystemTime::now()).unwrap();
        let client = Client::new("id", "edge", Arc::new(All));
        let mut pipeline = Pipeline::new(client, Box::new(|_: &Delta| {}), Some(store), Duration::from_secs(3600));
        pipeline.restore(std::time::SystemTime::now());
        let (statuses, statuses_seen) = watch::channel(Statuses::default());
        let (stop, stop_seen) = watch::channel(false);
        let (drain_sender, drain) = watch::channel(false);
        let (_, listeners) = watch::channel(Arc::default());
        let meter = Arc::new(Meter::new(1));
        let server: Address = "127.0.0.1:1".parse().unwrap();
        let reporter = Reporter {
            server: weir_config::bootstrap::Endpoint::new(server),
            outbox: Arc::default(),
            flight: Arc::default(),
        };
        let filter = Arc::new(Mutex::new(String::new()));
        let set = Arc::clone(&filter);
        let admin = Admin {
            node: "edge-0".into(),
            pipeline: Arc::new(Mutex::new(pipeline)),
            meter: Arc::clone(&meter),
            reporter: reporter.clone(),
            prometheus_tenants: 2,
            listeners,
            statuses: statuses_seen,
            engine: Arc::new(crate::serve::Stats::new(1)),
            keys: Arc::default(),
            drain: drain_sender,
            stop: stop_seen,
            set_filter: Arc::new(move |text| {
                if text == "wrong" {
                    return Err("no such level".into());
                }
                *set.lock().unwrap() = text.into();
                Ok(())
            }),
        };
        let socket = Socket::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let Address::Tcp(address) = socket.address().unwrap() else { panic!("not TCP") };
        let open = Socket::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let Address::Tcp(open_address) = open.address().unwrap() else { panic!("not TCP") };
        tokio::spawn(serve(socket, Some(open), admin));
        Self { address, open_address, meter, reporter, stop, statuses, filter, drain, _state: state }
    }

    /// Status and body of an answer.
    async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        self.ask_at(self.address, method, path).await
    }

    async fn ask_at(&self, address: SocketAddr, method: &str, path: &str) -> (u16, String) {
        let head = format!("{method} {path} HTTP/1.0\r\n\r\n");
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

#[tokio::test]
async fn ready_means_that_a_configuration_serves_and_the_process_stays() {
    let empty = Rig::start(vec![]).await;
    assert_eq!(empty.ask("GET", "/ready").await, (503, "INITIALIZING\n".into()));
    let rig = Rig::start(stored()).await;
    assert_eq!(rig.ask("GET", "/ready").await, (200, "LIVE\n".into()));
    rig.stop.send_replace(true);
    assert_eq!(rig.ask("GET", "/ready").await, (503, "DRAINING\n".into()));
}

#[tokio::test]
async fn the_address_for_others_tells_health_and_metrics_and_nothing_else() {
    let rig = Rig::start(stored()).await;
    assert_eq!(rig.ask_at(rig.open_address, "GET", "/ready").await, (200, "LIVE\n".into()));
    assert!(rig.ask_at(rig.open_address, "GET", "/stats/prometheus").await.1.contains("weir_"));
    for path in ["/", "/config_dump", "/clusters", "/listeners", "/usage"] {
        assert_eq!(rig.ask_at(rig.open_address, "GET", path).await.0, 404, "{path}");
    }
    for path in ["/drain_listeners", "/logging?level=trace"] {
        assert_eq!(rig.ask_at(rig.open_address, "POST", path).await.0, 404, "{path}");
    }
    assert!(!*rig.drain.borrow());
}

#[tokio::test]
async fn the_configuration_is_shown_in_envoys_shape_without_keys() {
    let rig = Rig::start(stored()).await;
    let (status, body) = rig.ask("GET", "/config_dump").await;
    assert_eq!(status, 200);
    assert!(!body.contains("very secret"));
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    let clusters = &json["configs"][0];
    assert_eq!(clusters["@type"], "type.googleapis.com/envoy.admin.v3.ClustersConfigDump");
    assert_eq!(clusters["dynamic_active_clusters"][0]["version_info"], "v7");
    assert_eq!(clusters["dynamic_active_clusters"][0]["cluster"]["name"], "c");
    assert_eq!(json["configs"][2]["dynamic_active_secrets"][0]["name"], "s");
    assert_eq!(json["configs"].as_array().unwrap().len(), ResourceType::ALL.len());
}

#[tokio::test]
async fn statistics_name_tenants_listeners_and_configuration() {
    let rig = Rig::start(stored()).await;
    rig.meter.add(0, rig.meter.tenant("acme").id(), Metric::ResponseBytes, 1234);
    let (_, text) = rig.ask("GET", "/stats/prometheus").await;
    assert!(text.contains("weir_tenant_response_bytes_total{tenant=\"acme\"} 1234\n"), "{text}");
    assert!(text.contains("weir_tenant_requests_total{tenant=\"acme\"} 0\n"), "{text}");
    assert!(text.contains("weir_xds_resources_active{type=\"Cluster\"} 1\n"), "{text}");
    assert!(text.contains("weir_control_plane_connected_state 0\n"), "{text}");
}

#[tokio::test]
async fn the_busiest_tenants_are_named_the_rest_is_summed_and_a_tenant_that_went_stays_in_the_sum() {
    let rig = Rig::start(stored()).await;
    let requests = |text: &str| -> Vec<(String, u64)> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("weir_tenant_requests_total{tenant=\""));
        let mut found: Vec<_> =
            lines.filter_map(|line| line.split_once("\"} ")).map(|(a, b)| (a.into(), b.parse().unwrap())).collect();
        found.sort();
        found
    };
    let are = |expected: &[(&str, u64)]| expected.iter().map(|(a, b)| ((*a).to_owned(), *b)).collect::<Vec<_>>();
    let mut leases: Vec<_> = ["a", "b", "c"].iter().map(|name| rig.meter.tenant(name)).collect();
    for (lease, n) in leases.iter().zip([5, 1, 9]) {
        rig.meter.add(0, lease.id(), Metric::Requests, n);
    }
    let (_, text) = rig.ask("GET", "/stats/prometheus").await;
    assert_eq!(requests(&text), are(&[("(others)", 1), ("-", 0), ("a", 5), ("c", 9)]));

    // `c` goes: what it used is logged, then its place is free.
    let lease = leases.pop().unwrap();
    let place = lease.id();
    drop(lease);
    let gone = rig.meter.counted().into_iter().find(|counted| counted.place == place).unwrap();
    rig.meter.logged(gone.place, gone.incarnation, &gone.total);
    assert!(rig.meter.free(gone.place, gone.incarnation));
    rig.meter.add(0, leases[1].id(), Metric::Requests, 1);
    let (_, text) = rig.ask("GET", "/stats/prometheus").await;
    assert_eq!(requests(&text), are(&[("(others)", 11), ("-", 0), ("a", 5), ("b", 0)]));
}

#[tokio::test]
async fn usage_is_shown_as_counted_as_logged_and_as_reported() {
    let rig = Rig::start(stored()).await;
    let (acme, globex, quiet) = (rig.meter.tenant("acme"), rig.meter.tenant("globex"), rig.meter.tenant("quiet"));
    rig.meter.add(0, acme.id(), Metric::Requests, 3);
    rig.meter.add(0, globex.id(), Metric::ResponseBytes, 70);
    for counted in rig.meter.counted() {
        rig.meter.logged(counted.place, counted.incarnation, &counted.total);
    }
    drop(globex);
    let gone = rig.meter.counted().into_iter().find(|counted| counted.leaving).unwrap();
    assert!(rig.meter.free(gone.place, gone.incarnation));
    rig.meter.add(0, acme.id(), Metric::Requests, 1);
    let epoch = rig.meter.epoch();
    let batch = UsageBatch { epoch: epoch.to_vec(), sequence: 1, first_sequence: 1, ..UsageBatch::default() };
    rig.reporter.outbox.push(batch);
    rig.meter.set_logged_sequence(1);

    let (status, body) = rig.ask("GET", "/usage").await;
    let page: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(page["epoch"], Epoch(epoch).to_string());
    assert_eq!(page["tenants"], json!({ "acme": { "counted": { "requests": 4 }, "logged": { "requests": 3 } } }));
    assert_eq!((&page["node"], &page["logged_through"]), (&json!("edge-0"), &json!(1)));
    assert_eq!(page["gone"], json!({ "response_bytes": 70 }));
    assert_eq!(page["log"]["unacknowledged"], 1);
    assert_eq!(page["stream"]["connected"], false);
    let (_, text) = rig.ask("GET", "/stats/prometheus").await;
    assert!(text.contains("weir_usage_unacknowledged_batches 1\n") && text.contains("weir_usage_connected_state 0\n"));
    drop(quiet);

    // A window that is logged, and not marked yet: the figures are of no one moment.
    let batch = UsageBatch { epoch: epoch.to_vec(), sequence: 2, first_sequence: 2, ..UsageBatch::default() };
    rig.reporter.outbox.push(batch);
    let page: serde_json::Value = serde_json::from_str(&rig.ask("GET", "/usage").await.1).unwrap();
    assert_eq!(page["logged_through"], json!(null));
}

#[tokio::test]
async fn clusters_and_listeners_are_listed_in_envoys_lines() {
    let rig = Rig::start(stored()).await;
    let (_, text) = rig.ask("GET", "/clusters").await;
    assert!(text.contains("c::127.0.0.1:7::health_flags::healthy\n") && text.contains("c::127.0.0.1:7::weight::3\n"));
    let address: SocketAddr = ([127, 0, 0, 1], 0).into();
    let bound = ListenerStatus { address, bound: Some(([127, 0, 0, 1], 8080).into()), error: None };
    let failed = ListenerStatus { address, bound: None, error: Some("in use".into()) };
    rig.statuses.send_replace([("a".into(), bound), ("b".into(), failed)].into());
    let (_, text) = rig.ask("GET", "/listeners").await;
    assert_eq!(text, "a::127.0.0.1:8080\nb::127.0.0.1:0 (not bound: in use)\n");
}

#[tokio::test]
async fn what_changes_something_wants_a_post() {
    let rig = Rig::start(stored()).await;
    assert_eq!(rig.ask("GET", "/drain_listeners").await.0, 405);
    assert!(!*rig.drain.borrow());
    assert_eq!(rig.ask("POST", "/drain_listeners").await.0, 200);
    assert!(*rig.drain.borrow());
    assert_eq!(rig.ask("POST", "/logging?level=debug").await.0, 200);
    assert_eq!(*rig.filter.lock().unwrap(), "debug");
    assert_eq!(rig.ask("POST", "/logging?level=wrong").await, (400, "no such level\n".into()));
    assert_eq!(rig.ask("POST", "/logging").await.0, 400);
}
