//! What configuration was compiled into: indices and slots instead of names, so that a request
//! looks nothing up by a string but its host.
//!
//! A *slot* is a place that others point to and whose content swaps: routes of a
//! RouteConfiguration, endpoints of a cluster, limits of a filter. A connection keeps the chain
//! that it arrived at; the slots behind it stay current.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use weir_config::model::{HeaderMutation, Http2Options};

use super::changes::ChangesTable;
use super::cluster::ClusterSlot;
use super::cors::CorsTable;
pub use super::hosts::HostTable;
use super::limit::{LimitSlot, OwnerSlot};
use super::matcher::Matcher;
use super::mirror::MirrorTable;
use super::redirect::RedirectTable;
use super::retry::RetryTable;
use super::rewrite::PathTable;
use super::session::SessionTable;
use super::share::ShareTable;
use super::sni::SniIndex;
use super::wheel::Wheel;
use crate::meter::Lease;
use crate::tls::ChainTls;

/// A listener.
#[derive(Debug)]
pub struct ListenerTable {
    /// Resource name.
    pub name: String,
    /// Address to bind.
    pub address: SocketAddr,
    /// Chains.
    pub chains: Vec<Arc<ChainTable>>,
    /// Of a UDP listener: where its sessions go.
    pub udp: Option<Arc<ProxiedTable>>,
    /// How many of them take TLS.
    secure: usize,
    /// Which of those with TLS takes which SNI; see [`ListenerTable::chain`].
    tls: SniIndex,
    /// The same for those in plain text: there is one at most that matters.
    plain: SniIndex,
}

impl ListenerTable {
    /// A listener with its chains.
    pub fn new(name: String, address: SocketAddr, chains: Vec<Arc<ChainTable>>) -> Self {
        let index = |tls: bool| {
            let places = chains.iter().enumerate().filter(|(_, chain)| chain.takes_tls() == tls);
            SniIndex::new(places.map(|(at, chain)| (at, chain.server_names.as_slice())))
        };
        let secure = chains.iter().filter(|chain| chain.takes_tls()).count();
        Self { tls: index(true), plain: index(false), name, address, secure, chains, udp: None }
    }

    /// A UDP listener.
    pub fn datagrams(name: String, address: SocketAddr, proxied: Arc<ProxiedTable>) -> Self {
        Self { udp: Some(proxied), ..Self::new(name, address, Vec::new()) }
    }

    /// Whether a connection's first bytes say which chain takes it.
    pub fn inspects(&self) -> bool {
        self.secure > 0
    }

    /// Whether a request that came by TLS to `chain` may name a host that another chain takes, or that this one
    /// must not serve.
    pub fn tells_hosts_apart(&self, chain: &ChainTable) -> bool {
        self.secure > 1 || chain.asks_clients
    }

    /// The chain that takes a TLS connection with this SNI (lower case; none: none was sent).
    pub fn chain(&self, sni: Option<&str>) -> Option<&Arc<ChainTable>> {
        self.chains.get(self.tls.find(sni)?)
    }

    /// The chain that takes a connection in plain text.
    pub fn plain_chain(&self) -> Option<&Arc<ChainTable>> {
        self.chains.get(self.plain.find(None)?)
    }
}

/// A filter chain.
#[derive(Debug)]
pub struct ChainTable {
    /// Name.
    pub name: String,
    /// SNI names that it takes; empty: what no other chain of the listener takes.
    pub server_names: Vec<weir_config::model::ServerName>,
    /// TLS settings; absent: plain text.
    pub tls: Option<ChainTls>,
    /// Whether TLS goes through unread. There are no TLS settings then.
    pub passthrough: bool,
    /// Whether it asks for clients' certificates.
    pub asks_clients: bool,
    /// Where bytes go that are not HTTP. HTTP settings mean nothing then.
    pub tcp: Option<Arc<ProxiedTable>>,
    /// HTTP settings.
    pub http: HttpTable,
    /// Set when the chain is gone or replaced: its connections end after the exchange under way.
    pub draining: AtomicBool,
}

impl ChainTable {
    /// Whether it takes connections that speak TLS.
    pub fn takes_tls(&self) -> bool {
        self.tls.is_some() || self.passthrough
    }
}

/// Where connections or sessions that are not HTTP go.
#[derive(Debug)]
pub struct ProxiedTable {
    /// Tenant that is charged.
    pub tenant: Lease,
    /// Clusters, by the wheel's choice.
    pub clusters: Box<[Arc<ClusterSlot>]>,
    /// Order of turns among them; none: the first.
    pub wheel: Option<Wheel>,
    /// Connections so far.
    pub turn: AtomicU64,
    /// One in which nothing moves ends after this.
    pub idle_timeout: Duration,
    /// Whether each is logged.
    pub access_log: bool,
}

impl ProxiedTable {
    /// The cluster whose turn it is.
    pub fn choose(&self) -> &Arc<ClusterSlot> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.clusters[self.wheel.as_ref().map_or(0, |wheel| wheel.at(turn))]
    }
}

/// HTTP connection manager.
#[derive(Debug)]
pub struct HttpTable {
    /// Routes, current at every request.
    pub routes: Arc<ArcSwap<HostTable>>,
    /// Rate limits, in the order of the filters; each is asked.
    pub limits: Box<[Arc<LimitSlot>]>,
    /// A connection without a request ends after this.
    pub idle_timeout: Duration,
    /// A head must be whole within this, from its first byte.
    pub request_headers_timeout: Duration,
    /// An exchange in which no byte moves ends after this.
    pub stream_idle_timeout: Duration,
    /// Largest head, in bytes.
    pub max_head_bytes: usize,
    /// Whether the peer's address is the client's.
    pub use_remote_address: bool,
    /// Settings of HTTP/2 connections, where any is given.
    pub http2: Option<Box<Http2Options>>,
    /// Whether exchanges are logged.
    pub access_log: bool,
}

/// A virtual host: the routes of some domains.
#[derive(Debug)]
pub struct VirtualHostTable {
    /// Resource name.
    pub name: Arc<str>,
    /// Tenant that is charged where no route matches.
    pub tenant: Lease,
    /// Domains that it serves.
    pub domains: Box<[weir_config::model::Domain]>,
    /// Routes in order of precedence.
    pub routes: Box<[Arc<RouteTable>]>,
}

/// A route.
#[derive(Debug)]
pub struct RouteTable {
    /// Name.
    pub name: Box<str>,
    /// Tenant that is charged.
    pub tenant: Lease,
    /// Buckets that it draws on; none for a route of nobody.
    pub owner: Option<Arc<OwnerSlot>>,
    /// Which requests.
    pub matcher: Matcher,
    /// Of how many of them; most routes have all.
    pub share: Option<Box<ShareTable>>,
    /// What happens to them.
    pub action: ActionTable,
    /// Status where the cluster chosen is not known.
    pub missing: u16,
    /// From the whole request to the whole response; none: no limit.
    pub timeout: Option<Duration>,
    /// Changes to the request's headers.
    pub request_headers: Arc<HeaderMutation>,
    /// Changes to the response's headers.
    pub response_headers: Arc<HeaderMutation>,
    /// What few routes have; most have none of it.
    pub extras: Option<Box<Extras>>,
}

/// What few routes have.
#[derive(Debug, Default)]
pub struct Extras {
    /// The Host that the endpoint sees.
    pub host: Option<Box<str>>,
    /// The path that the endpoint sees.
    pub path: Option<PathTable>,
    /// When a request is sent again.
    pub retry: Option<RetryTable>,
    /// Where copies go.
    pub mirrors: Box<[MirrorTable]>,
    /// Who may read responses from another origin.
    pub cors: Option<Box<CorsTable>>,
    /// What keeps a client at one endpoint.
    pub session: Option<SessionTable>,
}

impl Extras {
    /// Whether requests must be kept as they pass: to be sent again, or to others.
    pub fn is_kept(&self) -> bool {
        self.retry.is_some() || !self.mirrors.is_empty()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        let Self { host, path, cors, session, retry: _, mirrors: _ } = self;
        host.is_none() && path.is_none() && !self.is_kept() && cors.is_none() && session.is_none()
    }
}

/// What happens to a request that matched.
#[derive(Debug)]
pub enum ActionTable {
    /// To this cluster.
    Forward(Arc<ClusterSlot>),
    /// To one of several by weight.
    Split(Box<SplitTable>),
    /// Answer where else to go.
    Redirect(Box<RedirectTable>),
    /// Answer this status.
    Direct(u16),
}

/// Several clusters by weight.
#[derive(Debug)]
pub struct SplitTable {
    /// Requests so far. Shared with the table that an edit puts in this one's place, so that
    /// frequent edits bend no share.
    pub turn: Arc<AtomicU64>,
    /// Order of turns.
    pub wheel: Wheel,
    /// Clusters, by the wheel's choice.
    pub clusters: Box<[Arc<ClusterSlot>]>,
    /// What is changed for a cluster alone, by the wheel's choice; empty where nothing is for any.
    pub changes: Box<[Option<Arc<ChangesTable>>]>,
}
