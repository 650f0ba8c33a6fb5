//! What a proxy would do, asked of its own code: the resources are compiled into its tables, the request's
//! bytes are read by its parser, and its decision is taken.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde_json::Value;
use weir_config::model::{Delta, ResourceType, Snapshot};
use weir_config::xds;
use weir_proxy::live::{Listeners, Live};
use weir_proxy::meter::Meter;
use weir_proxy::request::cluster::ClusterSlot;
use weir_proxy::request::cors::Judgement;
use weir_proxy::request::table::{ActionTable, ChainTable, ProxiedTable, RouteTable};
use weir_proxy::request::{Decision, Head, decide};
use weir_proxy::serve::h1::request_head::{RequestHead, Storage};
use weir_proxy::serve::h1::target::{self, MAX_HOST};
use weir_xds_server::explain::Traffic;

use super::request::Asked;

/// A proxy's tables, and the resources that they were made of.
pub(super) struct Tables {
    /// It owns what the tables point to.
    _live: Live,
    listeners: Arc<Listeners>,
    /// The resources.
    pub(super) snapshot: Snapshot,
}

/// What happens to a request at a listener.
#[derive(Debug)]
pub(super) enum Outcome {
    /// No filter chain takes the connection: it ends in the handshake.
    NoChain,
    /// The head is refused.
    Malformed {
        /// Status.
        status: u16,
        /// What is wrong, as the access log has it.
        reason: &'static str,
    },
    /// The connection is passed on as it is.
    Passed(Passed),
    /// A listener of requests takes the connection, whatever is within.
    Requests {
        /// The filter chain.
        chain: String,
    },
    /// It was decided.
    Decided(Decided),
}

/// What takes a connection.
#[derive(Debug)]
pub(super) struct Passed {
    /// The filter chain, or the name of what takes datagrams.
    pub(super) chain: String,
    /// Where it goes.
    pub(super) to: Arc<ProxiedTable>,
}

/// A decision.
#[derive(Debug)]
pub(super) struct Decided {
    /// The filter chain.
    pub(super) chain: String,
    /// Name of the virtual host; none: no host takes it.
    pub(super) host: Option<String>,
    /// The route that matches.
    pub(super) route: Option<Arc<RouteTable>>,
    /// Tenant that is charged; `-`: nobody.
    pub(super) tenant: String,
    /// Path as it is matched.
    pub(super) path: String,
    /// What the route's CORS filter says of it; none: it has none, or the request is not of an origin that it takes.
    pub(super) cors: Option<Judgement>,
}

impl Tables {
    /// Compiles resources, given as JSON.
    ///
    /// # Errors
    /// One that a proxy would refuse: the server is of another version, or it is a bug.
    pub(super) fn new(resources: &[Value]) -> anyhow::Result<Self> {
        let mut snapshot = Snapshot::default();
        let mut delta = Delta::default();
        for json in resources {
            let resource = read(json)?;
            snapshot.insert(resource.clone());
            // Without limits: a budget that one listener drew on would be less at the next.
            if resource.kind() != ResourceType::FilterConfig {
                delta.upserts.push(resource);
            }
        }
        let mut live = Live::new(Arc::new(Meter::new(1))).context("no random numbers")?;
        live.apply(&delta);
        let listeners = live.listeners().borrow().clone();
        Ok(Self { _live: live, listeners, snapshot })
    }

    /// What happens at a listener. One of which no chain could take the connection is not in the tables.
    pub(super) fn ask(&self, listener: &str, asked: &Asked) -> Outcome {
        let Some(table) = self.listeners.get(listener) else { return Outcome::NoChain };
        if let Some(to) = &table.udp {
            return Outcome::Passed(Passed { chain: self.name_of_datagrams(listener), to: Arc::clone(to) });
        }
        let chain = match asked.tls {
            true => table.chain(asked.sni().as_deref()),
            false => table.plain_chain(),
        };
        match (chain, asked.traffic) {
            (None, _) => Outcome::NoChain,
            (Some(chain), traffic) => match (&chain.tcp, traffic) {
                (Some(to), _) => Outcome::Passed(Passed { chain: chain.name.clone(), to: Arc::clone(to) }),
                (None, Traffic::Requests) => at_chain(chain, asked),
                (None, _) => Outcome::Requests { chain: chain.name.clone() },
            },
        }
    }

    fn name_of_datagrams(&self, listener: &str) -> String {
        let udp = self.snapshot.listeners.get(listener).and_then(|listener| listener.udp.as_deref());
        udp.map(|proxied| proxied.stat_prefix.clone()).unwrap_or_default()
    }
}

/// A resource from JSON.
pub(super) fn read(json: &Value) -> anyhow::Result<weir_config::model::Resource> {
    let (kind, bytes) = xds::json::from_json(json).map_err(|error| anyhow!("a resource cannot be read: {error}"))?;
    xds::decode(kind, &bytes).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        anyhow!("a resource cannot be read: {}", errors.join("; "))
    })
}

fn at_chain(chain: &ChainTable, asked: &Asked) -> Outcome {
    with_head(asked, |read| {
        let head = match read {
            Ok(head) => head,
            Err(refused) => return Outcome::Malformed { status: refused.status, reason: refused.reason },
        };
        let hosts = chain.http.routes.load();
        let (route, tenant) = match decide(&chain.http, &hosts, head, 0) {
            Decision::Forward { route, .. } | Decision::Redirect { route, .. } | Decision::Direct { route, .. } => {
                (Some(Arc::clone(route)), route.tenant.name().to_string())
            }
            Decision::Refuse { charged, .. } => (None, charged.tenant().map_or("-", |tenant| tenant.name()).to_owned()),
        };
        let host = hosts.find(head.host).map(|host| host.name.to_string());
        let forwards =
            |route: &&Arc<RouteTable>| matches!(route.action, ActionTable::Forward(_) | ActionTable::Split(_));
        let extras = route.as_ref().filter(forwards).and_then(|route| route.extras.as_ref());
        let cors = extras.and_then(|extras| extras.cors.as_ref()?.judge(head));
        Outcome::Decided(Decided { chain: chain.name.clone(), host, route, tenant, path: head.path.to_owned(), cors })
    })
}

/// The request as a proxy reads it.
pub(super) type AskedHead<'h> = Head<'h, [httparse::Header<'h>]>;

/// Reads the request's bytes with the proxy's parser.
pub(super) fn with_head<T>(
    asked: &Asked,
    then: impl FnOnce(Result<&AskedHead<'_>, weir_proxy::serve::h1::Refused>) -> T,
) -> T {
    let bytes = asked.head();
    let mut storage = Storage::default();
    match RequestHead::parse(&bytes, &mut storage) {
        Ok(head) => {
            let mut space = [0; MAX_HOST];
            then(Ok(&Head {
                method: head.method,
                host: target::lower(head.host, &mut space),
                path: head.target.path,
                query: head.target.query,
                headers: head.headers,
            }))
        }
        Err(refused) => then(Err(refused)),
    }
}

/// The clusters that a route chooses among; none where it answers itself.
pub(super) fn clusters(route: &RouteTable) -> Vec<Arc<ClusterSlot>> {
    match &route.action {
        ActionTable::Forward(cluster) => vec![Arc::clone(cluster)],
        ActionTable::Split(split) => split.clusters.iter().map(Arc::clone).collect(),
        ActionTable::Redirect(_) | ActionTable::Direct(_) => Vec::new(),
    }
}
