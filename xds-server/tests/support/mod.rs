//! Manifests to objects, for tests.

use std::sync::Arc;

use serde_json::Value;
use weir_config::kinds::{Kind, Object};
use weir_xds_server::watch::Event;

/// Reads a stream of YAML documents; `apiVersion` may be left out. Panics on what is no object: tests write good ones.
pub(crate) fn objects(text: &str) -> Vec<Arc<Object>> {
    text.split("\n---")
        .filter(|document| document.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#')))
        .map(|document| Arc::new(object(document)))
        .collect()
}

/// The events that bring objects in.
pub(crate) fn applied(objects: &[Arc<Object>]) -> Vec<Event> {
    objects.iter().cloned().map(Event::Apply).collect()
}

fn object(document: &str) -> Object {
    let mut value: Value = serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}:\n{document}"));
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    let known = Kind::ALL.iter().find(|known| known.name() == kind);
    let known = known.unwrap_or_else(|| panic!("no kind `{kind}`:\n{document}"));
    let separator = if known.group().is_empty() { "" } else { "/" };
    value["apiVersion"] = format!("{}{separator}{}", known.group(), known.versions()[0]).into();
    macro_rules! read {
        ($($kind:ident),*) => {
            match kind.as_str() {
                $(stringify!($kind) => serde_json::from_value(value).map(Object::$kind),)*
                other => panic!("no kind `{other}`:\n{document}"),
            }
        };
    }
    let read = read!(
        Namespace,
        Service,
        Secret,
        ConfigMap,
        EndpointSlice,
        GatewayClass,
        Gateway,
        ListenerSet,
        HTTPRoute,
        GRPCRoute,
        TLSRoute,
        TCPRoute,
        UDPRoute,
        ReferenceGrant,
        BackendTLSPolicy,
        Plan,
        Tenant,
        TrafficPolicy
    );
    read.unwrap_or_else(|error| panic!("{error}:\n{document}"))
}
