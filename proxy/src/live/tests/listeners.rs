use std::sync::atomic::Ordering::Acquire;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use weir_config::model::{DownstreamTls, PrivateKey, Secret, ServerName, TlsCertificate};

use super::*;

fn drains(chain: &ChainTable) -> bool {
    chain.draining.load(Acquire)
}

fn tls_chain(name: &str, sni: &[ServerName]) -> FilterChain {
    let tls = DownstreamTls { secrets: vec!["s".into()], alpn: vec!["http/1.1".into()], clients: None };
    FilterChain { server_names: sni.to_vec(), tls: Some(tls), ..chain(name, Vec::new()) }
}

#[test]
fn listeners_are_published_only_when_one_changed() {
    let mut world = World::new(vec![edge()]);
    let mut watch = world.live.listeners();
    watch.mark_unchanged();
    world.set(vec![edge(), routes(vec![host("a", "acme", to("web"))]).into(), cluster("web", "web")]);
    assert!(!watch.has_changed().unwrap());
    world.set(vec![Listener { name: "k".into(), ..listener(Vec::new()) }.into()]);
    assert!(watch.has_changed().unwrap());
    assert_eq!(watch.borrow_and_update().keys().collect::<Vec<_>>(), ["k", "l"]);
    world.remove(ResourceType::Listener, "never there");
    assert!(!watch.has_changed().unwrap());
    world.remove(ResourceType::Listener, "k");
    assert_eq!(watch.borrow_and_update().keys().collect::<Vec<_>>(), ["l"]);
}

#[test]
fn what_is_the_same_keeps_its_connections_and_the_rest_drains() {
    let (kept, changed, gone) = (chain("kept", Vec::new()), chain("changed", Vec::new()), chain("gone", Vec::new()));
    let mut world = World::new(vec![listener(vec![kept.clone(), changed.clone(), gone]).into()]);
    let before = world.live.listeners().borrow()["l"].chains.clone();
    let mut edited = changed;
    edited.http_mut().unwrap().idle_timeout = Some(Duration::from_secs(1));
    world.set(vec![listener(vec![edited, kept, chain("new", Vec::new())]).into()]);
    let after = world.live.listeners().borrow()["l"].chains.clone();
    assert_eq!(before.iter().map(|c| drains(c)).collect::<Vec<_>>(), [false, true, true]);
    assert!(Arc::ptr_eq(&before[0], &after[1]));
    assert!(after.iter().all(|chain| !drains(chain)));
    assert_eq!(after[0].http.idle_timeout, Duration::from_secs(1));
    world.remove(ResourceType::Listener, "l");
    assert!(after.iter().all(|chain| drains(chain)));
}

#[test]
fn another_address_drains_all() {
    let mut world = World::new(vec![edge()]);
    let old = world.chain();
    world.set(vec![Listener { address: address(8001), ..listener(vec![chain("c", Vec::new())]) }.into()]);
    assert!(drains(&old));
    assert_eq!(world.live.listeners().borrow()["l"].address, address(8001));
}

#[test]
fn routes_that_come_with_a_chain_swap_in_place() {
    let with = |cluster: &str| -> Resource {
        let mut chain = chain("c", Vec::new());
        let hosts = routes(vec![host("a", "acme", to(cluster))]);
        chain.http_mut().unwrap().routes = RouteSource::Inline(Box::new(hosts));
        listener(vec![chain]).into()
    };
    let mut world = World::new(vec![with("old")]);
    let open = world.chain();
    assert_eq!(world.ask("a", "/"), "acme -> old?");
    world.set(vec![with("new")]);
    assert!(!drains(&open));
    assert_eq!(world.ask_at(&open, "a", "/"), "acme -> new?");
    world.set(vec![edge(), routes(vec![host("a", "acme", to("rds"))]).into()]);
    assert!(drains(&open));
    assert_eq!((world.ask_at(&open, "a", "/"), world.ask("a", "/")), ("- NoHost".into(), "acme -> rds?".into()));
}

#[test]
fn timeouts_and_sizes_are_envoys_where_none_is_given() {
    let mut own = chain("c", Vec::new());
    own.http_mut().unwrap().stream_idle_timeout = Some(Duration::ZERO);
    own.http_mut().unwrap().max_request_headers_kb = Some(8);
    let world = World::new(vec![edge(), Listener { name: "own".into(), ..listener(vec![own]) }.into()]);
    let chain = world.chain();
    let http = &chain.http;
    assert_eq!((http.idle_timeout, http.stream_idle_timeout), (Duration::from_secs(3600), Duration::from_secs(300)));
    assert_eq!((http.max_head_bytes, http.request_headers_timeout), (60 * 1024, Duration::from_secs(60)));
    let own = world.live.listeners().borrow()["own"].chains[0].clone();
    let own = &own.http;
    assert!(own.stream_idle_timeout > Duration::from_secs(86_400 * 365), "zero is none");
    assert_eq!(own.max_head_bytes, 8 * 1024);
}

#[test]
fn sni_leads_to_the_most_specific_chain() {
    let exact = |name: &str| ServerName::Exact(name.into());
    let suffix = |name: &str| ServerName::Suffix(name.into());
    let chains = vec![
        tls_chain("short", &[suffix("b")]),
        tls_chain("long", &[suffix("a.b"), exact("other")]),
        tls_chain("exact", &[exact("x.a.b")]),
        tls_chain("rest", &[]),
    ];
    let world = World::new(vec![listener(chains.clone()).into()]);
    let cases = [
        (Some("x.a.b"), "exact"),
        (Some("y.a.b"), "long"),
        (Some("z.y.a.b"), "long"),
        (Some("a.b"), "short"),
        (Some("other"), "long"),
        (Some("b"), "rest"),
        (Some(".b"), "rest"),
        (None, "rest"),
    ];
    let table = world.live.listeners().borrow()["l"].clone();
    for (sni, expected) in cases {
        assert_eq!(table.chain(sni).unwrap().name, expected, "{sni:?}");
    }
    let world = World::new(vec![listener(chains[..3].to_vec()).into()]);
    assert!(world.live.listeners().borrow()["l"].chain(Some("b")).is_none());
}

#[test]
fn a_certificate_comes_late_and_is_renewed_without_the_listener() {
    let mut world = World::new(vec![listener(vec![tls_chain("c", &[])]).into()]);
    let before = world.chain();
    assert!(before.tls.is_some());
    let watch = world.live.listeners();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let certificate = TlsCertificate { chain: cert.pem(), key: PrivateKey(signing_key.serialize_pem()) };
    let secret = Secret { name: "s".into(), certificate };
    world.set(vec![secret.clone().into()]);
    let slot = world.live.secrets.get("s").unwrap().clone();
    assert!(slot.get().is_some());
    let broken = TlsCertificate { chain: "?".into(), ..secret.certificate };
    world.set(vec![Secret { name: "s".into(), certificate: broken }.into()]);
    assert!(slot.get().is_some(), "the last good form");
    world.remove(ResourceType::Secret, "s");
    assert!(slot.get().is_none());
    assert!(!watch.has_changed().unwrap());
}
