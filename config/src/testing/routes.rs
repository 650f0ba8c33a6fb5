//! Arbitrary routes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{duration, host, name};
use crate::model::{
    Domain, Forward, HeaderMatch, HeaderMutation, HeaderOp, Owner, PathMatch, QueryMatch, Route, RouteAction,
    RouteConfiguration, RouteMatch, Split, StringMatch, VirtualHost, WeightedCluster,
};

/// A route configuration.
pub fn route_configuration() -> impl Strategy<Value = RouteConfiguration> {
    (name(), vec(virtual_host(), 0..3), any::<bool>()).prop_map(|(name, virtual_hosts, vhds)| RouteConfiguration {
        name,
        virtual_hosts,
        vhds,
    })
}

/// A virtual host.
pub fn virtual_host() -> impl Strategy<Value = VirtualHost> {
    (name(), vec(domain(), 1..4), option::of(owner()), vec(route(), 0..4))
        .prop_map(|(name, domains, owner, routes)| VirtualHost { name, domains, owner, routes })
}

fn domain() -> impl Strategy<Value = Domain> {
    prop_oneof![host().prop_map(Domain::Exact), host().prop_map(Domain::Suffix), Just(Domain::Any)]
}

pub(super) fn owner() -> impl Strategy<Value = Owner> {
    (name(), option::of(name())).prop_map(|(tenant, plan)| Owner { tenant, plan })
}

fn route() -> impl Strategy<Value = Route> {
    ("[a-z/]{0,8}", option::of(owner()), route_match(), action(), mutation(), mutation()).prop_map(
        |(name, owner, matches, action, request_headers, response_headers)| Route {
            owner,
            request_headers,
            response_headers,
            ..Route::new(name, matches, action)
        },
    )
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let header = (header_name(), any::<bool>(), option::of(string_match()))
        .prop_map(|(name, invert, value)| HeaderMatch { name, invert, value });
    let query = ("[a-zA-Z%]{1,6}", option::of(string_match())).prop_map(|(name, value)| QueryMatch { name, value });
    (path(), option::of("[A-Z]{1,7}"), vec(header, 0..3), vec(query, 0..3))
        .prop_map(|(path, method, headers, query)| RouteMatch { path, method, headers, query })
}

fn path() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        "/[a-zA-Z0-9/%.]{0,12}".prop_map(PathMatch::Exact),
        "/[a-zA-Z0-9/%.]{0,12}".prop_map(PathMatch::Prefix),
        "/[a-zA-Z0-9/%.]{0,12}[a-z]".prop_map(PathMatch::SegmentPrefix),
        expression().prop_map(PathMatch::Regex),
    ]
}

fn string_match() -> impl Strategy<Value = StringMatch> {
    prop_oneof![
        "\\PC{0,10}".prop_map(StringMatch::Exact),
        "\\PC{1,10}".prop_map(StringMatch::Prefix),
        "\\PC{1,10}".prop_map(StringMatch::Suffix),
        "\\PC{1,10}".prop_map(StringMatch::Contains),
        expression().prop_map(StringMatch::Regex),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    prop_oneof![Just("/v[0-9]+/.*".to_owned()), Just("(?i)a|b".to_owned()), "[a-z/]{1,6}[*+?]?"]
}

fn action() -> impl Strategy<Value = RouteAction> {
    prop_oneof![
        (
            split(),
            option::of(prop_oneof![duration(), Just(std::time::Duration::ZERO)]),
            prop_oneof![Just(503), Just(404), Just(500)],
        )
            .prop_map(|(split, timeout, missing)| RouteAction::Forward(Forward {
                timeout,
                missing,
                ..Forward::to(split)
            })),
        (200u16..600).prop_map(|status| RouteAction::Direct { status }),
    ]
}

fn split() -> impl Strategy<Value = Split> {
    let weighted = (name(), 0u32..1_000_000).prop_map(|(cluster, weight)| WeightedCluster::new(cluster, weight));
    prop_oneof![
        name().prop_map(Split::One),
        vec(weighted, 1..4)
            .prop_filter("all weights are zero", |list| list.iter().any(|cluster| cluster.weight > 0))
            .prop_map(Split::Weighted),
    ]
}

fn header_name() -> impl Strategy<Value = String> {
    "x-[a-z0-9_-]{1,8}"
}

fn mutation() -> impl Strategy<Value = HeaderMutation> {
    let op = (header_name(), "[ -~]{0,12}", any::<bool>()).prop_map(|(name, value, append)| HeaderOp {
        name,
        value,
        append,
    });
    (vec(header_name(), 0..3), vec(op, 0..3)).prop_map(|(remove, ops)| HeaderMutation { remove, ops })
}
