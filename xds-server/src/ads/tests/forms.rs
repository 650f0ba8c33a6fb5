//! The two forms of a RouteConfiguration, made of real messages.

use std::sync::Arc;

use weir_config::model::{Delta, Domain, Resource, ResourceType, RouteConfiguration, VirtualHost};
use weir_config::xds::decode;

use crate::ads::{Form, Store};

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

    let wanted = store.want_inline();
    assert_eq!(inline_hosts(&store), ["rc/a", "rc/b"]);
    let removals = vec![(ResourceType::VirtualHost, "rc/b".to_owned())];
    store.publish(&Delta { upserts: vec![host("rc/d").into()], removals });
    assert_eq!(inline_hosts(&store), ["rc/a", "rc/d"]);
    drop(wanted);
    assert!(!has());
}
