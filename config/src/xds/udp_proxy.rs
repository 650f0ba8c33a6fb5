//! `UdpProxyConfig`: sessions to clusters.
//!
//! Envoy's UDP proxy knows no weights, but a matcher on a hash of the client's port, which comes to the same: of
//! `modulo` equal shares, those from a cluster's threshold up to the next one's are that cluster's.

use envoy_types::pb::envoy::extensions::filters::udp::udp_proxy::v3::udp_proxy_config::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::udp::udp_proxy::v3::{Route, UdpProxyConfig};
use envoy_types::pb::envoy::extensions::matching::common_inputs::network::v3::SourcePortInput;
use envoy_types::pb::envoy::extensions::matching::input_matchers::consistent_hashing::v3::ConsistentHashing;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3::Matcher;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::single_predicate::Matcher as Test;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::{MatchType, SinglePredicate};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{FieldMatcher, Predicate};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::on_match::OnMatch as Outcome;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherList, MatcherType, OnMatch};
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields};
use super::scalar;
use super::tcp_proxy::{chosen, logs, read_logs};
use crate::model::{Owner, Proxied, Split, WeightedCluster};

/// Envoy's name of the filter.
pub(super) const NAME: &str = "envoy.filters.udp_listener.udp_proxy";
/// What can be read.
const HINT: &str = "write `cluster`, or shares by consistent hashing of the source port";

pub(super) fn write(value: &Proxied) -> Any {
    #[expect(deprecated, reason = "the one form that Envoy's API calls stable")]
    let route = match chosen(&value.split) {
        Split::One(cluster) => RouteSpecifier::Cluster(cluster),
        Split::Weighted(list) => RouteSpecifier::Matcher(shares(&list)),
    };
    let message = UdpProxyConfig {
        stat_prefix: value.stat_prefix.clone(),
        idle_timeout: value.idle_timeout.map(|timeout| scalar::to14(&scalar::duration(timeout))),
        access_log: logs(value, "UDP"),
        route_specifier: Some(route),
        ..Default::default()
    };
    scalar::any14(&message, &scalar::NO_MAPS)
}

fn shares(list: &[WeightedCluster]) -> Matcher {
    let modulo = list.iter().fold(0u32, |sum, cluster| sum.saturating_add(cluster.weight));
    let mut below = 0u32;
    let mut matchers: Vec<_> = list
        .iter()
        .map(|cluster| {
            let threshold = below;
            below = below.saturating_add(cluster.weight);
            share(threshold, modulo, &cluster.cluster)
        })
        .collect();
    // The first begins at 0, which needs no test; the others are asked from the highest threshold down.
    let first = matchers.drain(..1.min(matchers.len())).next().and_then(|share| share.on_match);
    matchers.reverse();
    Matcher { on_no_match: first.map(Box::new), matcher_type: Some(MatcherType::MatcherList(MatcherList { matchers })) }
}

fn share(threshold: u32, modulo: u32, cluster: &str) -> FieldMatcher {
    let test = SinglePredicate {
        input: Some(extension("envoy.matching.inputs.source_port", &SourcePortInput {})),
        matcher: Some(Test::CustomMatch(extension(
            "envoy.matching.matchers.consistent_hashing",
            &ConsistentHashing { threshold, modulo, seed: 0 },
        ))),
    };
    let route = extension("route", &Route { cluster: cluster.to_owned() });
    FieldMatcher {
        predicate: Some(Predicate { match_type: Some(MatchType::SinglePredicate(test)) }),
        on_match: Some(OnMatch { on_match: Some(Outcome::Action(route)), ..Default::default() }),
    }
}

fn extension(name: &str, message: &impl prost::Name) -> TypedExtensionConfig {
    let any = scalar::any14(message, &scalar::NO_MAPS);
    TypedExtensionConfig { name: name.to_owned(), typed_config: Some(scalar::to14(&any)) }
}

/// Whether an `Any` holds this filter.
pub(super) fn is(any: &Any) -> bool {
    scalar::holds::<UdpProxyConfig>(any)
}

/// Reads the filter in an `Any`; `at` is the `Any`'s.
pub(super) fn read(any: &Any, owner: Option<Owner>, at: &At<'_>, problems: &mut Problems) -> Option<Proxied> {
    let message: UdpProxyConfig = scalar::unpack14(any, at, problems)?;
    fields!(message => UdpProxyConfig, at, problems;
        read stat_prefix idle_timeout access_log route_specifier;
        refuse use_original_src_ip hash_policies upstream_socket_config use_per_packet_load_balancing session_filters
            tunneling_config proxy_access_log;
        pass access_log_options;);
    let idle_timeout = idle_timeout.and_then(|timeout| {
        let at = at.field("idle_timeout");
        let timeout = scalar::transcode(&timeout, &at, problems);
        scalar::read_duration(timeout, &at, problems)
    });
    let access_log = read_logs(access_log, at, problems);
    #[expect(deprecated, reason = "the one form that Envoy's API calls stable")]
    let split = match route_specifier {
        Some(RouteSpecifier::Cluster(name)) => {
            if name.is_empty() {
                problems.missing(&at.field("cluster"));
            }
            Split::One(name)
        }
        Some(RouteSpecifier::Matcher(matcher)) => match read_shares(matcher) {
            Some(split) => split,
            None => {
                problems.advise(&at.field("matcher"), "is not supported in this form", HINT);
                return None;
            }
        },
        None => {
            problems.advise(at, "names no cluster", HINT);
            return None;
        }
    };
    Some(Proxied { stat_prefix, split, owner, idle_timeout, access_log })
}

/// The split whose shares these are; none if the matcher is of any other form.
fn read_shares(matcher: Matcher) -> Option<Split> {
    let first = read_route(matcher.on_no_match.map(|outcome| *outcome))?;
    let Some(MatcherType::MatcherList(MatcherList { matchers })) = matcher.matcher_type else { return None };
    let mut list = Vec::with_capacity(matchers.len() + 1);
    let mut above = None;
    for FieldMatcher { predicate, on_match } in matchers {
        let (threshold, modulo) = read_test(predicate?)?;
        let (up_to, of) = *above.get_or_insert((modulo, modulo));
        if of != modulo || threshold == 0 || threshold >= up_to {
            return None;
        }
        list.push(WeightedCluster::new(read_route(on_match)?, up_to - threshold));
        above = Some((threshold, modulo));
    }
    list.push(WeightedCluster::new(first, above?.0));
    list.reverse();
    Some(Split::Weighted(list))
}

/// Threshold and modulo.
fn read_test(predicate: Predicate) -> Option<(u32, u32)> {
    let Some(MatchType::SinglePredicate(SinglePredicate { input, matcher: Some(Test::CustomMatch(test)) })) =
        predicate.match_type
    else {
        return None;
    };
    unpack::<SourcePortInput>(input?)?;
    let ConsistentHashing { threshold, modulo, seed } = unpack(test)?;
    (seed == 0).then_some((threshold, modulo))
}

fn read_route(outcome: Option<OnMatch>) -> Option<String> {
    let OnMatch { on_match: Some(Outcome::Action(action)), keep_matching: false } = outcome? else { return None };
    let Route { cluster } = unpack(action)?;
    (!cluster.is_empty()).then_some(cluster)
}

fn unpack<M: prost::Message + prost::Name + Default>(extension: TypedExtensionConfig) -> Option<M> {
    let any = extension.typed_config?;
    (any.type_url == M::type_url()).then(|| M::decode(any.value.as_slice()).ok()).flatten()
}
