//! The forms of a RouteConfiguration and of a Listener, made of real messages.

use std::sync::Arc;
use std::time::Instant;

use weir_config::model::{
    Delta, Domain, FilterChain, HttpOptions, Listener, Resource, ResourceType, RouteConfiguration, RouteSource,
    VirtualHost,
};
use weir_config::xds::decode;

use crate::ads::subscription::{Request, Subscriptions};
use crate::ads::{Encoded, Form, Store, Version};
use crate::scope::Scope;

fn host(name: &str) -> VirtualHost {
    let domains = vec![Domain::Exact(name.rsplit('/').next().unwrap().to_owned())];
    VirtualHost { name: name.into(), domains, ..VirtualHost::default() }
}

fn inline_hosts(store: &Store) -> Vec<String> {
    let body = store.read().get(ResourceType::RouteConfiguration, Form::Inline, "rc").unwrap().body.clone();
    let Ok(Resource::RouteConfiguration(routes)) = decode(ResourceType::RouteConfiguration, &body) else {
        panic!("it does not read back")
    };
    assert!(!routes.vhds);
    routes.virtual_hosts.iter().map(|host| host.name.clone()).collect()
}

#[test]
fn the_inline_form_holds_the_hosts_and_is_kept_only_while_a_stream_wants_it() {
    let store = Arc::new(Store::new());
    let routes = RouteConfiguration { name: "rc".into(), vhds: true, ..RouteConfiguration::default() };
    let upserts = vec![routes.into(), host("rc/b").into(), host("rc/a").into(), host("rc/x/c").into()];
    store.publish(&Delta { upserts, removals: vec![] });
    let has = || store.read().get(ResourceType::RouteConfiguration, Form::Inline, "rc").is_some();
    assert!(!has());

    let wanted = store.enter(Form::Inline, Scope::Everything);
    assert_eq!(inline_hosts(&store), ["rc/a", "rc/b"]);
    let removals = vec![(ResourceType::VirtualHost, "rc/b".to_owned())];
    store.publish(&Delta { upserts: vec![host("rc/d").into()], removals });
    assert_eq!(inline_hosts(&store), ["rc/a", "rc/d"]);
    drop(wanted);
    assert!(!has());
}

fn listener() -> Resource {
    let http = HttpOptions {
        stat_prefix: "l".into(),
        routes: RouteSource::Rds("rc".into()),
        filters: vec![],
        idle_timeout: None,
        request_headers_timeout: None,
        stream_idle_timeout: None,
        max_request_headers_kb: None,
        use_remote_address: true,
        access_log: true,
    };
    let chain = FilterChain { name: "l".into(), server_names: vec![], tls: None, http };
    Listener { name: "l".into(), address: "127.0.0.1:80".parse().unwrap(), chains: vec![chain] }.into()
}

#[test]
fn a_listener_reports_usage_only_to_those_who_asked_for_that() {
    let store = Arc::new(Store::new());
    store.publish(&Delta { upserts: vec![listener()], removals: vec![] });
    let get = |form| Arc::clone(store.read().get(ResourceType::Listener, form, "l").unwrap());
    let (plain, reporting) = (get(Form::Inline), get(Form::Reporting));
    let reports = |of: &Encoded| of.body.windows(8).any(|bytes| bytes == b"weir-xds");
    assert_eq!((reports(&plain), reports(&reporting), reports(&get(Form::Vhds))), (false, true, false));
    assert_eq!(plain.version, get(Form::Vhds).version);
    assert_eq!(reporting.version, Version::of(&reporting.body));
    assert_ne!(plain.version, reporting.version);
    assert_eq!(plain.references, reporting.references);
    assert!(store.read().of(ResourceType::Listener, Form::Reporting).all(|of| of.version == reporting.version));

    let changed = store.publish(&Delta { upserts: vec![listener()], removals: vec![] });
    assert!(!changed, "nothing is different");
}

#[test]
fn a_node_says_what_it_can_do_and_weirs_own_proxy_counts_for_itself() {
    let form = |features: &[&str]| Form::of(&features.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(form(&[]), Form::Inline);
    assert_eq!(form(&["weir.dev/other"]), Form::Inline);
    assert_eq!(form(&["weir.dev/usage-als"]), Form::Reporting);
    assert_eq!(form(&["weir.dev/vhds"]), Form::Vhds);
    assert_eq!(form(&["weir.dev/usage-als", "weir.dev/vhds"]), Form::Vhds);
}

#[test]
fn an_envoy_that_reports_gets_its_routes_whole_and_hears_of_each_change() {
    let store = Arc::new(Store::new());
    let routes = RouteConfiguration { name: "rc".into(), vhds: true, ..RouteConfiguration::default() };
    store.publish(&Delta { upserts: vec![routes.into(), host("rc/a").into(), listener()], removals: vec![] });
    let interest = store.enter(Form::Reporting, Scope::Everything);
    let now = Instant::now();
    let mut stream = Subscriptions::new(now);
    let sent =
        |stream: &mut Subscriptions| stream.poll(&interest.view(&store.read()), now).map(|r| (r.kind, r.items.len()));
    for kind in [ResourceType::Listener, ResourceType::RouteConfiguration] {
        let mut request = Request::new(kind);
        request.subscribe = vec![if kind == ResourceType::Listener { "*".into() } else { "rc".into() }];
        stream.request(&request, &interest.view(&store.read()), now).unwrap();
    }
    let told = [sent(&mut stream), sent(&mut stream), sent(&mut stream)];
    assert_eq!(told, [Some((ResourceType::Listener, 1)), Some((ResourceType::RouteConfiguration, 1)), None]);
    for (kind, nonce) in [(ResourceType::Listener, "1"), (ResourceType::RouteConfiguration, "2")] {
        let mut request = Request::new(kind);
        request.nonce = nonce.into();
        stream.request(&request, &interest.view(&store.read()), now).unwrap();
    }
    let before = store.read().sequence();
    store.publish(&Delta { upserts: vec![host("rc/b").into()], removals: vec![] });
    let resources = store.read();
    let changes = resources.since(before).unwrap();
    changes.iter().for_each(|changes| stream.changed(changes, &interest.view(&resources), now));
    assert_eq!(sent(&mut stream), Some((ResourceType::RouteConfiguration, 1)));
    assert_eq!(sent(&mut stream), None);
}
