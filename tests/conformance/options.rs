//! What a run is asked for, by environment variables (`make conformance` sets them).

use std::path::PathBuf;
use std::time::Duration;

use crate::world::Sabotage;

/// What serves the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// `weir proxy`.
    Weir,
    /// A stock Envoy, fed by `weir server`.
    Envoy,
}

/// Whose the suite's namespaces are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// The platform's own.
    System,
    /// Each a Tenant of its own, with the hostnames that its routes need.
    Tenants,
}

/// Options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    pub edge: Edge,
    pub tenancy: Tenancy,
    /// The one test to run, by its short name.
    pub test: Option<String>,
    /// Where reports are written.
    pub out: Option<PathBuf>,
    /// How long a status or a response may take to become what is expected. The suite's limit is 30 s for
    /// responses.
    pub patience: Duration,
    /// How the router is broken, where the harness itself is what is tested.
    pub sabotage: Option<Sabotage>,
}

impl Options {
    /// As the environment says.
    pub fn from_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let one_of = |name: &str, first: &str, second: &str| match text(name).as_deref() {
            Some(value) if value == second => true,
            Some(value) if value != first => panic!("{name} is {value:?}: it must be {first} or {second}"),
            _ => false,
        };
        let seconds = text("WEIR_CONFORMANCE_PATIENCE").map_or(30, |value| value.parse().expect("a number of seconds"));
        Self {
            edge: if one_of("WEIR_CONFORMANCE_EDGE", "weir", "envoy") { Edge::Envoy } else { Edge::Weir },
            tenancy: if one_of("WEIR_CONFORMANCE_TENANCY", "system", "tenants") {
                Tenancy::Tenants
            } else {
                Tenancy::System
            },
            test: text("WEIR_CONFORMANCE_TEST"),
            out: text("WEIR_CONFORMANCE_OUT").map(PathBuf::from),
            patience: Duration::from_secs(seconds),
            sabotage: None,
        }
    }
}
