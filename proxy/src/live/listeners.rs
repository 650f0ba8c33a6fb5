//! Listeners and their filter chains.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Release};
use std::time::Duration;

use weir_config::model::{
    Delta, FilterChain, HttpFilter, HttpOptions, Listener, LocalRateLimit, Network, Resource, ResourceType,
    RouteConfiguration, RouteSource,
};

use super::Listeners;
use super::compile::Compiler;
use super::routes::{Routes, RoutesSlot};
use super::slots::Slots;
use super::timeouts::{TCP_IDLE, UDP_IDLE, limit};
use crate::request::limit::LimitSlot;
use crate::request::table::{ChainTable, HttpTable, ListenerTable, ProxiedTable};
use crate::tls::{ALPN, SecretSlot, Terminator, Wants};

/// Envoy's `idle_timeout` of downstream connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// Envoy's `stream_idle_timeout`.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// A head's limit where the listener has none: Envoy has none then, Weir leaves nothing unbounded.
const REQUEST_HEADERS_TIMEOUT: Duration = Duration::from_secs(60);
/// Envoy's `max_request_headers_kb`.
const MAX_HEAD_KIB: u32 = 60;

/// Listeners as they were sent, and their tables.
#[derive(Debug)]
pub(super) struct ListenerSet {
    terminator: Terminator,
    bound: BTreeMap<String, (Arc<Listener>, Arc<ListenerTable>)>,
}

/// What chains refer to.
struct Parts<'a, 'l> {
    compiler: &'a mut Compiler<'l>,
    routes: &'a mut Routes,
    secrets: &'a mut Slots<SecretSlot>,
    wants: &'a Arc<Wants>,
}

impl ListenerSet {
    pub(super) fn new(terminator: Terminator) -> Self {
        Self { terminator, bound: BTreeMap::new() }
    }

    /// What should be bound now.
    pub(super) fn tables(&self) -> Listeners {
        self.bound.iter().map(|(name, (_, table))| (name.clone(), table.clone())).collect()
    }

    /// Makes the change; true if a listener is new, different or gone.
    pub(super) fn apply(
        &mut self,
        delta: &Delta,
        compiler: &mut Compiler<'_>,
        routes: &mut Routes,
        (secrets, wants): (&mut Slots<SecretSlot>, &Arc<Wants>),
    ) -> bool {
        let mut parts = Parts { compiler, routes, secrets, wants };
        let mut changed = false;
        for resource in &delta.upserts {
            if let Resource::Listener(listener) = resource {
                changed |= self.set(listener, &mut parts);
            }
        }
        let came = |name: &str| delta.upserts.iter().any(|r| r.kind() == ResourceType::Listener && r.name() == name);
        for (kind, name) in &delta.removals {
            if *kind == ResourceType::Listener && !came(name) {
                changed |= self.remove(name, &mut parts);
            }
        }
        changed
    }

    fn remove(&mut self, name: &str, parts: &mut Parts<'_, '_>) -> bool {
        let Some((model, table)) = self.bound.remove(name) else { return false };
        table.chains.iter().for_each(|chain| chain.draining.store(true, Release));
        model.chains.iter().for_each(|chain| parts.forget_routes(&model, chain));
        true
    }

    /// Chains that are the same keep their connections; those that are different or gone drain.
    /// Routes and limits that came with a chain swap in place.
    fn set(&mut self, listener: &Arc<Listener>, parts: &mut Parts<'_, '_>) -> bool {
        let old = self.bound.get(&listener.name);
        if old.is_some_and(|(model, _)| model == listener) {
            return false;
        }
        let kept = old.filter(|(model, _)| model.address == listener.address);
        let mut chains = Vec::with_capacity(listener.chains.len());
        for chain in &listener.chains {
            let same = kept.and_then(|(model, table)| same_chain(model, table, chain));
            let table = match &chain.network {
                Network::Http(options) => {
                    let routes = parts.routes(listener, chain, options);
                    let limits = parts.limits(listener, chain, options);
                    same.or_else(|| self.chain(chain, http(options, routes, limits), None, parts))
                }
                Network::Tcp(model) => same.or_else(|| {
                    let proxied = parts.compiler.proxied(model, TCP_IDLE);
                    self.chain(chain, no_http(), Some(proxied), parts)
                }),
            };
            chains.extend(table);
        }
        let (name, address) = (listener.name.clone(), listener.address);
        let table = Arc::new(match &listener.udp {
            // Another table ends the sessions of the one before: they may be another tenant's, or go elsewhere.
            Some(model) => ListenerTable::datagrams(name, address, parts.compiler.proxied(model, UDP_IDLE)),
            None => ListenerTable::new(name, address, chains),
        });
        if let Some((old_model, old)) = self.bound.insert(listener.name.clone(), (listener.clone(), table.clone())) {
            let gone = |chain: &&Arc<ChainTable>| !table.chains.iter().any(|new| Arc::ptr_eq(new, chain));
            old.chains.iter().filter(gone).for_each(|chain| chain.draining.store(true, Release));
            for chain in old_model.chains.iter().filter(|old| listener.chains.iter().all(|new| !same_inline(old, new)))
            {
                parts.forget_routes(&old_model, chain);
            }
        }
        true
    }

    fn chain(
        &self,
        model: &FilterChain,
        http: HttpTable,
        tcp: Option<Arc<ProxiedTable>>,
        parts: &mut Parts<'_, '_>,
    ) -> Option<Arc<ChainTable>> {
        let tls = match &model.tls {
            None => None,
            Some(tls) => {
                let secrets = tls.secrets.iter().map(|name| parts.secret(name)).collect();
                // Offered is only what the engine speaks: a client that chose another would get no answer.
                let alpn: Vec<_> = tls.alpn.iter().filter(|name| ALPN.contains(&name.as_str())).cloned().collect();
                match self.terminator.chain(secrets, &alpn, tls.clients.as_deref()) {
                    Ok(tls) => Some(tls),
                    Err(error) => {
                        // Never serve in plain text what should be encrypted.
                        tracing::error!(chain = model.name, %error, "a chain's TLS cannot be set up: it is left out");
                        return None;
                    }
                }
            }
        };
        Some(Arc::new(ChainTable {
            name: model.name.clone(),
            server_names: model.server_names.clone(),
            tls,
            passthrough: model.passthrough,
            asks_clients: model.tls.as_ref().is_some_and(|tls| tls.clients.is_some()),
            tcp,
            http,
            draining: AtomicBool::new(false),
        }))
    }
}

impl Parts<'_, '_> {
    fn secret(&mut self, name: &str) -> Arc<SecretSlot> {
        self.secrets.named(name, || SecretSlot::new(name, self.wants.clone()))
    }

    fn routes(&mut self, listener: &Listener, chain: &FilterChain, http: &HttpOptions) -> RoutesSlot {
        match &http.routes {
            RouteSource::Rds(name) => self.routes.slot(name),
            RouteSource::Inline(routes) => self.routes.set(&inline_name(listener, chain), routes, self.compiler),
        }
    }

    fn limits(&mut self, listener: &Listener, chain: &FilterChain, http: &HttpOptions) -> Box<[Arc<LimitSlot>]> {
        let limits = &mut self.compiler.limits;
        let slots = http.filters.iter().filter_map(|filter| match filter {
            HttpFilter::Discovered(name) => Some(limits.discovered(name)),
            HttpFilter::LocalRateLimit { name, config } => {
                Some(limits.inline([&listener.name, &chain.name, name], config))
            }
            // Routes have what these do.
            HttpFilter::Cors | HttpFilter::StatefulSession => None,
        });
        slots.collect()
    }

    fn forget_routes(&mut self, listener: &Listener, chain: &FilterChain) {
        if has_routes(chain) {
            self.routes.unset(&inline_name(listener, chain), self.compiler);
        }
    }
}

/// No resource has this name: resources' names hold no NUL.
fn inline_name(listener: &Listener, chain: &FilterChain) -> String {
    format!("\0{}\0{}", listener.name, chain.name)
}

/// Whether both have routes that came with them, under the same name.
fn same_inline(a: &FilterChain, b: &FilterChain) -> bool {
    a.name == b.name && has_routes(a) && has_routes(b)
}

fn has_routes(chain: &FilterChain) -> bool {
    chain.http().is_some_and(|http| matches!(http.routes, RouteSource::Inline(_)))
}

/// The table of the chain of that name, if all is the same but what swaps in place.
fn same_chain(old: &Listener, table: &ListenerTable, new: &FilterChain) -> Option<Arc<ChainTable>> {
    let model = old.chains.iter().find(|chain| chain.name == new.name)?;
    let same = without_slots(model) == without_slots(new);
    table.chains.iter().find(|chain| same && chain.name == new.name).cloned()
}

/// A chain without what lies in slots behind it.
fn without_slots(chain: &FilterChain) -> FilterChain {
    let mut chain = chain.clone();
    let Some(http) = chain.http_mut() else { return chain };
    if let RouteSource::Inline(_) = http.routes {
        http.routes = RouteSource::Inline(Box::<RouteConfiguration>::default());
    }
    for filter in &mut http.filters {
        if let HttpFilter::LocalRateLimit { config, .. } = filter {
            *config = LocalRateLimit::default();
        }
    }
    chain
}

fn http(model: &HttpOptions, routes: RoutesSlot, limits: Box<[Arc<LimitSlot>]>) -> HttpTable {
    HttpTable {
        routes,
        limits,
        idle_timeout: limit(model.idle_timeout, IDLE_TIMEOUT),
        request_headers_timeout: model
            .request_headers_timeout
            .filter(|t| !t.is_zero())
            .unwrap_or(REQUEST_HEADERS_TIMEOUT),
        stream_idle_timeout: limit(model.stream_idle_timeout, STREAM_IDLE_TIMEOUT),
        max_head_bytes: model.max_request_headers_kb.unwrap_or(MAX_HEAD_KIB) as usize * 1024,
        use_remote_address: model.use_remote_address,
        http2: model.http2.clone(),
        access_log: model.access_log,
    }
}

/// Of a chain that is not HTTP.
fn no_http() -> HttpTable {
    HttpTable {
        routes: Arc::default(),
        limits: Box::default(),
        idle_timeout: IDLE_TIMEOUT,
        request_headers_timeout: REQUEST_HEADERS_TIMEOUT,
        stream_idle_timeout: STREAM_IDLE_TIMEOUT,
        max_head_bytes: 0,
        use_remote_address: false,
        http2: None,
        access_log: false,
    }
}
