//! The forms of a RouteConfiguration and of a Listener, made of real messages.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use weir_config::model::{
    Delta, Domain, FilterChain, HttpOptions, Listener, Network, Resource, ResourceType, RouteConfiguration,
    RouteSource, VirtualHost,
};
use weir_config::xds::{Sources, Style, decode};

use crate::ads::subscription::{Mode, Request, Subscriptions, Variant};
use crate::ads::{Encoded, Form, Hosts, Store, Version};
use crate::scope::Scope;

/// Of an Envoy that reports usage.
pub(super) fn reporting() -> Form {
    Form { style: Style { reporting: true, ..Style::default() }, ..Form::default() }
}

fn host(name: &str) -> VirtualHost {
    let domains = vec![Domain::Exact(name.rsplit('/').next().unwrap().to_owned())];
    VirtualHost { name: name.into(), domains, ..VirtualHost::default() }
}

fn inline_hosts(store: &Store) -> Vec<String> {
    let body = store.read().get(ResourceType::RouteConfiguration, Form::default(), "rc").unwrap().body.clone();
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
    let has = || store.read().get(ResourceType::RouteConfiguration, Form::default(), "rc").is_some();
    assert!(!has());

    let wanted = store.enter(Form::default(), Scope::Everything);
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
        http2: None,
        access_log: true,
    };
    let chain = FilterChain {
        name: "l".into(),
        server_names: vec![],
        tls: None,
        passthrough: false,
        network: Network::Http(http),
    };
    Listener { name: "l".into(), address: "127.0.0.1:80".parse().unwrap(), chains: vec![chain], udp: None }.into()
}

#[test]
fn a_listener_reports_usage_only_to_those_who_asked_for_that() {
    let store = Arc::new(Store::new());
    store.publish(&Delta { upserts: vec![listener()], removals: vec![] });
    let get = |form| Arc::clone(store.read().get(ResourceType::Listener, form, "l").unwrap());
    let (plain, report) = (get(Form::default()), get(reporting()));
    let reports = |of: &Encoded| of.body.windows(8).any(|bytes| bytes == b"weir-xds");
    assert_eq!((reports(&plain), reports(&report), reports(&get(Form::STORED))), (false, true, false));
    assert_eq!(plain.version, get(Form::STORED).version);
    assert_eq!(report.version, Version::of(&report.body));
    assert_ne!(plain.version, report.version);
    assert_eq!(plain.references, report.references);
    assert!(store.read().of(ResourceType::Listener, reporting()).all(|of| of.version == report.version));

    let changed = store.publish(&Delta { upserts: vec![listener()], removals: vec![] });
    assert!(!changed, "nothing is different");
}

#[test]
fn a_node_says_what_it_can_do_and_weirs_own_proxy_counts_for_itself() {
    let form = |features: &[&str]| Form::of(&features.iter().map(ToString::to_string).collect::<Vec<_>>(), Mode::DELTA);
    assert_eq!(form(&[]), Form::default());
    assert_eq!(form(&["weir.dev/other"]), Form::default());
    assert_eq!(form(&["weir.dev/usage-als"]), reporting());
    assert_eq!(form(&["weir.dev/vhds"]), Form::STORED);
    assert_eq!(form(&["weir.dev/usage-als", "weir.dev/vhds"]), Form::STORED);
}

#[test]
fn what_a_node_can_do_counts_only_on_the_streams_where_it_can() {
    let form = |feature: &str, variant, alone| Form::of(&[feature.to_owned()], Mode { variant, alone });
    for alone in [false, true] {
        assert_eq!(form("weir.dev/vhds", Variant::World, alone).hosts, Hosts::Inline);
        assert_eq!(form("weir.dev/vhds-on-demand", Variant::World, alone).hosts, Hosts::Inline);
        assert_eq!(form("weir.dev/vhds-on-demand", Variant::Delta, alone).hosts, Hosts::OnDemand);
        assert!(form("weir.dev/vhds-on-demand", Variant::World, alone).style.on_demand, "its routes may be delta");
    }
    let sources = |variant, alone| form("weir.dev/separate-streams", variant, alone).style.sources;
    assert_eq!([Variant::Delta, Variant::World].map(|v| sources(v, false)), [Sources::Ads; 2]);
    assert_eq!([Variant::Delta, Variant::World].map(|v| sources(v, true)), [Sources::Delta, Sources::World]);
}

#[test]
fn every_style_of_a_listener_is_made_once_and_kept_apart() {
    let store = Arc::new(Store::new());
    store.publish(&Delta { upserts: vec![listener()], removals: vec![] });
    let mut versions = BTreeSet::new();
    for sources in [Sources::Ads, Sources::Delta, Sources::World] {
        for (reporting, on_demand) in [(false, false), (true, false), (false, true), (true, true)] {
            let form = Form { style: Style { reporting, on_demand, sources }, ..Form::default() };
            let resources = store.read();
            let first = resources.get(ResourceType::Listener, form, "l").unwrap();
            assert!(Arc::ptr_eq(first, resources.get(ResourceType::Listener, form, "l").unwrap()));
            assert_eq!(first.version, Version::of(&first.body));
            versions.insert(first.version);
        }
    }
    assert_eq!(versions.len(), 12);
}

#[test]
fn an_envoy_that_reports_gets_its_routes_whole_and_hears_of_each_change() {
    let store = Arc::new(Store::new());
    let routes = RouteConfiguration { name: "rc".into(), vhds: true, ..RouteConfiguration::default() };
    store.publish(&Delta { upserts: vec![routes.into(), host("rc/a").into(), listener()], removals: vec![] });
    let interest = store.enter(reporting(), Scope::Everything);
    let now = Instant::now();
    let mut stream = Subscriptions::new(Mode::DELTA, now);
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
