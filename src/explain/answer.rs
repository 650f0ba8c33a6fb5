//! The answer, as plain values: the fields of `--output json`, which docs/explain.md describes.

use serde::Serialize;
use weir_config::model::name;
use weir_xds_server::explain::{Certificate, GatewayListener, NearName, Owner, Parent, Rate, Setting};
use weir_xds_server::status::Condition;

/// All that is said of a request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    /// Whether a backend or a route would answer every such request.
    pub(super) well: bool,
    pub(super) request: RequestPart,
    pub(super) result: ResultPart,
    /// The listener at which it is answered.
    pub(super) listener: Option<ListenerPart>,
    /// Whose the name is, by the Tenants' `hostnames`.
    pub(super) owner: Option<Owner>,
    /// Whose the request is: charged and limited.
    pub(super) tenant: Option<TenantPart>,
    pub(super) virtual_host: Option<HostPart>,
    pub(super) route: Option<RoutePart>,
    pub(super) backends: Vec<BackendPart>,
    /// What did not win.
    pub(super) candidates: Vec<LostPart>,
    /// The other listeners in question.
    pub(super) other_listeners: Vec<OtherPart>,
    /// Hostnames that are spelt almost like it.
    pub(super) near: Vec<NearName>,
    /// What to know, or to do.
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestPart {
    /// Method; none of a connection.
    pub(super) method: Option<String>,
    pub(super) url: String,
    pub(super) host: String,
    /// Path in the form in which it is matched; none of a connection.
    pub(super) path: Option<String>,
    pub(super) client_address: Option<String>,
}

/// What the client gets.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResultPart {
    pub(super) kind: Kind,
    /// Status; none: a backend's own, or no connection.
    pub(super) status: Option<u16>,
    /// A sentence.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    /// A backend answers.
    Forwarded,
    /// The route sends the client to another URL.
    Redirected,
    /// The proxy answers: a preflight.
    Answered,
    /// A backend answers some requests; others get an error.
    PartlyForwarded,
    /// No backend can: 500 or 503.
    Failed,
    /// A connection is accepted and closed, datagrams are dropped: no route has it, or no backend can.
    Closed,
    /// The tenant is not served: 503.
    Unserved,
    /// No host or route: 404.
    NotFound,
    /// The request is not taken: 400 and others.
    Refused,
    /// A listener takes the connection for another protocol.
    OtherProtocol,
    /// Nothing listens, or no listener has the name that TLS asks for.
    NoConnection,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListenerPart {
    pub(super) name: String,
    pub(super) edge: String,
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) protocol: &'static str,
    /// The Gateway's listener that has the name most specifically.
    pub(super) gateway_listener: Option<GatewayListener>,
    /// The certificate that is shown.
    pub(super) certificate: Option<Certificate>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TenantPart {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) plan: Option<String>,
    pub(super) requests: Option<Rate>,
    pub(super) unenforced: Vec<String>,
    pub(super) unmet: Vec<Condition>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HostPart {
    pub(super) name: String,
    pub(super) domain: String,
    pub(super) tenant: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoutePart {
    /// `HTTPRoute` and others; empty for a route that the server made itself (a suspended tenant's).
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) rule: usize,
    pub(super) rule_name: Option<String>,
    #[serde(rename = "match")]
    pub(super) index: usize,
    /// What matched, in words.
    pub(super) matched: String,
    /// Why it wins, one sentence each.
    pub(super) why: Vec<String>,
    pub(super) timeout: Option<String>,
    /// Changes to headers, in words.
    pub(super) filters: Vec<String>,
    /// Policies about it, its rule, its listener or its Gateway, the closest first.
    pub(super) policies: Vec<PolicyPart>,
}

/// A policy, as far as it is about the request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyPart {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) target: PolicyTarget,
    /// What it decides.
    pub(super) in_force: Vec<Setting>,
    /// What it says and does not decide.
    pub(super) left: Vec<Left>,
    /// `Accepted`, or why it does not hold.
    pub(super) reason: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyTarget {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) section_name: Option<String>,
}

/// What another decides.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Left {
    #[serde(flatten)]
    pub(super) setting: Setting,
    pub(super) by: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BackendPart {
    /// `namespace/service:port`; empty: backends that are not there.
    pub(super) service: String,
    pub(super) cluster: String,
    pub(super) weight: u32,
    /// Percent of the requests.
    pub(super) share: f64,
    /// What its share is answered, where it cannot be sent.
    pub(super) status: Option<u16>,
    /// Of connections: whether those of its share are closed.
    pub(super) closed: bool,
    /// The name that is asked for and proven over TLS; none: plain text.
    pub(super) tls: Option<String>,
    /// Policies about its Service.
    pub(super) policies: Vec<PolicyPart>,
    /// Endpoints, the first few.
    pub(super) endpoints: Vec<EndpointPart>,
    /// All of them.
    pub(super) endpoint_count: usize,
    /// Those that take requests now.
    pub(super) usable: usize,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointPart {
    pub(super) address: String,
    pub(super) health: &'static str,
    pub(super) zone: String,
    /// Whether it takes requests now.
    pub(super) used: bool,
}

/// A route, or a match of one, that did not win.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LostPart {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) tenant: Option<String>,
    /// None: the route as a whole.
    pub(super) rule: Option<usize>,
    #[serde(rename = "match")]
    pub(super) index: Option<usize>,
    /// One word.
    pub(super) reason: Reason,
    pub(super) text: String,
    /// What became of its parents, where that is why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parents: Vec<Parent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Reason {
    /// It matches; another goes first.
    Precedence,
    /// Its hostname is less specific than another's.
    LessSpecificHostname,
    /// Its tenant is not served.
    TenantNotServed,
    /// Its rule was dropped.
    RuleDropped,
    /// It serves the host at no listener.
    NotServed,
    /// It serves the host at other listeners.
    OtherListener,
    /// It does not match.
    NoMatch,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OtherPart {
    pub(super) name: String,
    pub(super) result: ResultPart,
}

/// `tenant/namespace/service/port`, and what may follow, to `namespace/service:port`.
pub(super) fn service(cluster: &str) -> String {
    let parts = name::split_cluster(cluster);
    parts.map(|(namespace, service, port)| format!("{namespace}/{service}:{port}")).unwrap_or_default()
}
