//! Arbitrary model values for property tests, of this crate and of those that build on it (feature
//! `testing`). Each value is one that the codec promises to bring back unchanged.

mod listeners;
mod routes;
pub mod soak;

use std::net::SocketAddr;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

pub use listeners::{listener, proxied};
pub use routes::{route_configuration, virtual_host};

use crate::model::{
    Cluster, Endpoint, EndpointSource, FilterConfig, HealthStatus, Http2Options, Keepalive, LoadAssignment,
    LocalRateLimit, Locality, LocalityEndpoints, PrivateKey, Resource, RetryBudget, Roots, Secret, SubjectName,
    TlsCertificate, TokenBucket, UpstreamProtocol, UpstreamTls,
};

/// A resource of any type.
pub fn resource() -> impl Strategy<Value = Resource> {
    prop_oneof![
        cluster().prop_map(Resource::from).boxed(),
        load_assignment().prop_map(Resource::from).boxed(),
        secret().prop_map(Resource::from).boxed(),
        filter_config().prop_map(Resource::from).boxed(),
        listener().prop_map(Resource::from).boxed(),
        route_configuration().prop_map(Resource::from).boxed(),
        virtual_host().prop_map(Resource::from).boxed(),
    ]
}

/// The name of a resource.
pub fn name() -> impl Strategy<Value = String> {
    "[a-z0-9/._-]{1,20}"
}

/// A DNS label.
pub(crate) fn label() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,5}[a-z0-9]"
}

/// A host's name of several labels.
pub(crate) fn host() -> impl Strategy<Value = String> {
    vec(label(), 1..4).prop_map(|labels| labels.join("."))
}

/// A duration that is not zero.
pub(crate) fn duration() -> impl Strategy<Value = Duration> {
    (0u64..100_000_000_000, 1u32..1_000_000_000).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

/// A cluster.
pub fn cluster() -> impl Strategy<Value = Cluster> {
    let endpoints =
        prop_oneof![name().prop_map(EndpointSource::Eds), load_assignment().prop_map(EndpointSource::Static),];
    let protocol = prop_oneof![
        Just((UpstreamProtocol::Http1, None)),
        option::of(http2()).prop_map(|options| (UpstreamProtocol::Http2, options)),
    ];
    let tls = option::of(upstream_tls().prop_map(Box::new));
    let budget = (0.0..=100.0, any::<u32>()).prop_map(|(percent, least)| RetryBudget { percent, least });
    (name(), endpoints, option::of(duration()), protocol, tls, option::of(budget)).prop_map(
        |(name, endpoints, connect_timeout, (protocol, http2), tls, retry_budget)| Cluster {
            retry_budget,
            connect_timeout,
            protocol,
            http2,
            tls,
            ..Cluster::new(name, endpoints)
        },
    )
}

/// Settings of HTTP/2 that say something. Weir's own bound of streams is as good as none at a listener.
pub(crate) fn http2() -> BoxedStrategy<Box<Http2Options>> {
    let window = || option::of(65_535..=i32::MAX as u32);
    let keepalive = (option::of(at_least_a_millisecond()), at_least_a_millisecond(), option::of(0u16..=10_000))
        .prop_map(|(interval, timeout, jitter)| Keepalive { interval, timeout, jitter });
    let streams = option::of(prop_oneof![1u32..100, 101..=i32::MAX as u32]);
    let options = (streams, window(), window(), option::of(keepalive)).prop_map(
        |(max_concurrent_streams, stream_window, connection_window, keepalive)| Http2Options {
            max_concurrent_streams,
            stream_window,
            connection_window,
            keepalive,
        },
    );
    options.prop_filter("says something", |options| *options != Http2Options::default()).prop_map(Box::new).boxed()
}

fn at_least_a_millisecond() -> impl Strategy<Value = Duration> {
    duration().prop_map(|duration| duration.max(Duration::from_millis(1)))
}

fn upstream_tls() -> impl Strategy<Value = UpstreamTls> {
    let subject = prop_oneof![
        host().prop_map(SubjectName::Dns),
        host().prop_map(|host| SubjectName::Uri(format!("spiffe://{host}/ns/a"))),
    ];
    (host(), roots(), vec(subject, 1..3), option::of(name())).prop_map(|(sni, roots, names, certificate)| UpstreamTls {
        sni,
        roots,
        names,
        certificate,
    })
}

/// Roots; their PEM is not a real one.
pub(crate) fn roots() -> impl Strategy<Value = Roots> {
    prop_oneof!["\\PC{1,80}".prop_map(Roots::Pem), Just(Roots::System)]
}

/// Endpoints.
pub fn load_assignment() -> impl Strategy<Value = LoadAssignment> {
    (name(), vec(locality(), 0..4)).prop_map(|(name, localities)| LoadAssignment { name, localities })
}

fn locality() -> impl Strategy<Value = LocalityEndpoints> {
    let place = ("[a-z0-9-]{0,6}", "[a-z0-9-]{0,6}").prop_map(|(region, zone)| Locality { region, zone });
    (place, 0u32..=128, vec(endpoint(), 0..5)).prop_map(|(locality, priority, endpoints)| LocalityEndpoints {
        locality,
        priority,
        endpoints,
    })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let health = prop_oneof![
        Just(HealthStatus::Unknown),
        Just(HealthStatus::Healthy),
        Just(HealthStatus::Degraded),
        Just(HealthStatus::Unhealthy),
        Just(HealthStatus::Draining),
    ];
    (any::<SocketAddr>(), health, 1u32..).prop_map(|(address, health, weight)| Endpoint {
        // A scope and a flow label have no place in the protocol.
        address: SocketAddr::new(address.ip(), address.port()),
        health,
        weight,
    })
}

/// A secret; its PEM is not a real one.
pub fn secret() -> impl Strategy<Value = Secret> {
    (name(), "\\PC{1,80}", "\\PC{1,80}")
        .prop_map(|(name, chain, key)| Secret { name, certificate: TlsCertificate { chain, key: PrivateKey(key) } })
}

/// A filter's configuration by itself.
pub fn filter_config() -> impl Strategy<Value = FilterConfig> {
    (name(), local_rate_limit()).prop_map(|(name, config)| FilterConfig { name, config })
}

/// A limit in either form.
pub fn local_rate_limit() -> impl Strategy<Value = LocalRateLimit> {
    (name(), option::of(bucket()), btree_map(name(), bucket(), 0..4), any::<u32>(), any::<bool>()).prop_map(
        |(stat_prefix, default_bucket, plans, max_dynamic_descriptors, headers)| LocalRateLimit {
            stat_prefix,
            default_bucket,
            plans,
            max_dynamic_descriptors,
            headers,
        },
    )
}

fn bucket() -> impl Strategy<Value = TokenBucket> {
    (1u32.., 1u32.., 50u64..100_000_000).prop_map(|(max_tokens, tokens_per_fill, fill_interval_ms)| TokenBucket {
        max_tokens,
        tokens_per_fill,
        fill_interval_ms,
    })
}
