//! A server in a cluster asks the API server whose a token is: real tokens, of real service accounts.

use std::fs;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use serde_json::json;
use tokio::runtime::Runtime;
use tonic::{Code, Status, Streaming};
use weir_config::model::ResourceType;

use crate::support::apiserver::{ApiServer, Fault};
use crate::support::http::{self, Request, Target};
use crate::support::process::Process;
use crate::support::site::{SERVER_ADMIN, Site, XDS, weir};
use crate::support::wait;

const NAMESPACE: &str = "weir-system";
/// Twice the time within which an open stream's token is asked about again, and more.
const ASKED_AGAIN: Duration = Duration::from_secs(180);
const OPAQUE: &str = "not authenticated: the server's log has the reason";

struct Place {
    server: Process,
    runtime: Runtime,
    api: ApiServer,
    site: Site,
}

impl Place {
    fn start() -> Self {
        let site = Site::new();
        let api = ApiServer::start(&site);
        api.cluster().apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"));
        for account in ["weir-edge", "stranger"] {
            api.cluster().apply(&manifest(account));
        }
        let address = |port: u16| format!("{}:{port}", site.ip());
        let bootstrap = json!({
            "source": {"kubernetes": {"kubeconfig": api.kubeconfig(), "replica": "weir-server-0"}},
            "stateDir": site.path("server-state"),
            "xds": {"address": address(XDS)},
            "admin": {"address": address(SERVER_ADMIN)},
        });
        let file = site.path("server.yaml");
        fs::write(&file, bootstrap.to_string()).unwrap();
        let mut server = site.process("weir-server", weir().arg("server").arg("--config").arg(&file));
        wait::until("the server to be ready", || {
            server.assert_alive();
            let ready = http::once(&Target::plain(site.ip(), SERVER_ADMIN), &Request::get("admin", "/ready"));
            ready.ok().filter(|response| response.status == 200)
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { server, runtime, api, site }
    }

    /// A token as the kubelet would mount it.
    fn token(&self, account: &str, audience: &str) -> String {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
        let question = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": 600}});
        let answer = self.api.cluster().send("POST", &path, Some(&question)).unwrap();
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    /// Opens a stream with this token and asks for something.
    fn open(&self, token: &str) -> Result<(), Status> {
        self.stream(token).map(drop)
    }

    /// The same, and keeps the stream.
    fn stream(&self, token: &str) -> Result<Streaming<DeltaDiscoveryResponse>, Status> {
        let url = format!("http://{}:{XDS}", self.site.ip());
        let first = DeltaDiscoveryRequest {
            type_url: ResourceType::FilterConfig.url().to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            ..DeltaDiscoveryRequest::default()
        };
        // The stream stays open for as long as the answer takes.
        let requests = tokio_stream::StreamExt::chain(tokio_stream::iter([first]), tokio_stream::pending());
        let mut request = tonic::Request::new(requests);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        self.runtime.block_on(async {
            let mut client = AggregatedDiscoveryServiceClient::connect(url).await.unwrap();
            let mut responses = client.delta_aggregated_resources(request).await?.into_inner();
            let answer = tokio::time::timeout(wait::PATIENCE, responses.message()).await.expect("an answer");
            answer.map(|_| responses)
        })
    }

    /// The attempt must fail so, and the log must say why.
    fn refused(&self, token: &str, code: Code, message: &str, reason: &str) {
        let status = self.open(token).unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message), "{reason}");
        wait::until_ok("the reason in the log", || {
            let log = self.server.errors();
            if log.contains(reason) { Ok(()) } else { Err(log) }
        });
    }
}

fn manifest(account: &str) -> String {
    format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {account}, namespace: {NAMESPACE}}}\n")
}

#[test]
fn an_api_server_says_whose_a_token_is() {
    let place = Place::start();
    let right = place.token("weir-edge", "weir");
    place.open(&right).expect("the edge's own token");
    let reviews = || place.api.relay.count(|call| call.is("create", "tokenreviews"));
    assert_eq!(reviews(), 1);
    place.open(&right).expect("the same token again");
    assert_eq!(reviews(), 1, "what was answered a moment ago is not asked again");

    let other = place.token("weir-edge", "other");
    place.refused(&other, Code::Unauthenticated, OPAQUE, "audience");
    place.refused(&place.token("stranger", "weir"), Code::PermissionDenied, OPAQUE, "stranger is no proxy class");

    // The API server alone can know of these two: the tokens look right.
    let mut altered = place.token("weir-edge", "weir").into_bytes();
    let last = altered.len() - 10;
    altered[last] = if altered[last] == b'A' { b'B' } else { b'A' };
    place.refused(&String::from_utf8(altered).unwrap(), Code::Unauthenticated, OPAQUE, "does not vouch for its token");
    let gone = place.token("weir-edge", "weir");
    place.api.cluster().delete(&manifest("weir-edge"));
    // API servers say it in words of their own.
    place.refused(&gone, Code::Unauthenticated, OPAQUE, "does not vouch for its token");
    let told = place.server.errors().matches("does not vouch for its token").count();
    assert_eq!(told, 2, "each is told why");

    // While it does not answer nobody new is let in, and they are told to come again.
    place.api.cluster().apply(&manifest("weir-edge"));
    let late = place.token("weir-edge", "weir");
    let away = place.api.relay.fault(Fault::Answer(500), |call| call.resource == "tokenreviews");
    let status = place.open(&late).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    drop(away);
    wait::until_ok("the API server to be asked again", || place.open(&late).map_err(|status| status.to_string()));

    let log = place.server.errors();
    assert!(!log.contains("eyJ"), "the log has a token: {log}");
    let admin = Target::plain(place.site.ip(), SERVER_ADMIN);
    let page = http::once(&admin, &Request::get("admin", "/stats/prometheus")).unwrap();
    let page = String::from_utf8(page.body).unwrap();
    for reason in ["audience", "no_role", "not_vouched", "unavailable"] {
        let none = format!("weir_xds_callers_refused_total{{reason=\"{reason}\"}} 0\n");
        assert!(page.contains("weir_xds_callers_refused_total") && !page.contains(&none), "{reason}: {page}");
    }
}

/// A pod that is deleted takes its streams along, though its token would be good for minutes still. What the API
/// server does not answer is no such word.
#[test]
fn an_open_stream_ends_when_its_account_is_deleted_and_not_when_nobody_answers() {
    let place = Place::start();
    let mut streams = ["weir-edge", "weir-edge"].map(|account| place.stream(&place.token(account, "weir")).unwrap());
    let reviews = || place.api.relay.count(|call| call.is("create", "tokenreviews"));
    let away = place.api.relay.fault(Fault::Answer(500), |call| call.resource == "tokenreviews");
    let ended = |stream: &mut Streaming<DeltaDiscoveryResponse>, within: Duration| {
        place.runtime.block_on(async { tokio::time::timeout(within, stream.message()).await.ok() })
    };
    let (before, begun) = (reviews(), Instant::now());
    while reviews() < before + 2 {
        for stream in &mut streams {
            assert!(ended(stream, Duration::from_millis(50)).is_none(), "nobody said that it is over");
        }
        assert!(begun.elapsed() < ASKED_AGAIN, "nobody asks about streams that are open");
    }
    place.api.cluster().delete(&manifest("weir-edge"));
    drop(away);
    for stream in &mut streams {
        let end = ended(stream, ASKED_AGAIN).expect("the stream ends").unwrap_err();
        assert_eq!((end.code(), end.message()), (Code::Unauthenticated, OPAQUE));
    }
    assert!(!place.server.errors().contains("eyJ"), "the log has a token");
}
