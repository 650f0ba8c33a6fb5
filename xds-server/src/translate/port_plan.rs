//! What the Gateways make of one port, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use weir_config::kinds::{Kind, ObjectKey};
use weir_config::model::{DownstreamTls, FilterChain, Resource};

use super::facts::Facts;
use super::protocol::Protocol;
use super::unit::{Group, PortId};
use crate::index::{NsName, Pattern};
use crate::status::Condition;

/// A Gateway's listener, its own or one that a ListenerSet adds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListenerId {
    pub(crate) gateway: NsName,
    /// The ListenerSet that it stands in.
    pub(crate) set: Option<NsName>,
    pub(crate) listener: String,
}

/// What holds listeners: a Gateway, or a ListenerSet that is attached to it.
pub(crate) type Holder = (NsName, Option<NsName>);

impl ListenerId {
    /// What it stands in.
    pub(crate) fn holder(&self) -> Holder {
        (self.gateway.clone(), self.set.clone())
    }

    /// The object that it stands in.
    pub(crate) fn object(&self) -> ObjectKey {
        match &self.set {
            Some((namespace, name)) => ObjectKey::new(Kind::ListenerSet, namespace, name),
            None => ObjectKey::new(Kind::Gateway, &self.gateway.0, &self.gateway.1),
        }
    }

    /// The namespace of that object.
    pub(crate) fn namespace(&self) -> &str {
        &self.set.as_ref().unwrap_or(&self.gateway).0
    }
}

/// A socket, as far as Gateways alone say what it does.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Name of the xDS Listener.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// Chains of HTTP.
    pub(crate) chains: Vec<FilterChain>,
    /// Listeners whose routes take whole connections, by the name of their chains.
    pub(crate) l4: BTreeMap<String, L4Listener>,
}

/// A listener whose routes take whole connections.
#[derive(Debug)]
pub(crate) struct L4Listener {
    pub(crate) protocol: Protocol,
    pub(crate) hosts: Vec<Pattern>,
    pub(crate) tls: Option<DownstreamTls>,
}

/// From which namespaces a listener takes routes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RoutesFrom {
    All,
    Same,
    Selector(LabelSelector),
}

/// An address that a listener is bound to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bind {
    pub(crate) address: IpAddr,
    /// The xDS Listener of that address.
    pub(crate) listener: String,
    /// Its RouteConfiguration there, or what its chains' names begin with; none while the listener is not programmed.
    pub(crate) routes: Option<String>,
}

/// What routes, and people, must know of a listener.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListenerFact {
    pub(crate) id: ListenerId,
    /// Place among the Gateway's listeners.
    pub(crate) index: usize,
    pub(crate) port: PortId,
    /// Whether it speaks TLS.
    pub(crate) tls: bool,
    pub(crate) hosts: Vec<Pattern>,
    pub(crate) binds: Vec<Bind>,
    pub(crate) accepted: bool,
    /// Kinds of routes that it takes.
    pub(crate) takes: Vec<Kind>,
    /// What it speaks; none that Weir serves.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) from: RoutesFrom,
    pub(crate) supported_kinds: Vec<String>,
    pub(crate) conditions: Vec<Condition>,
}

impl ListenerFact {
    /// Whether routes see no difference.
    pub(crate) fn same_to_routes(&self, other: &Self) -> bool {
        let cut = |fact: &Self| Self { conditions: Vec::new(), supported_kinds: Vec::new(), index: 0, ..fact.clone() };
        cut(self) == cut(other)
    }

    pub(crate) fn programmed(&self) -> bool {
        self.binds.iter().any(|bind| bind.routes.is_some())
    }
}

/// Listeners of one address by hostname, each with whose Gateway it is of.
pub(crate) type Table = BTreeMap<Pattern, (ListenerId, Group)>;

/// What the Gateways make of one port of an edge.
#[derive(Debug, Default)]
pub(crate) struct PortPlan {
    /// Listeners, by what holds them.
    pub(crate) holders: BTreeMap<Holder, Vec<ListenerFact>>,
    pub(crate) tables: BTreeMap<IpAddr, Table>,
    /// RouteConfigurations, with the address of each.
    pub(crate) routes: BTreeMap<String, IpAddr>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) sockets: Vec<Socket>,
    /// Secrets that are referred to, and those that are used.
    pub(crate) referred: BTreeSet<NsName>,
    pub(crate) secrets: BTreeSet<NsName>,
    /// ConfigMaps that are referred to.
    pub(crate) authorities: BTreeSet<NsName>,
    pub(crate) grants: BTreeSet<String>,
    /// Hostnames whose owner decides.
    pub(crate) names: BTreeSet<Pattern>,
    /// Wildcards below which every owner matters.
    pub(crate) wildcards: BTreeSet<Pattern>,
}

/// All ports of all edges.
#[derive(Debug, Default)]
pub(crate) struct Ports(pub(crate) BTreeMap<PortId, PortPlan>);

impl Ports {
    /// Listeners of a Gateway's own, or of a ListenerSet attached to it.
    pub(crate) fn listeners(&self, facts: &Facts, holder: &Holder) -> impl Iterator<Item = &ListenerFact> {
        let of_edge = |edge| PortId { edge, number: 0 }..=PortId { edge, number: u16::MAX };
        let ports = facts.edge_of(&holder.0).map(|edge| self.0.range(of_edge(edge)));
        ports.into_iter().flatten().filter_map(move |(_, plan)| plan.holders.get(holder)).flatten()
    }

    /// All ports, with what is made of each.
    pub(crate) fn all(&self) -> impl Iterator<Item = (PortId, &PortPlan)> {
        self.0.iter().map(|(port, plan)| (*port, plan))
    }

    /// The listeners of an address by hostname.
    pub(crate) fn table(&self, port: PortId, address: IpAddr) -> Option<&Table> {
        self.0.get(&port)?.tables.get(&address)
    }

    /// The listener that has `host` most specifically, as far as it may matter to `group`: a
    /// tenant's own listeners take nothing from another tenant.
    pub(crate) fn most_specific(
        &self,
        port: PortId,
        address: IpAddr,
        host: &Pattern,
        group: &Group,
    ) -> Option<&ListenerId> {
        let table = self.0.get(&port)?.tables.get(&address)?;
        let matters = |pattern: &Pattern| {
            table.get(pattern).filter(|(_, owner)| owner == group || *owner == Group::System).map(|(id, _)| id)
        };
        matters(host).or_else(|| host.wider().find_map(|wider| matters(&wider)))
    }
}
