//! Arbitrary routes.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{duration, host, name};
use crate::model::{
    ClusterChanges, Cors, Domain, Forward, Fraction, HeaderMatch, HeaderMutation, HeaderOp, Mirror, Owner, PathMatch,
    PathRewrite, QueryMatch, Redirect, Retry, RetryOn, Route, RouteAction, RouteConfiguration, RouteMatch,
    SessionPersistence, Split, StringMatch, VirtualHost, WeightedCluster,
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
        .boxed()
}

fn domain() -> impl Strategy<Value = Domain> {
    prop_oneof![host().prop_map(Domain::Exact), host().prop_map(Domain::Suffix), Just(Domain::Any)]
}

pub(super) fn owner() -> impl Strategy<Value = Owner> {
    (name(), option::of(name())).prop_map(|(tenant, plan)| Owner { tenant, plan })
}

fn route() -> impl Strategy<Value = Route> {
    let per_route = (option::of(cors().prop_map(Box::new)), option::of(session().prop_map(Box::new)));
    ("[a-z/]{0,8}", option::of(owner()), route_match(), action(), (mutation(), mutation()), per_route)
        .prop_map(|(name, owner, matches, action, (request_headers, response_headers), (cors, session))| Route {
            owner,
            request_headers,
            response_headers,
            cors,
            session,
            ..Route::new(name, matches, action)
        })
        // On the heap, as the other large ones here: values of values within a test's stack would not fit.
        .boxed()
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let header = (header_name(), any::<bool>(), option::of(string_match()))
        .prop_map(|(name, invert, value)| HeaderMatch { name, invert, value });
    let query = ("[a-zA-Z%]{1,6}", option::of(string_match())).prop_map(|(name, value)| QueryMatch { name, value });
    let share = option::weighted(0.2, fraction());
    (path(), option::of("[A-Z]{1,7}"), vec(header, 0..3), vec(query, 0..3), share)
        .prop_map(|(path, method, headers, query, fraction)| RouteMatch { path, method, headers, query, fraction })
}

fn fraction() -> impl Strategy<Value = Fraction> {
    (any::<u32>(), prop_oneof![Just(100), Just(10_000), Just(1_000_000)])
        .prop_map(|(numerator, denominator)| Fraction { numerator, denominator })
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
        3 => forward().prop_map(RouteAction::Forward).boxed(),
        1 => redirect().prop_map(RouteAction::Redirect).boxed(),
        1 => (200u16..600).prop_map(|status| RouteAction::Direct { status }),
    ]
}

fn forward() -> impl Strategy<Value = Forward> {
    let rewrites = (option::of(host()), option::of(path_rewrite()));
    let missing = prop_oneof![Just(503), Just(404), Just(500)];
    (split(), option::of(timeout()), missing, rewrites, option::of(retry().prop_map(Box::new)), vec(mirror(), 0..3))
        .prop_map(|(split, timeout, missing, (host_rewrite, path_rewrite), retry, mirrors)| Forward {
            split,
            timeout,
            missing,
            host_rewrite,
            path_rewrite,
            retry,
            mirrors,
        })
}

fn timeout() -> impl Strategy<Value = Duration> {
    prop_oneof![duration(), Just(Duration::ZERO)]
}

fn path_rewrite() -> impl Strategy<Value = PathRewrite> {
    let regex = prop_oneof![
        Just(("^/a/?".to_owned(), "/".to_owned())),
        Just(("/(x|y)/(.*)".to_owned(), r"/\2/\1\\".to_owned())),
    ];
    prop_oneof![
        "/[a-zA-Z0-9/%.]{0,12}".prop_map(PathRewrite::Full),
        "/[a-zA-Z0-9/%.]{0,12}".prop_map(PathRewrite::Prefix),
        regex.prop_map(|(pattern, substitution)| PathRewrite::Regex { pattern, substitution }),
    ]
}

fn redirect() -> impl Strategy<Value = Redirect> {
    let scheme = prop_oneof![Just("http".to_owned()), Just("https".to_owned())];
    let status = prop_oneof![Just(301), Just(302), Just(303), Just(307), Just(308)];
    // In a redirect the whole path has a field of its own, and needs no expression.
    (option::of(scheme), option::of(host()), option::of(1u16..), option::of(path_rewrite()), status)
        .prop_map(|(scheme, host, port, path, status)| Redirect { scheme, host, port, path, status })
}

fn retry() -> impl Strategy<Value = Retry> {
    let on = any::<[bool; 5]>().prop_map(|[connect_failure, refused_stream, reset, gateway_error, server_error]| {
        RetryOn { connect_failure, refused_stream, reset, gateway_error, server_error }
    });
    let back_off = (1u64..60_000, option::of(0u64..60_000))
        .prop_map(|(base, more)| (Duration::from_millis(base), more.map(|more| Duration::from_millis(base + more))));
    (on, vec(200u16..600, 0..3), option::of(any::<u32>()), option::of(timeout()), option::of(back_off)).prop_map(
        |(on, statuses, attempts, per_try_timeout, back_off)| Retry {
            on,
            statuses,
            attempts,
            per_try_timeout,
            back_off,
        },
    )
}

fn mirror() -> impl Strategy<Value = Mirror> {
    (name(), option::of(fraction())).prop_map(|(cluster, fraction)| Mirror { cluster, fraction })
}

fn cors() -> impl Strategy<Value = Cors> {
    let list = || vec(prop_oneof!["[A-Z]{3,6}", "x-[a-z]{1,6}", Just("*".to_owned())], 0..3);
    (vec(string_match(), 0..3), list(), list(), list(), option::of(any::<u32>()), any::<bool>()).prop_map(
        |(origins, methods, headers, expose, max_age, credentials)| Cors {
            origins,
            methods,
            headers,
            expose,
            max_age,
            credentials,
        },
    )
}

fn session() -> impl Strategy<Value = SessionPersistence> {
    let path = prop_oneof![Just(String::new()), "/[a-z/]{0,8}"];
    prop_oneof![
        ("[a-zA-Z_-]{1,12}", path, timeout()).prop_map(|(name, path, ttl)| SessionPersistence::Cookie {
            name,
            path,
            ttl
        }),
        header_name().prop_map(|name| SessionPersistence::Header { name }),
    ]
}

fn split() -> impl Strategy<Value = Split> {
    let changes = (mutation(), mutation(), option::of(host()))
        .prop_map(|(request_headers, response_headers, host_rewrite)| ClusterChanges {
            request_headers,
            response_headers,
            host_rewrite,
        })
        .prop_map(|changes| (changes != ClusterChanges::default()).then(|| Box::new(changes)));
    let weighted = (name(), 0u32..1_000_000, option::weighted(0.3, changes)).prop_map(|(cluster, weight, changes)| {
        WeightedCluster { changes: changes.flatten(), ..WeightedCluster::new(cluster, weight) }
    });
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
