//! Secrets beyond the bound are fetched when handshakes need them.

use ResourceType as T;

use super::*;
use crate::xds::client::Step;

fn secret(name: &str) -> Resource {
    let certificate = TlsCertificate { chain: format!("chain of {name}"), key: PrivateKey("key".into()) };
    Secret { name: name.into(), certificate }.into()
}

/// A client with one place, and a listener that refers to secrets `s1` and `s2`; the first has come.
fn client() -> Client {
    let mut client = new_client().with_secrets(1);
    client.open();
    let step = client.receive(response(T::Listener, &[&listener("l", "r", &["s1", "s2"])], &[]));
    assert_eq!(said(&step.replies), ["Listener ACK", "Secret +s1", "RouteConfiguration +r"]);
    client.receive(response(T::Secret, &[&secret("s1")], &[]));
    client
}

fn demand(client: &mut Client, name: &str) -> (Step, Vec<String>) {
    client.demand(vec![name.into()], 1, &|_| 0)
}

#[test]
fn a_demand_takes_the_place_of_what_is_held() {
    let mut client = client();
    let (step, later) = demand(&mut client, "s2");
    assert_eq!(said(&step.replies), ["Secret +s2 -s1"]);
    assert_eq!((step.change.released, later), (vec![(T::Secret, "s1".into())], vec![]));
    assert!(client.world().secrets.is_empty());
    client.receive(response(T::Secret, &[&secret("s2"), &secret("s1")], &[]));
    assert_eq!(client.world().secrets.keys().collect::<Vec<_>>(), ["s2"], "what was given up is passed over");
    assert_eq!(client.fetched(), (1, 1));
    assert!(said(&client.open()).contains(&"Secret +s2".to_owned()));
}

#[test]
fn while_what_was_asked_for_is_on_its_way_another_waits() {
    let mut client = client();
    demand(&mut client, "s2");
    let (step, later) = demand(&mut client, "s1");
    assert_eq!((said(&step.replies), later), (vec![], vec!["s1".to_owned()]));
    client.receive(response(T::Secret, &[&secret("s2")], &[]));
    assert_eq!(said(&demand(&mut client, "s1").0.replies), ["Secret +s1 -s2"]);
}

#[test]
fn whoever_waits_for_a_secret_that_is_not_is_told() {
    let mut client = client();
    assert_eq!(demand(&mut client, "nobody's").0.change.absent, ["nobody's"]);
    demand(&mut client, "s2");
    assert_eq!(client.receive(response(T::Secret, &[], &["s2"])).change.absent, ["s2"]);
    assert_eq!(demand(&mut client, "s2").0.change.absent, ["s2"], "it is known by now");
    assert_eq!(said(&demand(&mut client, "s1").0.replies), ["Secret +s1 -s2"], "and its place is free");
}

#[test]
fn a_listener_waits_for_the_secrets_that_are_fetched_before_and_for_no_other() {
    let mut client = new_client().with_secrets(1);
    let mut warm = crate::xds::warm::Warm::default();
    let now = std::time::Instant::now();
    client.open();
    let mut receive = |response| {
        let step = client.receive(response);
        names(&warm.receive(client.received(), &step.change, now)).0
    };
    assert_eq!(receive(response(T::Listener, &[&listener("l", "r", &["s1", "s2"])], &[])), Vec::<String>::new());
    assert_eq!(receive(response(T::RouteConfiguration, &[&routes("r", false)], &[])), ["r"]);
    assert_eq!(receive(response(T::Secret, &[&secret("s1")], &[])), ["s1", "l"]);
}

#[test]
fn what_was_stored_is_held_before_others() {
    let mut client = new_client().with_secrets(1);
    let stored = [listener("l", "r", &["s1", "s2", "s3"]), secret("s2"), secret("s3")];
    client.restore(stored.map(|resource| (resource, "1".to_owned())));
    assert_eq!(client.world().secrets.keys().collect::<Vec<_>>(), ["s2"]);
    let secrets: Vec<_> = said(&client.open()).into_iter().filter(|request| request.starts_with("Secret")).collect();
    assert_eq!(secrets, ["Secret +s2"]);
}
