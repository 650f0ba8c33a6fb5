//! Objects to resources and conditions, a tenant at a time. Pure: no I/O, no async.
//!
//! [`World`] is the whole pure half of the server: events in, a [`Delta`](weir_config::model::Delta)
//! out. An event changes the facts ([`facts`]) and marks what depends on them ([`dirty`]); what is
//! marked is worked out anew ([`world`]) and compared with what it was ([`ledger`]):
//!
//! | unit | becomes | files |
//! | --- | --- | --- |
//! | a port of an edge | RouteConfigurations | `classes`, `listeners`, `listener_checks`, `listener_sets`, `client_certificates`, `addresses`, `protocol`, `sni` |
//! | a Gateway | its status, the Service that it is to have | `gateway_status`, `edge_services`, `gateway_services` |
//! | a port with what tenants' routes claim there | Listeners | `sockets` |
//! | a tenant | VirtualHosts, Clusters, status of its routes | `tenant`, `attach`, `hostnames`, `requests`, `routes`, `grpc`, `l4`, `behind`, `matches`, `precedence`, `filters`, `shares`, `paths`, `redirects`, `retries`, `cors`, `sessions`, `backends` |
//! | a TrafficPolicy | fields of routes and Clusters, its status | `policies` |
//! | a BackendTLSPolicy | `tls` of Clusters, its status | `backend_tls`, `authorities` |
//! | a border between tenants | a VirtualHost without routes | `carve` |
//! | a Service | LoadAssignments | `endpoints` |
//! | a Secret | Secret | `secrets` |
//! | all plans | the rate limits | `limits` |

mod addresses;
mod app_protocol;
pub(crate) mod attach;
mod authorities;
pub(crate) mod backend_tls;
pub(crate) mod backends;
mod behind;
mod blame;
mod carve;
mod claims;
mod classes;
mod client_certificates;
mod cors;
mod dirty;
pub(crate) mod duration;
mod edge_services;
mod endpoints;
pub(crate) mod facts;
mod filters;
pub mod gateway_services;
mod gateway_status;
mod group_plan;
pub(crate) mod grpc;
pub(crate) mod hostnames;
pub(crate) mod l4;
mod ledger;
pub(crate) mod limits;
mod listener_checks;
pub(crate) mod listener_sets;
mod listener_status;
mod listeners;
mod matches;
mod paths;
pub(crate) mod policies;
pub(crate) mod port_plan;
pub(crate) mod precedence;
mod protocol;
mod redirects;
pub(crate) mod refers;
pub(crate) mod requests;
mod retries;
pub(crate) mod routes;
mod secrets;
mod sessions;
mod shares;
mod sni;
mod sockets;
pub(crate) mod tenant;
mod tenant_status;
pub(crate) mod unit;
mod world;

pub use blame::Blamed;
pub use classes::{Classes, EdgeId};
pub use policies::Open;
pub use precedence::Step;
pub use world::{Work, World};

/// What translation must know beside the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The edges, and which Gateways each serves.
    pub classes: Classes,
    /// Namespaces of the reserved tenant `system`.
    pub system_namespaces: Vec<String>,
    /// Whether namespaces of no tenant are served as `system` (`--unassigned=system`).
    pub unassigned_is_system: bool,
    /// Whether listeners write an access log.
    pub access_log: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            classes: Classes::one("edge"),
            system_namespaces: vec!["weir-system".into()],
            unassigned_is_system: false,
            access_log: true,
        }
    }
}
