//! The two variants of the protocol, as messages: delta and state of the world.

use std::time::Instant;

use envoy_types::pb::envoy::config::core::v3::{ControlPlane, Node};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use weir_config::model::ResourceType;

use crate::ads::subscription::{Answer, Excess, Item, Request, Response, Subscriptions, Variant, WorldRequest};
use crate::ads::view::View;

/// A variant, as its messages are read and written.
pub(super) trait Messages: Send + 'static {
    /// What a client sends.
    type Request: Send + 'static;
    /// What it is sent.
    type Response: Send + 'static;
    /// Which.
    const VARIANT: Variant;

    /// The client, where the request says it.
    fn node(request: &Self::Request) -> Option<&Node>;

    /// `type_url`.
    fn type_url(request: &Self::Request) -> &str;

    /// `error_detail.message`; empty: not a NACK.
    fn complaint(request: &Self::Request) -> &str;

    /// Takes a request in.
    fn hear(
        subscriptions: &mut Subscriptions,
        kind: ResourceType,
        request: Self::Request,
        view: &View<'_>,
        now: Instant,
    ) -> Result<Answer, Excess>;

    /// The message of a response.
    fn message(response: Response) -> Self::Response;
}

/// Incremental xDS.
#[derive(Debug)]
pub(super) struct Delta;

/// State of the world.
#[derive(Debug)]
pub(super) struct World;

impl Messages for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;
    const VARIANT: Variant = Variant::Delta;

    fn node(request: &DeltaDiscoveryRequest) -> Option<&Node> {
        request.node.as_ref()
    }

    fn type_url(request: &DeltaDiscoveryRequest) -> &str {
        &request.type_url
    }

    fn complaint(request: &DeltaDiscoveryRequest) -> &str {
        request.error_detail.as_ref().map_or("", |status| &status.message)
    }

    fn hear(
        subscriptions: &mut Subscriptions,
        kind: ResourceType,
        request: DeltaDiscoveryRequest,
        view: &View<'_>,
        now: Instant,
    ) -> Result<Answer, Excess> {
        let request = Request {
            kind,
            subscribe: request.resource_names_subscribe,
            unsubscribe: request.resource_names_unsubscribe,
            initial: request.initial_resource_versions.into_iter().collect(),
            nonce: request.response_nonce,
            error: request.error_detail.map(|status| status.message),
        };
        subscriptions.request(&request, view, now)
    }

    fn message(response: Response) -> DeltaDiscoveryResponse {
        let url = response.kind.url();
        let mut aliases = response.aliases;
        let mut asked = |name: &str| -> Vec<String> {
            aliases.remove(name).unwrap_or_default().iter().map(ToString::to_string).collect()
        };
        let resources = response.items.into_iter().map(|item| match item {
            Item::Present(resource) => Resource {
                name: resource.name.to_string(),
                version: resource.version.to_string(),
                resource: Some(Any { type_url: url.to_owned(), value: resource.body.to_vec() }),
                aliases: asked(&resource.name),
                ..Resource::default()
            },
            // Envoy finds the request that waits for it by the alias.
            Item::Absent(name) => {
                let mut aliases = asked(&name);
                aliases.push(name.to_string());
                Resource { name: name.to_string(), aliases, ..Resource::default() }
            }
        });
        let resources = resources.collect();
        DeltaDiscoveryResponse {
            system_version_info: response.sequence.to_string(),
            resources,
            type_url: url.to_owned(),
            removed_resources: response.removed.iter().map(ToString::to_string).collect(),
            nonce: response.nonce,
            control_plane: Some(control_plane()),
            ..DeltaDiscoveryResponse::default()
        }
    }
}

impl Messages for World {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;
    const VARIANT: Variant = Variant::World;

    fn node(request: &DiscoveryRequest) -> Option<&Node> {
        request.node.as_ref()
    }

    fn type_url(request: &DiscoveryRequest) -> &str {
        &request.type_url
    }

    fn complaint(request: &DiscoveryRequest) -> &str {
        request.error_detail.as_ref().map_or("", |status| &status.message)
    }

    fn hear(
        subscriptions: &mut Subscriptions,
        kind: ResourceType,
        request: DiscoveryRequest,
        view: &View<'_>,
        now: Instant,
    ) -> Result<Answer, Excess> {
        let request = WorldRequest {
            kind,
            version: request.version_info,
            names: request.resource_names,
            nonce: request.response_nonce,
            error: request.error_detail.map(|status| status.message),
        };
        subscriptions.request_world(&request, view, now)
    }

    fn message(response: Response) -> DiscoveryResponse {
        let url = response.kind.url();
        let resources = response.items.into_iter().filter_map(|item| match item {
            Item::Present(resource) => Some(Any { type_url: url.to_owned(), value: resource.body.to_vec() }),
            Item::Absent(_) => None,
        });
        DiscoveryResponse {
            version_info: response.version.map(|version| version.to_string()).unwrap_or_default(),
            resources: resources.collect(),
            type_url: url.to_owned(),
            nonce: response.nonce,
            control_plane: Some(control_plane()),
            ..DiscoveryResponse::default()
        }
    }
}

fn control_plane() -> ControlPlane {
    ControlPlane { identifier: concat!("weir ", env!("CARGO_PKG_VERSION")).to_owned() }
}
