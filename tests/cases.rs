//! One table of cases, `tests/cases/*.yaml`, held by every data plane: a stock Envoy and our proxy,
//! both fed by `weir server`, and a part of it by `weir up`, and by Envoy on the other ways that it can be fed.

use std::fs;

use crate::support::plane::Plane;
use crate::support::runner::run;
use crate::support::site::repository;
use crate::support::way::Way;

macro_rules! table {
    ($($plane:ident($value:expr): $($case:ident)*;)*) => {
        $(mod $plane {
            use super::*;
            $(#[test] fn $case() { run(stringify!($case), $value); })*
        })*

        /// Every case that some plane is held to.
        const LISTED: &[&str] = &[$($(stringify!($case),)*)*];
    };
}

table! {
    envoy(Plane::Envoy): hosts any_host matches weights limits tls ownership refusals grants edits typo restart bodies taken_port redirects rewrites cors backend_filters grpc listener_set backend_tls layer4 policy;
    weir(Plane::Weir): hosts any_host matches weights limits tls ownership refusals grants edits typo restart bodies taken_port redirects rewrites cors backend_filters grpc listener_set backend_tls layer4 policy last_good;
    up(Plane::Up): hosts weights tls edits typo layer4;
    envoy_world(Plane::EnvoyBy(Way::World)): hosts tls edits;
    envoy_streams(Plane::EnvoyBy(Way::Streams)): tls;
    envoy_world_streams(Plane::EnvoyBy(Way::WorldStreams)): tls;
    envoy_on_demand(Plane::EnvoyBy(Way::OnDemand)): hosts tls edits;
}

#[test]
fn every_file_is_in_the_table() {
    for entry in fs::read_dir(repository("tests/cases")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(path.is_dir() || LISTED.contains(&name.as_str()), "tests/cases/{name}.yaml is in no plane's list");
    }
}
