//! `/config_dump`, in the shapes of `envoy.admin.v3.ConfigDump`.

use serde_json::{Map, Value, json};
use weir_config::model::{Resource, ResourceType};
use weir_config::xds::encode;
use weir_config::xds::json::to_json;

use crate::xds::pipeline::State;

/// The live configuration, by type, with what waits and what was refused. Keys are redacted.
pub(super) fn dump(state: &State) -> Value {
    let configs: Vec<Value> = ResourceType::ALL.iter().map(|kind| of_type(*kind, state)).collect();
    json!({ "configs": configs })
}

fn of_type(kind: ResourceType, state: &State) -> Value {
    let (dump, list, _) = shape(kind);
    let active = state.active.iter().filter(|(resource, _)| resource.kind() == kind);
    let mut entries: Vec<Value> = active.map(|(resource, version)| entry(resource, version)).collect();
    let rejected = state.rejected.iter().filter(|(k, ..)| *k == kind);
    entries.extend(rejected.map(|(_, name, errors)| {
        let details: Vec<String> = errors.iter().map(ToString::to_string).collect();
        json!({ "name": name, "client_status": "NACKED", "error_state": { "details": details.join(", ") } })
    }));
    let warming = state.warming.iter().filter(|(k, _)| *k == kind);
    entries.extend(warming.map(|(_, name)| json!({ "name": name, "client_status": "REQUESTED" })));
    let mut out = Map::new();
    out.insert("@type".into(), dump.into());
    out.insert(list.into(), entries.into());
    out.into()
}

fn entry(resource: &Resource, version: &str) -> Value {
    let (_, _, field) = shape(resource.kind());
    let body = to_json(resource.kind(), &encode(resource)).unwrap_or_else(|error| error.to_string().into());
    let mut state = Map::new();
    state.insert("version_info".into(), version.into());
    state.insert(field.into(), body);
    match resource.kind() {
        ResourceType::Listener => json!({ "name": resource.name(), "active_state": state }),
        ResourceType::Secret => {
            state.insert("name".into(), resource.name().into());
            state.into()
        }
        _ => state.into(),
    }
}

/// Type URL, name of the list, name of the resource's field.
fn shape(kind: ResourceType) -> (&'static str, &'static str, &'static str) {
    match kind {
        ResourceType::Cluster => {
            ("type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamic_active_clusters", "cluster")
        }
        ResourceType::LoadAssignment => {
            ("type.googleapis.com/envoy.admin.v3.EndpointsConfigDump", "dynamic_endpoint_configs", "endpoint_config")
        }
        ResourceType::Secret => {
            ("type.googleapis.com/envoy.admin.v3.SecretsConfigDump", "dynamic_active_secrets", "secret")
        }
        ResourceType::FilterConfig => {
            ("type.googleapis.com/envoy.admin.v3.EcdsConfigDump", "ecds_filters", "ecds_filter")
        }
        ResourceType::Listener => {
            ("type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners", "listener")
        }
        ResourceType::RouteConfiguration => {
            ("type.googleapis.com/envoy.admin.v3.RoutesConfigDump", "dynamic_route_configs", "route_config")
        }
        // Envoy shows hosts within their route configuration; here they are as they came.
        ResourceType::VirtualHost => ("weir.dev/VirtualHostsConfigDump", "dynamic_virtual_hosts", "virtual_host"),
    }
}
