//! One stream: its state and its place in what is shared.

use std::sync::Arc;
use std::time::Instant;

use envoy_types::pb::envoy::config::core::v3::Node;
use tonic::Status;
use weir_config::model::ResourceType;

use super::client::Client;
use super::node::{agent, bounded};
use super::variant::Messages;
use crate::ads::form::{Form, Hosts};
use crate::ads::live::Live;
use crate::ads::registry::{Entry, Registry};
use crate::ads::report::ProxyReport;
use crate::ads::store::Store;
use crate::ads::subscription::{Answer, Mode, Response};
use crate::metrics::Metrics;
use crate::scope::Scope;

/// Bytes of an unknown type's URL that are kept.
const MAX_URL: usize = 256;

/// What all streams share.
pub(super) struct Shared<'a> {
    pub(super) store: &'a Arc<Store>,
    pub(super) registry: &'a Arc<Registry>,
    pub(super) metrics: &'a Arc<Metrics>,
}

/// The stream.
pub(super) struct Connection {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    mode: Mode,
    /// The type that it has alone.
    only: Option<ResourceType>,
    node: String,
    unknown: Vec<String>,
    _entry: Entry,
}

impl Connection {
    pub(super) fn open(
        shared: Shared<'_>,
        scope: Scope,
        client: &Client,
        node: Option<&Node>,
        mode: Mode,
        only: Option<ResourceType>,
    ) -> Self {
        let node = node.map(bounded).unwrap_or_default();
        let form = Form::of(&node.client_features, mode);
        let live = Arc::new(Live::new(Arc::clone(shared.store), form, scope, mode, Instant::now()));
        let variant = if mode.is_delta() { "delta" } else { "sotw" };
        let about = ProxyReport {
            node: node.id.clone(),
            cluster: node.cluster.clone(),
            agent: agent(&node),
            peer: client.peer.clone(),
            since: jiff::Timestamp::now().to_string(),
            vhds: form.hosts == Hosts::Each,
            protocol: only.map_or_else(|| variant.to_owned(), |kind| format!("{variant} {}", kind.message())),
            identity: client.principal.to_string(),
            types: Vec::new(),
        };
        tracing::info!(node = about.node, about.peer, about.protocol, ?form.hosts, "a proxy connected");
        shared.metrics.stream_opened();
        Self {
            metrics: Arc::clone(shared.metrics),
            mode,
            only,
            unknown: Vec::new(),
            node: node.id,
            _entry: shared.registry.enter(about, Arc::clone(&live)),
            live,
        }
    }

    /// Takes a request in.
    pub(super) fn hear<V: Messages>(&mut self, request: V::Request) -> Result<(), Status> {
        let Some(kind) = self.kind_of(V::type_url(&request))? else { return Ok(()) };
        // Before the request goes to where it is answered.
        let complaint = V::complaint(&request).to_owned();
        let answer = self.live.hear(|state, view| V::hear(state, kind, request, view, Instant::now()));
        match answer.map_err(|excess| Status::resource_exhausted(excess.to_string()))? {
            Answer::Refused => {
                self.metrics.refused(kind);
                tracing::warn!(node = self.node, r#type = kind.message(), complaint, "a proxy refused resources");
            }
            Answer::Accepted | Answer::None => {}
        }
        Ok(())
    }

    /// The type that a request is about; none for one that is never answered.
    fn kind_of(&mut self, url: &str) -> Result<Option<ResourceType>, Status> {
        match (ResourceType::from_url(url), self.only) {
            // Where the method says it, the message need not.
            (_, Some(only)) if url.is_empty() || url == only.url() => Ok(Some(only)),
            (_, Some(only)) => Err(Status::invalid_argument(format!("this stream has {} alone", only.url()))),
            // Virtual hosts know no state of the world.
            (Some(kind), None) if self.mode.is_delta() || kind != ResourceType::VirtualHost => Ok(Some(kind)),
            (_, None) => {
                self.note_unknown(url);
                Ok(None)
            }
        }
    }

    /// A type that this server does not have: it is never answered, and said once.
    fn note_unknown(&mut self, url: &str) {
        let url = &url[..url.floor_char_boundary(MAX_URL)];
        if self.unknown.len() < 16 && !self.unknown.iter().any(|known| known == url) {
            tracing::debug!(node = self.node, url, "a proxy asks for a type of which there is nothing");
            self.unknown.push(url.to_owned());
        }
    }

    /// What to send next.
    pub(super) fn next(&mut self) -> Option<Response> {
        let response = self.live.next(Instant::now())?;
        self.metrics.sent(response.kind, response.items.len() + response.removed.len());
        Some(response)
    }

    /// When to ask for more though nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.live.deadline(Instant::now())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.stream_closed();
        tracing::info!(node = self.node, "a proxy left");
    }
}
