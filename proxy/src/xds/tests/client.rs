use ResourceType as T;

use super::*;

#[test]
fn a_stream_opens_with_the_wildcard_types_and_one_introduction() {
    let mut client = new_client();
    let requests = client.open();
    assert_eq!(said(&requests), ["Cluster", "Listener"]);
    let node = requests[0].node.as_ref().unwrap();
    assert_eq!((node.id.as_str(), node.user_agent_name.as_str()), ("edge-0", "weir"));
    assert!(node.client_features.contains(&"weir.dev/vhds".to_owned()));
    assert!(requests[1].node.is_none());
}

#[test]
fn what_accepted_resources_refer_to_is_asked_for_and_given_up_again() {
    let mut client = new_client();
    client.open();
    let step = client.receive(response(T::Listener, &[&listener("l", "r", &["s"])], &[]));
    assert_eq!(said(&step.replies), ["Listener ACK", "Secret +s", "RouteConfiguration +r"]);
    let step = client.receive(response(T::RouteConfiguration, &[&routes("r", true)], &[]));
    assert_eq!(said(&step.replies), ["RouteConfiguration ACK", "VirtualHost +r"]);
    let step = client.receive(response(T::VirtualHost, &[&host("r", "a.test", "c")], &[]));
    assert_eq!(said(&step.replies), ["VirtualHost ACK"]);
    let step = client.receive(response(T::Cluster, &[&cluster("c")], &[]));
    assert_eq!(said(&step.replies), ["Cluster ACK", "ClusterLoadAssignment +eds/c"]);

    let step = client.receive(response(T::Listener, &[&listener("l", "r2", &[])], &[]));
    assert_eq!(said(&step.replies), ["Listener ACK", "Secret -s", "RouteConfiguration +r2 -r", "VirtualHost -r"]);
    assert_eq!(step.change.released, [(T::RouteConfiguration, "r".into()), (T::VirtualHost, "r/a.test".into())]);
    assert!(client.world().virtual_hosts.is_empty());
}

#[test]
fn a_bad_resource_is_refused_by_name_and_field_and_its_neighbours_are_used() {
    let mut client = new_client();
    client.open();
    let step = client.receive(response(T::Cluster, &[&cluster("good"), &cluster("bad")], &[]));
    let nack = &step.replies[0];
    assert_eq!(nack.response_nonce, "nonce of Cluster");
    assert_eq!(nack.error_detail.as_ref().unwrap().message, "Cluster `bad`: some.field: is bad");
    assert!(client.world().clusters.contains_key("good"));
    assert_eq!(step.change.upserts.len(), 1);

    let mut broken = response(T::Cluster, &[&cluster("broken")], &[]);
    broken.resources[0].resource.as_mut().unwrap().value = vec![0xff];
    let step = client.receive(broken);
    assert!(step.replies[0].error_detail.as_ref().unwrap().message.starts_with("Cluster `broken`: "));
    let refused: Vec<_> = client.rejected().map(|(_, name, _)| name.to_owned()).collect();
    assert_eq!(refused, ["bad", "broken"]);
}

#[test]
fn a_reconnect_names_the_versions_that_are_held_but_not_refused_ones() {
    let mut client = new_client();
    client.open();
    client.receive(response(T::Cluster, &[&cluster("good"), &cluster("bad")], &[]));
    client.receive(response(T::LoadAssignment, &[&endpoints("good", 1)], &[]));
    let requests = client.open();
    assert_eq!(said(&requests), ["Cluster", "ClusterLoadAssignment +eds/good", "Listener"]);
    let held: Vec<_> = requests[0].initial_resource_versions.clone().into_iter().collect();
    assert_eq!(held, [("good".to_owned(), "1".to_owned())]);
    assert_eq!(requests[1].initial_resource_versions.len(), 1);
    assert!(requests[0].node.is_some());
}

#[test]
fn an_older_version_that_was_accepted_stays_when_the_newer_is_refused() {
    let mut client = new_client();
    client.open();
    client.receive(response(T::Cluster, &[&cluster("c")], &[]));
    let mut newer = response(T::Cluster, &[&cluster("c")], &[]);
    newer.resources[0].version = "2".into();
    newer.resources[0].resource.as_mut().unwrap().value = vec![0xff];
    client.receive(newer);
    assert_eq!(client.version(T::Cluster, "c"), Some("1"));
    assert!(client.world().clusters.contains_key("c"));
}

#[test]
fn what_nobody_can_understand_is_refused() {
    let mut client = new_client();
    client.open();
    let unknown =
        DeltaDiscoveryResponse { type_url: "type.googleapis.com/x.Y".into(), nonce: "n".into(), ..Default::default() };
    let step = client.receive(unknown);
    assert_eq!(said(&step.replies), ["Y NACK"]);
    let step = client.receive(response(T::Cluster, &[&cluster("c"), &cluster("c"), &cluster("d")], &[]));
    assert_eq!(
        step.replies[0].error_detail.as_ref().unwrap().message,
        "Cluster `c`: stands in the response more than once"
    );
    assert_eq!(client.world().clusters.keys().collect::<Vec<_>>(), ["d"]);
    let step = client.receive(response(T::Cluster, &[&cluster("e")], &["e"]));
    assert_eq!(said(&step.replies), ["Cluster NACK"]);
    let mut misnamed = response(T::Cluster, &[&cluster("f")], &[]);
    misnamed.resources[0].name = "g".into();
    let step = client.receive(misnamed);
    assert_eq!(step.replies[0].error_detail.as_ref().unwrap().message, "Cluster `g`: name: is `f` within");
}

#[test]
fn the_text_of_a_refusal_is_bounded() {
    let mut client = new_client();
    client.open();
    let many: Vec<_> = (0..2000).map(|n| cluster(&format!("bad-{n}"))).collect();
    let step = client.receive(response(T::Cluster, &many.iter().collect::<Vec<_>>(), &[]));
    let text = &step.replies[0].error_detail.as_ref().unwrap().message;
    assert!(text.len() < 16 * 1024 && text.contains("more"), "{} bytes", text.len());
}

#[test]
fn removals_and_answers_of_nothing_are_taken_in() {
    let mut client = new_client();
    client.open();
    client.receive(response(T::Listener, &[&listener("l", "r", &["s"])], &[]));
    client.receive(response(T::Secret, &[], &["s"]));
    assert!(client.received().answered.contains(&(T::Secret, "s".into())));
    client.receive(response(T::RouteConfiguration, &[&routes("r", true)], &[]));
    assert!(!client.received().answered.contains(&(T::VirtualHost, "r".into())));
    client.receive(response(T::VirtualHost, &[], &[]));
    assert!(client.received().answered.contains(&(T::VirtualHost, "r".into())));
    let step = client.receive(response(T::Listener, &[], &["l"]));
    assert_eq!(step.change.removed, [(T::Listener, "l".into())]);
    assert_eq!(said(&step.replies), ["Listener ACK", "Secret -s", "RouteConfiguration -r", "VirtualHost -r"]);
}

#[test]
fn what_was_not_asked_for_is_passed_over() {
    let mut client = new_client();
    client.open();
    let step = client.receive(response(T::LoadAssignment, &[&endpoints("c", 1)], &[]));
    assert_eq!(said(&step.replies), ["ClusterLoadAssignment ACK"]);
    assert!(client.world().endpoints.is_empty());
}

#[test]
fn a_repeated_resource_changes_nothing() {
    let mut client = new_client();
    client.open();
    client.receive(response(T::Cluster, &[&cluster("c")], &[]));
    let step = client.receive(response(T::Cluster, &[&cluster("c")], &[]));
    assert!(step.change.upserts.is_empty());
    assert_eq!(said(&step.replies), ["Cluster ACK"]);
}

#[test]
fn a_reconnect_asks_for_all_clusters_again_not_for_those_it_knows() {
    let mut client = new_client();
    client.open();
    client.receive(response(T::Listener, &[&listener("l", "r", &[])], &[]));
    client.receive(response(T::RouteConfiguration, &[&routes("r", true)], &[]));
    client.receive(response(T::VirtualHost, &[&host("r", "a.test", "c")], &[]));
    client.receive(response(T::Cluster, &[&cluster("c")], &[]));
    let requests = client.open();
    let asked = requests.iter().find(|r| r.type_url == T::Cluster.url()).unwrap();
    assert!(asked.resource_names_subscribe.is_empty(), "{asked:?}");
    assert_eq!(asked.initial_resource_versions.len(), 1);
}

#[test]
fn a_second_listener_at_an_address_is_refused_unless_the_first_goes() {
    let mut client = new_client();
    client.open();
    let at = |name: &str| {
        let Resource::Listener(mut listener) = listener(name, "r", &[]) else { unreachable!() };
        Arc::make_mut(&mut listener).address = "127.0.0.1:8080".parse().unwrap();
        Resource::Listener(listener)
    };
    client.receive(response(T::Listener, &[&at("first")], &[]));
    let step = client.receive(response(T::Listener, &[&at("second")], &[]));
    let message = &step.replies[0].error_detail.as_ref().unwrap().message;
    assert!(message.contains("address: 127.0.0.1:8080 is that of listener `first`"), "{message}");
    let step = client.receive(response(T::Listener, &[&at("second")], &["first"]));
    assert!(step.replies[0].error_detail.is_none());
}
