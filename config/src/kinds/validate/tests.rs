//! What is refused, as `field: problem`: each case changes one thing of an object in order.

use serde_json::{Value, json};

use crate::kinds::manifest::{Content, documents};

mod filters;

/// What is wrong with the object when `change` is made to it; the field paths alone.
fn refused(object: &Value, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut object = object.clone();
    change(&mut object);
    let text = object.to_string();
    match documents(&text).remove(0).content {
        Content::Bad(problems) => problems.into_iter().map(|problem| problem.error.field).collect(),
        Content::Object(_) => Vec::new(),
        Content::Ignored => panic!("{text} is not read"),
    }
}

/// Sets `pointer` (RFC 6901) to each value and expects the field at `path` to be refused.
fn each_refused(object: &Value, pointer: &str, path: &str, values: &[Value]) {
    assert_eq!(refused(object, |_| ()), [""; 0], "the object itself is right");
    for value in values {
        let fields = refused(object, |object| set(object, pointer, value.clone()));
        assert_eq!(fields, [path], "{pointer} = {value}");
    }
}

/// Sets `pointer` to each value and expects that nothing is refused.
fn each_accepted(object: &Value, pointer: &str, values: &[Value]) {
    for value in values {
        let fields = refused(object, |object| set(object, pointer, value.clone()));
        assert_eq!(fields, [""; 0], "{pointer} = {value}");
    }
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    match parent {
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
        parent => parent[field] = value,
    }
}

fn tenant() -> Value {
    json!({ "apiVersion": "weir.dev/v1alpha1", "kind": "Tenant", "metadata": { "name": "acme" },
        "spec": { "plan": "pro", "hostnames": ["shop.acme.com", "*.acme.example"], "limits": { "requests": { "perSecond": 5 } } } })
}

fn gateway() -> Value {
    json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": { "name": "edge" },
        "spec": { "gatewayClassName": "weir", "listeners": [
            { "name": "http", "port": 80, "protocol": "HTTP" },
            { "name": "https", "port": 443, "protocol": "HTTPS", "hostname": "*.acme.com",
              "tls": { "certificateRefs": [{ "name": "cert" }] } } ] } })
}

fn route() -> Value {
    json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": "front" },
        "spec": { "parentRefs": [{ "name": "edge" }], "hostnames": ["shop.acme.com"], "rules": [{
            "matches": [{ "path": { "type": "PathPrefix", "value": "/a" }, "headers": [{ "name": "x-a", "value": "1" }] }],
            "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": { "set": [{ "name": "x", "value": "y" }] } }],
            "timeouts": { "request": "10s" },
            "backendRefs": [{ "name": "shop", "port": 80, "weight": 90 }] }] } })
}

#[test]
fn metadata() {
    each_refused(
        &tenant(),
        "/metadata/name",
        "metadata.name",
        &[
            json!(""),
            json!("A"),
            json!("a.b"),
            json!("-a"),
            json!("a_b"),
            json!("a/b"),
            json!("system"),
            json!("a".repeat(64)),
        ],
    );
    each_accepted(&route(), "/metadata/name", &[json!("a.b"), json!("1"), json!("a".repeat(63))]);
    each_refused(&route(), "/metadata/namespace", "metadata.namespace", &[json!("a.b"), json!("A"), json!("a/b")]);
}

#[test]
fn tenants_and_plans() {
    let names = [
        "Shop.acme.com",
        "shop.acme.com:80",
        "acme.*",
        "*.*.a",
        "*a.com",
        "a..b",
        "",
        ".",
        "*.",
        "1.2.3.4",
        "a b",
        "bücher.example",
    ];
    each_refused(&tenant(), "/spec/hostnames/0", "spec.hostnames[0]", &names.map(Value::from));
    each_accepted(&tenant(), "/spec/hostnames/0", &["*", "*.com", "a", "xn--bcher-kva.example"].map(Value::from));
    each_refused(&tenant(), "/spec/hostnames/0", "spec.hostnames[1]", &[json!("*.acme.example")]);
    each_refused(&tenant(), "/spec/plan", "spec.plan", &[json!(""), json!("Pro"), json!(null)]);
    each_refused(
        &tenant(),
        "/spec/limits/requests/perSecond",
        "spec.limits.requests.perSecond",
        &[json!(0), json!(-1), json!(1.5), json!(1_u64 << 32)],
    );
    each_refused(&tenant(), "/spec/limits/requests/burst", "spec.limits.requests.burst", &[json!(0)]);
    each_refused(
        &tenant(),
        "/spec/limits/monthlyBytes",
        "spec.limits.monthlyBytes",
        &[json!("10mb"), json!(-1), json!("20E"), json!(true)],
    );
    each_refused(
        &tenant(),
        "/spec/limits/bandwidth",
        "spec.limits.bandwidth.bytesPerSecond",
        &[json!({}), json!({"bytesPerSecond": 0})],
    );
    each_refused(&tenant(), "/spec/limits/weight", "spec.limits.weight", &[json!(0)]);
    each_refused(
        &tenant(),
        "/spec/namespaceSelector",
        "spec.namespaceSelector.matchExpressions[0].values",
        &[json!({"matchExpressions": [{"key": "a", "operator": "In"}]})],
    );
    each_refused(
        &tenant(),
        "/spec/namespaceSelector",
        "spec.namespaceSelector.matchExpressions[0].operator",
        &[json!({"matchExpressions": [{"key": "a", "operator": "Is"}]})],
    );
}

#[test]
fn gateways() {
    let at = "spec.listeners[0]";
    each_refused(&gateway(), "/spec/listeners/0/name", "spec.listeners[0].name", &[json!(""), json!("A")]);
    each_refused(&gateway(), "/spec/listeners/0/name", "spec.listeners[1].name", &[json!("https")]);
    each_refused(
        &gateway(),
        "/spec/listeners/0/port",
        "spec.listeners[0].port",
        &[json!(0), json!(65536), json!("80")],
    );
    each_refused(
        &gateway(),
        "/spec/listeners/0/hostname",
        "spec.listeners[0].hostname",
        &[json!(""), json!("*"), json!("a:80"), json!("1.1.1.1")],
    );
    each_refused(&gateway(), "/spec/listeners/0/protocol", "spec.listeners[0].protocol", &[json!(""), json!("HTTP 2")]);
    each_refused(
        &gateway(),
        "/spec/listeners/0/tls",
        "spec.listeners[0].tls",
        &[json!({"certificateRefs": [{"name": "a"}]})],
    );
    each_refused(&gateway(), "/spec/listeners/1/tls", "spec.listeners[1].tls.certificateRefs", &[json!({})]);
    each_refused(
        &gateway(),
        "/spec/listeners/1/tls/mode",
        "spec.listeners[1].tls.mode",
        &[json!("Passthrough"), json!("None")],
    );
    each_refused(&gateway(), "/spec/listeners/0/protocol", &format!("{at}.tls"), &[json!("TLS")]);
    each_accepted(&gateway(), "/spec/listeners/0/protocol", &[json!("TCP"), json!("example.com/quic")]);
    let twin = json!({ "name": "other", "port": 80, "protocol": "HTTP" });
    each_refused(&gateway(), "/spec/listeners/1", "spec.listeners[1]", &[twin]);
    each_refused(&gateway(), "/spec/listeners", "spec.listeners", &[json!([]), json!(null)]);
    each_refused(
        &gateway(),
        "/spec/addresses",
        "spec.addresses[0].value",
        &[json!([{"value": "example"}]), json!([{"type": "Hostname", "value": "A"}])],
    );
    each_refused(
        &gateway(),
        "/spec/addresses",
        "spec.addresses[1]",
        &[json!([{"value": "::1"}, {"type": "IPAddress", "value": "::1"}])],
    );
    each_refused(
        &gateway(),
        "/spec/listeners/0/allowedRoutes",
        "spec.listeners[0].allowedRoutes.namespaces.from",
        &[json!({"namespaces": {"from": "Everywhere"}})],
    );
    // Answered by a condition, not refused.
    each_accepted(
        &gateway(),
        "/spec/listeners/1/tls/certificateRefs",
        &[json!([{"name": "absent", "namespace": "other"}])],
    );
    each_accepted(&gateway(), "/spec/gatewayClassName", &[json!("unknown")]);
}

#[test]
fn paths() {
    let wrong = [
        "", "a", "//", "/a//b", "/a/./b", "/a/../b", "/a%2fb", "/a%2Fb", "/a#b", "/a/..", "/a/.", "/a b", "/ä", "/%zz",
        "/%2", "/a?b",
    ];
    each_refused(
        &route(),
        "/spec/rules/0/matches/0/path/value",
        "spec.rules[0].matches[0].path.value",
        &wrong.map(Value::from),
    );
    each_refused(
        &route(),
        "/spec/rules/0/matches/0/path/value",
        "spec.rules[0].matches[0].path.value",
        &[json!(format!("/{}", "a".repeat(1024)))],
    );
    each_accepted(
        &route(),
        "/spec/rules/0/matches/0/path/value",
        &["/", "/a/", "/a...b", "/%20", "/.well-known", "/a;b=c", "/~x@y"].map(Value::from),
    );
    each_refused(
        &route(),
        "/spec/rules/0/matches/0/path/type",
        "spec.rules[0].matches[0].path.type",
        &[json!("Prefix")],
    );
    let regex = |value: &str| json!({ "type": "RegularExpression", "value": value });
    each_refused(
        &route(),
        "/spec/rules/0/matches/0/path",
        "spec.rules[0].matches[0].path.value",
        &[regex("("), regex("a{1000}{1000}{1000}"), regex("(?=a)")],
    );
    each_accepted(&route(), "/spec/rules/0/matches/0/path", &[regex("/a//b/.*"), json!({})]);
}

#[test]
fn matches_and_backends() {
    let rule = "spec.rules[0]";
    each_refused(
        &route(),
        "/spec/rules/0/matches/0/headers/0/name",
        "spec.rules[0].matches[0].headers[0].name",
        &[json!(""), json!("a b"), json!("a:"), json!("ä")],
    );
    each_refused(
        &route(),
        "/spec/rules/0/matches/0/headers/0/value",
        "spec.rules[0].matches[0].headers[0].value",
        &[json!(""), json!("a".repeat(4097))],
    );
    each_refused(
        &route(),
        "/spec/rules/0/matches/0/method",
        "spec.rules[0].matches[0].method",
        &[json!("get"), json!("PURGE")],
    );
    let twice = json!([{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]);
    each_refused(
        &route(),
        "/spec/rules/0/matches/0/queryParams",
        "spec.rules[0].matches[0].queryParams[1].name",
        &[twice],
    );
    each_refused(
        &route(),
        "/spec/rules/0/backendRefs/0/weight",
        "spec.rules[0].backendRefs[0].weight",
        &[json!(1_000_001), json!(-1), json!("1")],
    );
    each_accepted(&route(), "/spec/rules/0/backendRefs/0/weight", &[json!(0), json!(1_000_000)]);
    each_refused(
        &route(),
        "/spec/rules/0/backendRefs/0/port",
        "spec.rules[0].backendRefs[0].port",
        &[json!(null), json!(0), json!(65536)],
    );
    each_refused(
        &route(),
        "/spec/hostnames/0",
        "spec.hostnames[0]",
        &[json!("*"), json!("A.b"), json!("a.b:1"), json!("1.1.1.1")],
    );
    each_refused(
        &route(),
        "/spec/rules/0/timeouts/request",
        &format!("{rule}.timeouts.request"),
        &[json!("10"), json!("1.5s"), json!("1d"), json!(""), json!("1h1h1h1h1h"), json!("100000s")],
    );
    each_refused(
        &route(),
        "/spec/rules/0/timeouts/backendRequest",
        "spec.rules[0].timeouts.backendRequest",
        &[json!("11s"), json!("1m")],
    );
    each_accepted(&route(), "/spec/rules/0/timeouts/backendRequest", &[json!("10s"), json!("500ms"), json!("0s")]);
    each_refused(&route(), "/spec/rules", "spec.rules", &[json!([]), json!(vec![json!({}); 17])]);
    each_refused(&route(), "/spec/parentRefs", "spec.parentRefs[1]", &[json!([{"name": "a"}, {"name": "a"}])]);
}

#[test]
fn filters() {
    let at = "spec.rules[0].filters[0]";
    let filter = "/spec/rules/0/filters/0";
    each_refused(&route(), "/spec/rules/0/filters/0/type", "spec.rules[0].filters[0].type", &[json!("Nothing")]);
    each_refused(
        &route(),
        filter,
        &format!("{at}.requestHeaderModifier"),
        &[json!({ "type": "RequestHeaderModifier" })],
    );
    each_refused(&route(), filter, &format!("{at}.requestMirror"), &[json!({ "type": "RequestMirror" })]);
    let both = json!({ "type": "URLRewrite", "urlRewrite": {}, "requestMirror": { "backendRef": { "name": "a", "port": 80 } } });
    each_refused(&route(), filter, &format!("{at}.requestMirror"), &[both]);
    let set = |name: &str, value: &str| json!({ "type": "ResponseHeaderModifier", "responseHeaderModifier": { "add": [{ "name": name, "value": value }] } });
    each_refused(
        &route(),
        filter,
        &format!("{at}.responseHeaderModifier.add[0].value"),
        &[set("a", "b\r\nc"), set("a", "")],
    );
    each_refused(
        &route(),
        filter,
        &format!("{at}.responseHeaderModifier.add[0].name"),
        &[set("a\n", "b"), set("", "b")],
    );
    let redirect = json!({ "type": "RequestRedirect", "requestRedirect": {} });
    each_refused(&route(), filter, "spec.rules[0].backendRefs", &[redirect]);
    let rewrite = json!({ "type": "URLRewrite", "urlRewrite": { "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/" } } });
    each_accepted(
        &route(),
        filter,
        &[
            rewrite.clone(),
            json!({ "type": "ExtensionRef", "extensionRef": { "group": "a.dev", "kind": "A", "name": "a" } }),
        ],
    );
    let mut exact = route();
    exact["spec"]["rules"][0]["matches"][0]["path"]["type"] = json!("Exact");
    each_refused(&exact, filter, &format!("{at}.urlRewrite.path"), std::slice::from_ref(&rewrite));
    each_refused(&route(), "/spec/rules/0/filters", "spec.rules[0].filters[1].type", &[json!([rewrite, rewrite])]);
}

#[test]
fn plain_kinds_and_grants() {
    let slice = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": { "name": "a" },
        "addressType": "IPv4", "endpoints": [{ "addresses": ["10.0.0.1"] }], "ports": [{ "port": 80 }] });
    each_refused(&slice, "/addressType", "addressType", &[json!(null), json!("IP")]);
    each_refused(
        &slice,
        "/endpoints/0/addresses/0",
        "endpoints[0].addresses[0]",
        &[json!("::1"), json!("localhost"), json!("127.1")],
    );
    each_refused(&slice, "/endpoints/0/addresses", "endpoints[0].addresses", &[json!([]), json!(null)]);
    each_refused(&slice, "/ports/0/port", "ports[0].port", &[json!(0), json!(70000)]);
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "a" }, "spec": { "ports": [{ "port": 80 }] } });
    each_refused(&service, "/spec/ports/0/port", "spec.ports[0].port", &[json!(0), json!(null), json!(65536)]);
    each_refused(
        &service,
        "/spec/ports",
        "spec.ports[1].name",
        &[json!([{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]), json!([{"port": 1, "name": "a"}, {"port": 2}])],
    );
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "a" }, "type": "kubernetes.io/tls", "data": { "tls.crt": "", "tls.key": "" } });
    each_refused(&secret, "/data", "data[tls.key]", &[json!({ "tls.crt": "" })]);
    let class = json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": { "name": "weir" }, "spec": { "controllerName": "weir.dev/gateway-controller" } });
    each_refused(
        &class,
        "/spec/controllerName",
        "spec.controllerName",
        &[json!("weir"), json!("a/"), json!("/a"), json!(null)],
    );
    let grant = json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "ReferenceGrant", "metadata": { "name": "a" },
        "spec": { "from": [{ "group": "", "kind": "Service", "namespace": "a" }], "to": [{ "group": "", "kind": "Secret" }] } });
    each_refused(&grant, "/spec/from", "spec.from", &[json!([]), json!(null)]);
    each_refused(&grant, "/spec/from/0/namespace", "spec.from[0].namespace", &[json!(null), json!(""), json!("*")]);
    each_refused(&grant, "/spec/to/0/name", "spec.to[0].name", &[json!("")]);
}

fn grpc() -> Value {
    json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": { "name": "api" },
        "spec": { "parentRefs": [{ "name": "edge" }], "hostnames": ["api.acme.com"], "rules": [{
            "matches": [{ "method": { "service": "acme.Shop", "method": "Buy" }, "headers": [{ "name": "x-a", "value": "1" }] }],
            "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": { "remove": ["x"] } }],
            "backendRefs": [{ "name": "shop", "port": 80, "weight": 90 }] }] } })
}

fn l4(kind: &str) -> Value {
    json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": { "name": "db" },
        "spec": { "parentRefs": [{ "name": "edge" }], "rules": [{ "backendRefs": [{ "name": "db", "port": 5432 }] }] } })
}

#[test]
fn grpc_routes() {
    let method = "/spec/rules/0/matches/0/method";
    let field = |name: &str| format!("spec.rules[0].matches[0].method{name}");
    each_refused(&grpc(), method, &field(""), &[json!({}), json!({ "service": "", "method": "" })]);
    each_refused(
        &grpc(),
        &format!("{method}/service"),
        &field(".service"),
        &[json!("a b"), json!("a..b"), json!("a.1")],
    );
    each_refused(
        &grpc(),
        &format!("{method}/method"),
        &field(".method"),
        &[json!("a.b"), json!("1"), json!("x".repeat(1025))],
    );
    each_refused(&grpc(), &format!("{method}/type"), &field(".type"), &[json!("Prefix")]);
    each_refused(&grpc(), method, &field(".service"), &[json!({ "type": "RegularExpression", "service": "[" })]);
    each_accepted(
        &grpc(),
        method,
        &[
            json!({ "service": ".acme.v1.Shop_2" }),
            json!({ "method": "_Buy" }),
            json!({ "type": "RegularExpression", "service": "acme[.].*", "method": "Get.*" }),
        ],
    );
    let redirect = json!([{ "type": "RequestRedirect", "requestRedirect": { "port": 1 } }]);
    each_refused(&grpc(), "/spec/rules/0/filters", "spec.rules[0].filters[0].type", &[redirect]);
    each_refused(&grpc(), "/spec/hostnames", "spec.hostnames[0]", &[json!(["1.2.3.4"])]);
    each_refused(
        &grpc(),
        "/spec/rules/0/backendRefs/0",
        "spec.rules[0].backendRefs[0].port",
        &[json!({ "name": "a" })],
    );
}

#[test]
fn routes_of_connections() {
    for kind in ["TCPRoute", "UDPRoute"] {
        each_refused(&l4(kind), "/spec/rules", "spec.rules", &[json!([])]);
        each_refused(&l4(kind), "/spec/rules/0/backendRefs", "spec.rules[0].backendRefs", &[json!([])]);
        let backend = "/spec/rules/0/backendRefs/0";
        each_refused(
            &l4(kind),
            &format!("{backend}/weight"),
            "spec.rules[0].backendRefs[0].weight",
            &[json!(1_000_001)],
        );
        each_refused(&l4(kind), backend, "spec.rules[0].backendRefs[0].port", &[json!({ "name": "a" })]);
    }
    let mut tls = l4("TLSRoute");
    assert_eq!(refused(&tls, |_| ()), ["spec.hostnames"]);
    tls["spec"]["hostnames"] = json!(["db.acme.com"]);
    each_refused(&tls, "/spec/hostnames", "spec.hostnames[0]", &[json!(["*"]), json!(["db.acme.com:443"])]);
    each_accepted(&tls, "/spec/hostnames", &[json!(["*.acme.com", "a.b"])]);
}

#[test]
fn two_references_to_one_parent_are_told_apart() {
    let two = |a: Value, b: Value| json!([{ "name": "edge" }, a, b]);
    let parents = |one: Value| {
        let list = two(json!({ "name": "other", "sectionName": "a" }), one);
        refused(&l4("TCPRoute"), |object| set(object, "/spec/parentRefs", list))
    };
    assert_eq!(parents(json!({ "name": "other", "sectionName": "a" })), ["spec.parentRefs[2]"]);
    assert_eq!(parents(json!({ "name": "other" })), ["spec.parentRefs[2]"]);
    assert_eq!(parents(json!({ "name": "other", "sectionName": "b" })), [""; 0]);
    assert_eq!(parents(json!({ "name": "other", "namespace": "elsewhere" })), [""; 0]);
}
