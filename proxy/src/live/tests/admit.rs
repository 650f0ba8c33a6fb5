use weir_config::model::{PrivateKey, Secret, ServerName, TlsCertificate};

use super::*;
use crate::live::Compiles;
use crate::xds::Admit;

fn fields(resource: impl Into<Resource>) -> Vec<String> {
    Compiles.admit(&resource.into()).err().unwrap_or_default().into_iter().map(|e| e.field).collect()
}

fn bad(domain: &str) -> VirtualHost {
    let mut host = host(domain, "acme", to("web"));
    host.routes.push(route("bad", "/", None, to("web")));
    host.routes[1].matches.path = PathMatch::Regex("[".into());
    host
}

#[test]
fn good_resources_are_admitted() {
    assert!(
        fields(routes(vec![host("a", "acme", to("web")), host("*.a", "acme", to("web")), host("*", "x", to("w"))]))
            .is_empty()
    );
    assert!(fields(host("a", "acme", to("web"))).is_empty());
    for resource in [edge(), cluster("web", "web"), assignment("web", &[]).into()] {
        assert!(fields(resource).is_empty());
    }
}

#[test]
fn expressions_are_found_where_they_stand() {
    assert_eq!(fields(bad("a")), ["routes[1].match.safe_regex.regex"]);
    let hosts = routes(vec![host("a", "acme", to("web")), bad("b")]);
    assert_eq!(fields(hosts.clone()), ["virtual_hosts[1].routes[1].match.safe_regex.regex"]);
    let mut chain = chain("c", Vec::new());
    chain.http_mut().unwrap().routes = RouteSource::Inline(Box::new(hosts));
    assert_eq!(
        fields(listener(vec![chain])),
        ["filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[1].routes[1].match.safe_regex.regex"]
    );
}

#[test]
fn a_domain_belongs_to_one_virtual_host() {
    let mut twice = host("a", "acme", to("web"));
    twice.domains.push(Domain::Exact("a".into()));
    assert_eq!(fields(twice), ["domains[1]"]);
    let mut second = host("b", "globex", to("web"));
    second.domains.push(Domain::Exact("a".into()));
    assert_eq!(fields(routes(vec![host("a", "acme", to("web")), second])), ["virtual_hosts[1].domains[1]"]);
}

#[test]
fn a_connection_goes_to_one_chain() {
    let named = |name: &str, sni: &str| FilterChain {
        server_names: vec![ServerName::Exact(sni.into())],
        ..chain(name, Vec::new())
    };
    assert!(fields(listener(vec![named("a", "a"), named("b", "b"), chain("c", Vec::new())])).is_empty());
    assert_eq!(
        fields(listener(vec![named("a", "a"), named("b", "a")])),
        ["filter_chains[1].filter_chain_match.server_names"]
    );
    assert_eq!(
        fields(listener(vec![chain("a", Vec::new()), chain("b", Vec::new())])),
        ["filter_chains[1].filter_chain_match.server_names"]
    );
    assert_eq!(fields(listener(vec![named("a", "a"), named("a", "b")])), ["filter_chains[1].name"]);
}

#[test]
fn a_certificate_must_be_readable() {
    let certificate = TlsCertificate { chain: "?".into(), key: PrivateKey("?".into()) };
    assert_eq!(fields(Secret { name: "s".into(), certificate }), ["tls_certificate.certificate_chain"]);
}
