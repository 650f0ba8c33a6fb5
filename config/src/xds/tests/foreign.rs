//! Resources that Weir did not write: what stands for the same is read, what is not supported is
//! refused with its place.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{
    Domain, EndpointSource, Forward, Fraction, HeaderMatch, HealthStatus, PathRewrite, Redirect, Resource,
    ResourceType, Route, RouteAction, RouteSource, ServerName, SessionPersistence, Split, StringMatch,
};
use crate::xds::json::{from_json, to_json};
use crate::xds::{Sources, Style, decode, encode_in};

pub(super) fn read(kind: ResourceType, mut json: Value) -> Result<Resource, Vec<String>> {
    json["@type"] = Value::from(kind.url());
    let (kind, bytes) = from_json(&json).unwrap();
    decode(kind, &bytes).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn manager(fields: Value) -> Value {
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {"name": "local", "virtual_hosts": []},
        "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
    });
    merge(&mut manager, fields);
    manager
}

pub(super) fn listener(http: Value, fields: Value) -> Value {
    let mut listener = json!({
        "name": "l",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 80}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager(http)}]}],
    });
    merge(&mut listener, fields);
    listener
}

fn host(route: Value, fields: Value) -> Value {
    let mut whole = json!({"match": {"prefix": "/"}, "route": {"cluster": "c"}});
    merge(&mut whole, route);
    let mut host = json!({"name": "h", "domains": ["a.test"], "routes": [whole]});
    merge(&mut host, fields);
    host
}

pub(super) fn cluster(fields: Value) -> Value {
    let mut cluster = json!({"name": "c", "type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}});
    merge(&mut cluster, fields);
    cluster
}

const CORS: &str = "routes[0].typed_per_filter_config[\"envoy.filters.http.cors\"]";
const SESSION: &str = "routes[0].typed_per_filter_config[\"envoy.filters.http.stateful_session\"].stateful_session";
const COOKIE: &str = "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState";

/// A route's fields with a policy of its own.
fn cors(fields: Value) -> Value {
    let mut policy = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy"});
    merge(&mut policy, fields);
    json!({"typed_per_filter_config": {"envoy.filters.http.cors": policy}})
}

/// A route's fields with a session by cookie.
fn session(fields: Value) -> Value {
    let state = json!({"@type": COOKIE, "cookie": {"name": "s", "ttl": "0s"}});
    let mut session = json!({"session_state": {"name": "envoy.http.stateful_session.cookie", "typed_config": state}});
    merge(&mut session, fields);
    let own = "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute";
    let own = json!({"@type": own, "stateful_session": session});
    json!({"typed_per_filter_config": {"envoy.filters.http.stateful_session": own}})
}

/// Puts fields in place of those of the same name; `null` takes one out.
pub(super) fn merge(target: &mut Value, fields: Value) {
    for (name, value) in fields.as_object().unwrap() {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            target[name] = value.clone();
        }
    }
}

/// The one problem is at this path.
#[track_caller]
pub(super) fn refused(kind: ResourceType, json: Value, path: &str) {
    let errors = read(kind, json).unwrap_err();
    assert!(errors.len() == 1 && errors[0].starts_with(&format!("{path}:")), "expected {path}, got {errors:#?}");
}

#[test]
fn a_listener_with_its_routes_in_place() {
    let Resource::Listener(listener) = read(ResourceType::Listener, listener(json!({}), json!({}))).unwrap() else {
        panic!("not a listener")
    };
    assert_eq!(listener.chains[0].name, "filter_chains[0]");
    let http = listener.chains[0].http().unwrap();
    assert!(matches!(&http.routes, RouteSource::Inline(routes) if routes.name == "local"));
    assert_eq!(http.idle_timeout, None);
}

#[test]
fn a_default_chain_takes_what_no_other_does() {
    let mut json = listener(json!({}), json!({}));
    json["default_filter_chain"] = json["filter_chains"][0].clone();
    json["filter_chains"][0]["filter_chain_match"] = json!({"server_names": ["*.A.test", "b.test"]});
    json["filter_chains"][0]["transport_socket"] = json!({"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "s", "sds_config": {"ads": {}}}]},
    }});
    let Resource::Listener(listener) = read(ResourceType::Listener, json).unwrap() else { panic!("not a listener") };
    let names = [ServerName::Suffix("a.test".into()), ServerName::Exact("b.test".into())];
    assert_eq!(listener.chains[0].server_names, names);
    assert!(listener.chains[1].server_names.is_empty());
}

#[test]
fn header_matches_in_their_old_forms() {
    let matches = json!({"match": {"path": "/", "headers": [
        {"name": ":method", "exact_match": "GET"},
        {"name": "X-A", "exact_match": "1"},
        {"name": "x-b", "prefix_match": "1"},
        {"name": "x-c", "suffix_match": "1", "invert_match": true},
        {"name": "x-d", "contains_match": "1"},
        {"name": "x-e", "safe_regex_match": {"regex": "1+"}},
        {"name": "x-f", "present_match": false},
        {"name": "x-g"},
    ]}});
    let Resource::VirtualHost(host) = read(ResourceType::VirtualHost, host(matches, json!({}))).unwrap() else {
        panic!("not a virtual host")
    };
    let one = |kind: fn(String) -> StringMatch| Some(kind("1".into()));
    let header = |name: &str, invert, value| HeaderMatch { name: name.into(), invert, value };
    let matches = &host.routes[0].matches;
    assert_eq!(matches.method.as_deref(), Some("GET"));
    assert_eq!(
        matches.headers,
        [
            header("x-a", false, one(StringMatch::Exact)),
            header("x-b", false, one(StringMatch::Prefix)),
            header("x-c", true, one(StringMatch::Suffix)),
            header("x-d", false, one(StringMatch::Contains)),
            header("x-e", false, Some(StringMatch::Regex("1+".into()))),
            header("x-f", true, None),
            header("x-g", false, None),
        ]
    );
}

#[test]
fn a_route_says_its_defaults_or_leaves_them_out() {
    let route = json!({
        "route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 90}, {"name": "b", "weight": 10}]},
                  "timeout": "0s", "priority": "DEFAULT"},
        "request_headers_to_add": [
            {"header": {"key": "X-A", "value": "100%%"}, "append": false},
            {"header": {"key": "x-nothing", "value": ""}},
        ],
    });
    let Resource::VirtualHost(host) =
        read(ResourceType::VirtualHost, host(route, json!({"domains": ["*", "*.B.test"]}))).unwrap()
    else {
        panic!("not a virtual host")
    };
    assert_eq!(host.domains, [Domain::Any, Domain::Suffix("b.test".into())]);
    let RouteAction::Forward(Forward { split: Split::Weighted(clusters), timeout, .. }) = &host.routes[0].action else {
        panic!("not weighted")
    };
    assert_eq!((clusters.len(), *timeout), (2, Some(Duration::ZERO)));
    let ops = &host.routes[0].request_headers.ops;
    assert_eq!((ops.len(), ops[0].name.as_str(), ops[0].value.as_str(), ops[0].append), (1, "x-a", "100%", false));
}

#[track_caller]
fn route_of(fields: Value) -> Route {
    match read(ResourceType::VirtualHost, host(fields, json!({}))).unwrap() {
        Resource::VirtualHost(host) => host.routes[0].clone(),
        _ => panic!("not a virtual host"),
    }
}

#[track_caller]
fn forward_of(fields: Value) -> Forward {
    match route_of(fields).action {
        RouteAction::Forward(forward) => forward,
        _ => panic!("does not forward"),
    }
}

#[test]
fn a_redirect_in_its_forms() {
    let redirect = |fields: Value| match route_of(json!({"route": null, "redirect": fields})).action {
        RouteAction::Redirect(redirect) => redirect,
        _ => panic!("not a redirect"),
    };
    let plain = Redirect { scheme: None, host: None, port: None, path: None, status: 301 };
    assert_eq!(redirect(json!({})), plain);
    let https = Redirect { scheme: Some("https".into()), ..plain.clone() };
    assert_eq!(redirect(json!({"https_redirect": true})), https);
    assert_eq!(redirect(json!({"scheme_redirect": "HTTPS"})), https);
    let whole = redirect(json!({"regex_rewrite": {"pattern": {"regex": "^/.*$"}, "substitution": "/x"}}));
    assert_eq!(whole.path, Some(PathRewrite::Full("/x".into())));
}

#[test]
fn retries_and_copies_in_their_forms() {
    let policy = json!({"retry_on": " reset ,retriable-status-codes", "retriable_status_codes": [500, 404],
        "host_selection_retry_max_attempts": 3});
    let retry = forward_of(json!({"route": {"cluster": "c", "retry_policy": policy}})).retry.unwrap();
    assert_eq!((retry.on.reset, retry.on.server_error, retry.attempts), (true, false, None));
    assert_eq!(retry.statuses, [500, 404]);
    // Without the condition the list says nothing.
    let policy = json!({"retry_on": "5xx", "retriable_status_codes": [404]});
    let retry = forward_of(json!({"route": {"cluster": "c", "retry_policy": policy}})).retry.unwrap();
    assert!(retry.on.server_error && retry.statuses.is_empty());
    let mirror = json!({"cluster": "d", "disable_shadow_host_suffix_append": true,
        "runtime_fraction": {"default_value": {"numerator": 5}, "runtime_key": "x"}});
    let forward = forward_of(json!({"route": {"cluster": "c", "request_mirror_policies": [mirror]}}));
    assert_eq!(forward.mirrors[0].fraction, Some(Fraction { numerator: 5, denominator: 100 }));
}

#[test]
fn what_a_filter_does_for_one_route() {
    let route = route_of(cors(json!({"allow_methods": "GET,  POST", "max_age": "5",
        "filter_enabled": {"default_value": {"numerator": 100}}})));
    let policy = route.cors.unwrap();
    assert_eq!((policy.methods.join("|"), policy.max_age), ("GET|POST".to_owned(), Some(5)));
    let cookie = SessionPersistence::Cookie { name: "s".into(), path: String::new(), ttl: Duration::ZERO };
    assert_eq!(route_of(session(json!({}))).session.as_deref(), Some(&cookie));
    let off = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
        "disabled": true});
    assert_eq!(route_of(json!({"typed_per_filter_config": {"s": off}})).session, None);
}

#[test]
fn a_static_cluster() {
    let endpoint = json!({"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}});
    let json = json!({"name": "c", "lb_policy": "LEAST_REQUEST", "load_assignment": {"cluster_name": "c",
        "endpoints": [{"lb_endpoints": [{"endpoint": endpoint, "health_status": "TIMEOUT"}]}]}});
    let Resource::Cluster(cluster) = read(ResourceType::Cluster, json).unwrap() else { panic!("not a cluster") };
    let EndpointSource::Static(assignment) = &cluster.endpoints else { panic!("not static") };
    let endpoint = &assignment.localities[0].endpoints[0];
    assert_eq!((endpoint.weight, endpoint.health), (1, HealthStatus::Unhealthy));
}

#[test]
fn what_a_listener_cannot_have() {
    let http = "filter_chains[0].filters[0].typed_config";
    let cases = [
        (json!({"request_timeout": "5s"}), format!("{http}.request_timeout")),
        (json!({"merge_slashes": true}), format!("{http}.merge_slashes")),
        (json!({"strip_any_host_port": true}), format!("{http}.strip_port_mode")),
        (json!({"codec_type": "HTTP2"}), format!("{http}.codec_type")),
        (json!({"upgrade_configs": [{"upgrade_type": "CONNECT"}]}), format!("{http}.upgrade_configs[0]")),
        (json!({"http_filters": []}), format!("{http}.http_filters")),
        (
            json!({"common_http_protocol_options": {"max_headers_count": 5}}),
            format!("{http}.common_http_protocol_options.max_headers_count"),
        ),
    ];
    for (fields, path) in cases {
        refused(ResourceType::Listener, listener(fields, json!({})), &path);
    }
    let fault = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"});
    let mut json = listener(json!({}), json!({}));
    let filters = &mut json["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
    filters.as_array_mut().unwrap().insert(0, json!({"name": "fault", "typed_config": fault}));
    let errors = read(ResourceType::Listener, json).unwrap_err();
    assert!(errors[0].starts_with(&format!("{http}.http_filters[0].typed_config: ")), "{errors:?}");
    assert!(errors[0].contains("HTTPFault") && errors[0].contains("filters are"), "{errors:?}");

    let pipe = json!({"address": {"pipe": {"path": "/x"}}});
    refused(ResourceType::Listener, listener(json!({}), pipe), "address.pipe");
    refused(ResourceType::Listener, listener(json!({}), json!({"filter_chains": []})), "filter_chains");
    let proxy =
        json!({"@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"});
    let filter = json!({"listener_filters": [{"name": "p", "typed_config": proxy}]});
    refused(ResourceType::Listener, listener(json!({}), filter), "listener_filters[0].typed_config");
}

#[test]
fn what_a_virtual_host_cannot_have() {
    let add = |option: Value| json!({"request_headers_to_add": [option]});
    let cases = [
        (json!({"route": {"cluster_header": "x"}}), "routes[0].route.cluster_header"),
        (
            json!({"route": {"cluster": "c", "retry_policy": {"retry_on": "5xx,envoy-ratelimited"}}}),
            "routes[0].route.retry_policy.retry_on",
        ),
        (
            json!({"route": {"cluster": "c", "retry_policy": {"retry_on": "5xx", "retry_back_off": {}}}}),
            "routes[0].route.retry_policy.retry_back_off.base_interval",
        ),
        (
            json!({"route": {"cluster": "c", "retry_policy": {"retriable_headers": [{"name": "x"}]}}}),
            "routes[0].route.retry_policy.retriable_headers",
        ),
        (json!({"route": {"cluster": "c", "auto_host_rewrite": true}}), "routes[0].route.auto_host_rewrite"),
        (json!({"route": {"cluster": "c", "host_rewrite_literal": "a b"}}), "routes[0].route.host_rewrite_literal"),
        (json!({"route": {"cluster": "c", "prefix_rewrite": "a"}}), "routes[0].route.prefix_rewrite"),
        (
            json!({"route": {"cluster": "c", "regex_rewrite": {"pattern": {"regex": "/(.*)"}, "substitution": "/\\2"}}}),
            "routes[0].route.regex_rewrite.substitution",
        ),
        (
            json!({"route": {"cluster": "c", "regex_rewrite": {"pattern": {"regex": "("}, "substitution": "/"}}}),
            "routes[0].route.regex_rewrite.pattern.regex",
        ),
        (
            json!({"route": {"cluster": "c", "request_mirror_policies": [{"cluster": "d"}]}}),
            "routes[0].route.request_mirror_policies[0].disable_shadow_host_suffix_append",
        ),
        (
            json!({"route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 1,
                "request_headers_to_remove": ["host"]}]}}}),
            "routes[0].route.weighted_clusters.clusters[0].request_headers_to_remove[0]",
        ),
        (
            json!({"route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 0}]}}}),
            "routes[0].route.weighted_clusters.clusters",
        ),
        (json!({"route": null, "redirect": {"strip_query": true}}), "routes[0].redirect.strip_query"),
        (json!({"route": null, "redirect": {"scheme_redirect": "ftp"}}), "routes[0].redirect.scheme_redirect"),
        (json!({"route": null, "redirect": {"host_redirect": "a:80"}}), "routes[0].redirect.host_redirect"),
        (json!({"route": null, "redirect": {"path_redirect": "/a#b"}}), "routes[0].redirect.path_redirect"),
        (json!({"match": {"prefix": "/", "case_sensitive": false}}), "routes[0].match.case_sensitive"),
        (json!({"match": {"safe_regex": {"regex": "("}}}), "routes[0].match.safe_regex.regex"),
        (json!({"match": {"safe_regex": {"regex": "a)|(b"}}}), "routes[0].match.safe_regex.regex"),
        (json!({"match": {"safe_regex": {"regex": "(a{1000}){1000}"}}}), "routes[0].match.safe_regex.regex"),
        (json!({"match": {"path_separated_prefix": "/"}}), "routes[0].match.path_separated_prefix"),
        (
            json!({"match": {"prefix": "/", "headers": [{"name": ":path", "exact_match": "/"}]}}),
            "routes[0].match.headers[0]",
        ),
        (add(json!({"header": {"key": "a", "value": "%REQ(b)%"}})), "routes[0].request_headers_to_add[0].header.value"),
        (add(json!({"header": {"key": "host", "value": "b"}})), "routes[0].request_headers_to_add[0].header.key"),
        (
            add(json!({"header": {"key": "a", "value": "b"}, "append_action": "ADD_IF_ABSENT"})),
            "routes[0].request_headers_to_add[0].append_action",
        ),
        (
            json!({"metadata": {"filter_metadata": {"weir.dev": {"plan": "p"}}}}),
            "routes[0].metadata.filter_metadata[\"weir.dev\"].tenant",
        ),
        (
            json!({"typed_per_filter_config": {"x": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}}}),
            "routes[0].typed_per_filter_config[\"x\"]",
        ),
        (cors(json!({"forward_not_matching_preflights": false})), &format!("{CORS}.forward_not_matching_preflights")),
        (cors(json!({"max_age": "1h"})), &format!("{CORS}.max_age")),
        (cors(json!({"filter_enabled": {"default_value": {"numerator": 1}}})), &format!("{CORS}.filter_enabled")),
        (cors(json!({"allow_methods": "GET, a b"})), &format!("{CORS}.allow_methods")),
        (session(json!({"strict": true})), &format!("{SESSION}.strict")),
        (
            session(
                json!({"session_state": {"name": "c", "typed_config": {"@type": COOKIE, "cookie": {"name": "a b"}}}}),
            ),
            &format!("{SESSION}.session_state.typed_config.cookie.name"),
        ),
    ];
    for (route, path) in cases {
        refused(ResourceType::VirtualHost, host(route, json!({})), path);
    }
    for domain in ["a.test:80", "a.*", "*a.test", "", "a b"] {
        refused(ResourceType::VirtualHost, host(json!({}), json!({"domains": [domain]})), "domains[0]");
    }
    let add = json!({"response_headers_to_add": [{"header": {"key": "a", "value": "b"}}]});
    refused(ResourceType::VirtualHost, host(json!({}), add), "response_headers_to_add");
}

#[test]
fn what_a_cluster_cannot_have() {
    let cases = [
        (json!({"type": "STRICT_DNS"}), "type"),
        (json!({"lb_policy": "RING_HASH"}), "lb_policy"),
        (json!({"outlier_detection": {}}), "outlier_detection"),
        (json!({"eds_cluster_config": {"eds_config": {"path": "/x"}}}), "eds_cluster_config.eds_config"),
        (json!({"connect_timeout": "0s"}), "connect_timeout"),
        (
            json!({"circuit_breakers": {"thresholds": [{"max_connections": 9}]}}),
            "circuit_breakers.thresholds[0].max_connections",
        ),
        (
            json!({"circuit_breakers": {"thresholds": [{"priority": "HIGH"}]}}),
            "circuit_breakers.thresholds[0].priority",
        ),
        (
            json!({"circuit_breakers": {"thresholds": [{"retry_budget": {"budget_percent": {"value": 101}}}]}}),
            "circuit_breakers.thresholds[0].retry_budget.budget_percent",
        ),
    ];
    for (fields, path) in cases {
        refused(ResourceType::Cluster, cluster(fields), path);
    }
}

#[test]
fn a_key_may_come_as_bytes_and_not_as_a_file() {
    let secret = |key: Value| {
        json!({"name": "s", "tls_certificate":
        {"certificate_chain": {"inline_string": "CHAIN"}, "private_key": key}})
    };
    let Resource::Secret(read) = read(ResourceType::Secret, secret(json!({"inline_bytes": "S0VZ"}))).unwrap() else {
        panic!("not a secret")
    };
    assert_eq!(read.certificate.key.0, "KEY");
    refused(ResourceType::Secret, secret(json!({"filename": "/k"})), "tls_certificate.private_key.filename");
    refused(ResourceType::Secret, json!({"name": "s", "generic_secret": {}}), "generic_secret");
}

/// `filter_state` of a match and `flush_timeout` of a route are newer than the crate that reads them.
#[test]
fn what_the_reading_crate_drops_is_refused_too() {
    let state = json!({"match": {"prefix": "/", "filter_state": [{"key": "k", "string_match": {"exact": "v"}}]}});
    refused(ResourceType::VirtualHost, host(state, json!({})), "routes[0].match.filter_state");
    let flush = json!({"route": {"cluster": "c", "flush_timeout": "1s"}});
    refused(ResourceType::VirtualHost, host(flush, json!({})), "routes[0].route.flush_timeout");

    let (kind, bytes) = from_json(&json!({"@type": ResourceType::Cluster.url(), "name": "c"})).unwrap();
    // Field 9999, a varint, which no definition has.
    let newer = [bytes.as_ref(), &[0xf8, 0xf0, 0x04, 0x01]].concat();
    let errors = decode(kind, &newer).unwrap_err();
    assert!(errors.iter().any(|error| error.to_string().contains("9999")), "{errors:?}");
}

#[test]
fn an_error_is_short_and_there_are_not_many() {
    let domains = vec!["*".repeat(100_000); 100];
    let errors = read(ResourceType::VirtualHost, host(json!({}), json!({"domains": domains}))).unwrap_err();
    assert!(errors.len() == 32 && errors.iter().all(|error| error.len() < 1_100), "{}", errors.len());
}

/// A control plane that wants exchanges reported must hear that nobody reports them.
#[test]
fn a_log_that_goes_elsewhere_is_refused() {
    let kind = "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig";
    let server = json!({"envoy_grpc": {"cluster_name": "c"}});
    let common = json!({"log_name": "n", "grpc_service": server});
    let log = json!({"name": "als", "typed_config": {"@type": kind, "common_config": common}});
    let listener = listener(json!({"access_log": [log]}), json!({}));
    let place = "filter_chains[0].filters[0].typed_config.access_log[0].typed_config";
    refused(ResourceType::Listener, listener, place);
}

#[test]
fn the_form_of_a_listener_that_reports_usage_is_for_envoys_alone() {
    let plain = read(ResourceType::Listener, listener(json!({"access_log": [stdout()]}), json!({}))).unwrap();
    let style = Style { reporting: true, ..Style::default() };
    let bytes = encode_in(&plain, style);
    assert_eq!(bytes, encode_in(&plain.clone(), style), "equal values are equal bytes");
    let errors = decode(ResourceType::Listener, &bytes).unwrap_err();
    assert!(errors.iter().all(|error| error.to_string().contains("access_log[")), "{errors:?}");

    let json = to_json(ResourceType::Listener, &bytes).unwrap();
    let manager = &json["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(manager["access_log_options"]["access_log_flush_interval"], "10s");
    let [lines, report] = [0, 1].map(|n| &manager["access_log"][n]);
    assert_eq!(lines["filter"]["log_type_filter"]["exclude"], true, "a line an exchange: {lines}");
    let common = &report["typed_config"]["common_config"];
    assert_eq!(common["grpc_service"]["envoy_grpc"]["cluster_name"], "weir-xds");
    for tag in common["custom_tags"].as_array().unwrap() {
        assert!(!tag["value"].as_str().unwrap().contains("REQ("), "a client says what is in its headers: {tag}");
    }
}

/// Every reference goes to the server's own cluster, as the client's stream does.
#[test]
fn separate_streams_are_named_in_every_reference() {
    let ads = json!({"ads": {}});
    let limit = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
    let limit = json!({"name": "plan", "config_discovery": {"config_source": ads, "type_urls": [limit]}});
    let router = manager(json!({}))["http_filters"][0].clone();
    let routes = json!({"route_config_name": "rc", "config_source": ads});
    let http = json!({"route_config": null, "rds": routes, "http_filters": [limit, router]});
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "s", "sds_config": ads}]},
    });
    let mut json = listener(http, json!({}));
    json["filter_chains"][0]["transport_socket"] = json!({"name": "tls", "typed_config": tls});
    let plain = read(ResourceType::Listener, json).unwrap();
    for (sources, api_type) in [(Sources::Delta, "DELTA_GRPC"), (Sources::World, "GRPC")] {
        let style = Style { sources, on_demand: true, ..Style::default() };
        let json = to_json(ResourceType::Listener, &encode_in(&plain, style)).unwrap();
        let chain = &json["filter_chains"][0];
        let manager = &chain["filters"][0]["typed_config"];
        let tls = &chain["transport_socket"]["typed_config"]["common_tls_context"];
        assert_eq!(manager["http_filters"][0]["name"], "envoy.filters.http.on_demand");
        let sources = [
            &manager["rds"]["config_source"],
            &manager["http_filters"][1]["config_discovery"]["config_source"],
            &tls["tls_certificate_sds_secret_configs"][0]["sds_config"],
        ];
        for source in sources.map(|source| &source["api_config_source"]) {
            assert_eq!(source["api_type"], api_type, "{json}");
            assert_eq!(source["grpc_services"][0]["envoy_grpc"]["cluster_name"], "weir-xds");
        }
    }
}

fn stdout() -> Value {
    let kind = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
    json!({"name": "stdout", "typed_config": {"@type": kind}})
}
