//! What is not HTTP, as another server may write it: TCP and UDP proxies, TLS on both sides.

use serde_json::{Value, json};

use super::foreign::{cluster, merge, read, refused};
use crate::model::{Network, Resource, ResourceType, Roots, ServerName, Split, SubjectName, WeightedCluster};

const TCP: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const UDP: &str = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig";
const DOWNSTREAM: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

/// A listener with one chain: a TCP proxy with these fields.
fn tcp(filter: Value, chain: Value) -> Value {
    let mut proxy = json!({"@type": TCP, "stat_prefix": "tcp", "cluster": "c"});
    merge(&mut proxy, filter);
    let mut whole = json!({"filters": [{"name": "tcp", "typed_config": proxy}]});
    merge(&mut whole, chain);
    json!({
        "name": "l",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 5432}},
        "filter_chains": [whole],
    })
}

fn udp(filter: Value, fields: Value) -> Value {
    let mut proxy = json!({"@type": UDP, "stat_prefix": "udp", "cluster": "c"});
    merge(&mut proxy, filter);
    let mut listener = json!({
        "name": "l",
        "address": {"socket_address": {"protocol": "UDP", "address": "0.0.0.0", "port_value": 53}},
        "listener_filters": [{"name": "udp", "typed_config": proxy}],
    });
    merge(&mut listener, fields);
    listener
}

fn ended(tls: Value) -> Value {
    let source = json!({"name": "s", "sds_config": {"ads": {}}});
    let mut context =
        json!({"@type": DOWNSTREAM, "common_tls_context": {"tls_certificate_sds_secret_configs": [source]}});
    merge(&mut context, tls);
    tcp(json!({}), json!({"transport_socket": {"name": "tls", "typed_config": context}}))
}

fn began(common: Value, fields: Value) -> Value {
    let mut validation = json!({
        "trusted_ca": {"inline_string": "roots"},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a.test"}}],
    });
    merge(&mut validation, common);
    let mut context =
        json!({"@type": UPSTREAM, "sni": "a.test", "common_tls_context": {"validation_context": validation}});
    merge(&mut context, fields);
    cluster(json!({"transport_socket": {"name": "tls", "typed_config": context}}))
}

fn listener(json: Value) -> crate::model::Listener {
    match read(ResourceType::Listener, json).unwrap() {
        Resource::Listener(listener) => (*listener).clone(),
        other => panic!("not a listener: {other:?}"),
    }
}

#[test]
fn a_tcp_proxy_by_weight_whose_owner_stands_at_its_chain() {
    let weights = json!({"clusters": [{"name": "a", "weight": 3}, {"name": "b", "weight": 1}]});
    let owner = json!({"filter_metadata": {"weir.dev": {"tenant": "acme"}}});
    let json = tcp(json!({"cluster": null, "weighted_clusters": weights}), json!({"metadata": owner}));
    let chain = &listener(json).chains[0];
    let Network::Tcp(proxied) = &chain.network else { panic!("not a TCP proxy") };
    assert_eq!(proxied.split, Split::Weighted(vec![WeightedCluster::new("a", 3), WeightedCluster::new("b", 1)]));
    assert_eq!(proxied.owner.as_ref().unwrap().tenant, "acme");
    assert!(!chain.passthrough);
}

#[test]
fn tls_goes_through_a_chain_that_says_so_or_that_asks_for_a_name_and_ends_none() {
    let by_protocol = tcp(json!({}), json!({"filter_chain_match": {"transport_protocol": "tls"}}));
    let by_name = tcp(json!({}), json!({"filter_chain_match": {"server_names": ["a.test"]}}));
    assert!(listener(by_protocol).chains[0].passthrough);
    let by_name = listener(by_name);
    assert!(by_name.chains[0].passthrough);
    assert_eq!(by_name.chains[0].server_names, [ServerName::Exact("a.test".into())]);
}

#[test]
fn http_is_not_read_from_tls_that_goes_through() {
    let mut json = super::foreign::listener(json!({}), json!({}));
    json["filter_chains"][0]["filter_chain_match"] = json!({"server_names": ["a.test"]});
    refused(ResourceType::Listener, json, "filter_chains[0].transport_socket");
}

#[test]
fn what_a_tcp_proxy_has_beyond_this_is_refused_at_its_place() {
    let at = |field: &str| format!("filter_chains[0].filters[0].typed_config.{field}");
    for (filter, field) in [
        (json!({"tunneling_config": {"hostname": "a.test:443"}}), "tunneling_config"),
        (json!({"max_downstream_connection_duration": "1s"}), "max_downstream_connection_duration"),
        (
            json!({"cluster": null, "weighted_clusters": {"clusters": [{"name": "a"}, {"name": "b", "weight": 1}]}}),
            "weighted_clusters.clusters[0].weight",
        ),
        (json!({"cluster": ""}), "cluster"),
    ] {
        refused(ResourceType::Listener, tcp(filter, json!({})), &at(field));
    }
}

#[test]
fn a_udp_listener_by_its_address() {
    let metadata = json!({"filter_metadata": {"weir.dev": {"tenant": "acme", "plan": "free"}}});
    let listener =
        listener(udp(json!({"idle_timeout": "5s"}), json!({"metadata": metadata, "udp_listener_config": {}})));
    let proxied = listener.udp.unwrap();
    assert_eq!(proxied.split, Split::One("c".into()));
    assert_eq!(proxied.owner.unwrap().plan.as_deref(), Some("free"));
    assert_eq!(proxied.idle_timeout, Some(std::time::Duration::from_secs(5)));
    assert!(listener.chains.is_empty());
}

#[test]
fn what_a_udp_listener_has_beyond_this_is_refused_at_its_place() {
    let chains = json!({"filter_chains": [{"filters": []}]});
    for (filter, fields, path) in [
        (json!({}), chains, "filter_chains"),
        (json!({}), json!({"listener_filters": []}), "listener_filters"),
        (json!({}), json!({"udp_listener_config": {"quic_options": {}}}), "udp_listener_config.quic_options"),
        (json!({"use_original_src_ip": true}), json!({}), "listener_filters[0].typed_config.use_original_src_ip"),
        (json!({"cluster": null, "matcher": {}}), json!({}), "listener_filters[0].typed_config.matcher"),
    ] {
        refused(ResourceType::Listener, udp(filter, fields), path);
    }
    let mut json = udp(json!({}), json!({}));
    json["address"]["socket_address"].as_object_mut().unwrap().remove("protocol");
    let errors = read(ResourceType::Listener, json).unwrap_err();
    assert!(errors[0].starts_with("listener_filters[0].typed_config:"), "{errors:?}");
}

#[test]
fn clients_certificates_are_asked_for_or_demanded() {
    let with = |required: bool, validation: Value| {
        let source = json!({"name": "s", "sds_config": {"ads": {}}});
        let common = json!({"tls_certificate_sds_secret_configs": [source], "validation_context": validation});
        ended(json!({"require_client_certificate": required, "common_tls_context": common}))
    };
    let clients = |json| listener(json).chains[0].tls.clone().unwrap().clients.unwrap();
    let demanded = clients(with(true, json!({"trusted_ca": {"inline_string": "roots"}})));
    assert_eq!((demanded.required, demanded.untrusted), (true, false));
    assert_eq!(demanded.roots, Roots::Pem("roots".into()));
    let untrusted = json!({"system_root_certs": {}, "trust_chain_verification": "ACCEPT_UNTRUSTED"});
    let asked = clients(with(false, untrusted));
    assert_eq!((asked.required, asked.untrusted, &asked.roots), (false, true, &Roots::System));
    let at = "filter_chains[0].transport_socket.typed_config";
    let without = ended(json!({"require_client_certificate": true}));
    refused(ResourceType::Listener, without, &format!("{at}.common_tls_context.validation_context"));
    let crl = with(true, json!({"trusted_ca": {"inline_string": "roots"}, "crl": {"inline_string": "x"}}));
    refused(ResourceType::Listener, crl, &format!("{at}.common_tls_context.validation_context.crl"));
}

#[test]
fn tls_of_a_cluster_is_always_checked_by_roots_and_name() {
    let tls = |json| match read(ResourceType::Cluster, json).unwrap() {
        Resource::Cluster(cluster) => *cluster.tls.clone().unwrap(),
        other => panic!("not a cluster: {other:?}"),
    };
    let inline = tls(began(json!({}), json!({})));
    assert_eq!((inline.sni.as_str(), &inline.roots), ("a.test", &Roots::Pem("roots".into())));
    assert_eq!(inline.names, [SubjectName::Dns("a.test".into())]);
    let by_sni = json!({"match_typed_subject_alt_names": null});
    assert_eq!(tls(began(by_sni.clone(), json!({"auto_sni_san_validation": true}))).names, inline.names);

    let at = "transport_socket.typed_config";
    let context = format!("{at}.common_tls_context.validation_context");
    refused(ResourceType::Cluster, began(by_sni, json!({})), &format!("{context}.match_typed_subject_alt_names"));
    refused(ResourceType::Cluster, began(json!({}), json!({"sni": ""})), &format!("{at}.sni"));
    refused(ResourceType::Cluster, began(json!({}), json!({"common_tls_context": {}})), &context);
    refused(ResourceType::Cluster, began(json!({"trusted_ca": null}), json!({})), &format!("{context}.trusted_ca"));
    let insecure = json!({"trust_chain_verification": "ACCEPT_UNTRUSTED"});
    refused(ResourceType::Cluster, began(insecure, json!({})), &format!("{context}.trust_chain_verification"));
    let email = json!({"match_typed_subject_alt_names": [{"san_type": "EMAIL", "matcher": {"exact": "a"}},
        {"san_type": "URI", "matcher": {"exact": "spiffe://a"}}]});
    refused(
        ResourceType::Cluster,
        began(email, json!({})),
        &format!("{context}.match_typed_subject_alt_names[0].san_type"),
    );
}
