//! Conformance to the Gateway API: an independent harness over the suite's own manifests and expectations.
//!
//! It plays the cluster (API server, controllers of Deployments and Services, the backends), runs `weir server` and
//! an edge as processes of their own, and drives them through the API server alone. `docs/conformance/` says what
//! came of it; `make conformance` makes that anew.
#![allow(missing_docs, reason = "a test program has no readers of its documentation outside its files")]
#![allow(unreachable_pub, reason = "modules of a test program export to each other")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cases;
mod client;
mod compare;
mod data;
mod echo;
mod floor;
mod h2;
mod options;
mod report;
mod sockets;
mod status;
mod suite;
mod verify;
mod world;

/// What whole-system tests share; of it, what this program needs.
#[path = "../support"]
#[allow(dead_code, unused_imports, reason = "other test programs use the rest")]
mod support {
    pub mod address;
    pub mod apiserver;
    pub mod envoy;
    pub mod http;
    pub mod inside;
    pub mod process;
    pub mod site;
    pub mod tls;
    pub mod wait;
}

use std::time::Duration;

use data::Data;
use floor::Part;
use options::{Edge, Options, Tenancy};
use suite::Outcome;
use support::inside;
use world::World;

/// What passed before passes still: the floor, in parts of which each has an API server, a server and an edge.
fn floor_holds(name: &str, part: Part, edge: Edge, tenancy: Tenancy) {
    inside::namespace(name, || {
        let Some(data) = Data::open() else { return };
        let world = World::start(&data, Options { edge, tenancy, ..Options::from_environment() });
        let tests = floor::of(edge, tenancy).map(|short| data.test(short)).filter(|test| part.has(test));
        none_failed(&suite::run_all(&world, &data, tests));
    });
}

#[test]
fn http_routes_pass_still() {
    floor_holds("http_routes_pass_still", Part::Http, Edge::Weir, Tenancy::System);
}

#[test]
fn gateways_and_policies_pass_still() {
    floor_holds("gateways_and_policies_pass_still", Part::Gateways, Edge::Weir, Tenancy::System);
}

#[test]
fn other_routes_pass_still() {
    floor_holds("other_routes_pass_still", Part::Others, Edge::Weir, Tenancy::System);
}

#[test]
fn http_routes_of_tenants_pass_still() {
    floor_holds("http_routes_of_tenants_pass_still", Part::Http, Edge::Weir, Tenancy::Tenants);
}

#[test]
fn http_routes_at_a_stock_envoy_pass_still() {
    floor_holds("http_routes_at_a_stock_envoy_pass_still", Part::Http, Edge::Envoy, Tenancy::System);
}

fn none_failed(outcomes: &[Outcome]) {
    let told = |outcome: &Outcome| outcome.result.as_ref().err().map(|told| format!("{}: {told}", outcome.test.short));
    let failed: Vec<String> = outcomes.iter().filter_map(told).collect();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), outcomes.len(), failed.join("\n"));
}

/// A router that is broken on purpose fails the tests that are about what is broken.
#[test]
fn a_broken_router_is_noticed() {
    inside::namespace("a_broken_router_is_noticed", || {
        let Some(data) = Data::open() else { return };
        for (sabotage, tests) in floor::NOTICED {
            let patience = Duration::from_secs(3);
            let options = Options { sabotage: Some(*sabotage), patience, ..Options::from_environment() };
            let world = World::start(&data, options);
            for outcome in suite::run_all(&world, &data, tests.iter().map(|short| data.test(short))) {
                assert!(outcome.result.is_err(), "{sabotage:?} was not noticed by {}", outcome.test.short);
            }
        }
    });
}

/// Runs every test, or those that `WEIR_CONFORMANCE_TEST` names, and reports into `WEIR_CONFORMANCE_OUT`.
#[test]
#[ignore = "`make conformance` runs it: it takes minutes"]
fn whole_suite() {
    inside::namespace("whole_suite", || {
        let Some(data) = Data::open() else { return };
        let options = Options::from_environment();
        let only = options.test.clone();
        let world = World::start(&data, options.clone());
        let chosen = data.tests.iter().filter(|test| {
            !test.short.starts_with("Mesh") && only.as_ref().is_none_or(|only| test.short.contains(only.as_str()))
        });
        let outcomes = suite::run_all(&world, &data, chosen);
        let passed = outcomes.iter().filter(|outcome| outcome.result.is_ok()).count();
        eprintln!("{passed} of {} passed", outcomes.len());
        if let Some(out) = &options.out {
            report::write(out, &options, &outcomes);
            report::write_page(out, &data);
        }
    });
}
