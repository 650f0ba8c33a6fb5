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
mod inside;
mod options;
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
    pub mod process;
    pub mod site;
    pub mod tls;
    pub mod wait;
}

use data::Data;
use options::Options;
use world::World;

/// What passed before passes still.
#[test]
fn the_floor_holds() {
    inside::namespace("the_floor_holds", || {
        let Some(data) = Data::open() else { return };
        let world = World::start(&data, Options::from_environment());
        let tests = floor::FLOOR.iter().map(|short| data.test(short));
        let outcomes = suite::run_all(&world, &data, tests);
        let failed: Vec<String> = outcomes
            .iter()
            .filter_map(|o| o.result.as_ref().err().map(|told| format!("{}: {told}", o.test.short)))
            .collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    });
}

/// Runs every test, or the one that `WEIR_CONFORMANCE_TEST` names, and says what came of it.
#[test]
#[ignore = "`make conformance` runs it: it takes minutes"]
fn whole_suite() {
    inside::namespace("whole_suite", || {
        let Some(data) = Data::open() else { return };
        let options = Options::from_environment();
        let only = options.test.clone();
        let world = World::start(&data, options);
        let chosen = data.tests.iter().filter(|test| {
            !test.short.starts_with("Mesh") && only.as_ref().is_none_or(|only| test.short.contains(only.as_str()))
        });
        let outcomes = suite::run_all(&world, &data, chosen);
        let passed = outcomes.iter().filter(|outcome| outcome.result.is_ok()).count();
        eprintln!("{passed} of {} passed", outcomes.len());
    });
}
