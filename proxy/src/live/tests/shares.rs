//! Routes of one match that share its requests by draws.

use std::collections::BTreeMap;

use weir_config::model::Fraction;

use super::*;

/// Half, three tenths and the rest.
const THREE: [(&str, Option<(u32, u32)>); 3] =
    [("a", Some((500_000, 1_000_000))), ("b", Some((800_000, 1_000_000))), ("c", None)];

/// Routes of `/`: each cluster's with its share, which the ones before it have part of.
fn sharing(shares: &[(&str, Option<(u32, u32)>)]) -> VirtualHost {
    let routes = shares.iter().map(|(cluster, share)| {
        let mut route = route("r", "/", owner("acme", None), to(cluster));
        route.matches.fraction = share.map(|(numerator, denominator)| Fraction { numerator, denominator });
        route
    });
    VirtualHost { routes: routes.collect(), ..host("a", "acme", to("web")) }
}

fn world(host: VirtualHost) -> World {
    World::new(vec![edge(), routes(vec![host]).into()])
}

/// How many of `n` requests each cluster gets.
fn shared(world: &World, n: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        let asked = world.ask("a", "/");
        *counts.entry(asked.rsplit(' ').next().unwrap().trim_end_matches('?').to_owned()).or_default() += 1;
    }
    counts
}

fn counts(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
    list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn any_window_of_requests_has_the_exact_shares_even_over_edits() {
    let mut world = world(sharing(&THREE));
    let mut all = shared(&world, 10);
    assert_eq!(all, counts(&[("a", 5), ("b", 3), ("c", 2)]));
    for edit in 0..10 {
        shared(&world, 1).into_iter().for_each(|(name, count)| *all.entry(name).or_default() += count);
        let mut host = sharing(&THREE);
        host.domains.push(Domain::Exact(format!("edit-{edit}")));
        world.set(vec![routes(vec![host]).into()]);
    }
    assert_eq!(all, counts(&[("a", 10), ("b", 6), ("c", 4)]));
}

#[test]
fn a_share_of_nothing_gets_nothing_and_one_of_all_leaves_nothing() {
    let world = world(sharing(&[("none", Some((0, 100))), ("all", Some((100, 100))), ("rest", None)]));
    assert_eq!(shared(&world, 50), counts(&[("all", 50)]));
}

#[test]
fn what_no_share_takes_goes_on_to_what_matches_next() {
    let mut host = sharing(&[("half", Some((500_000, 1_000_000)))]);
    let mut wider = route("w", "", owner("acme", None), to("fifth"));
    wider.matches.fraction = Some(Fraction { numerator: 600_000, denominator: 1_000_000 });
    host.routes.extend([wider, route("e", "", owner("acme", None), to("end"))]);
    let world = world(host);
    // One draw for all: 0 to 50 %, then to 60 %, then the rest, as at Envoy.
    let shares = shared(&world, 10_000);
    assert_eq!(shares["half"], 5_000);
    assert!((800..1200).contains(&shares["fifth"]), "{shares:?}");
    assert_eq!(shares["fifth"] + shares["end"], 5_000);
}

#[test]
fn a_session_stays_at_its_endpoint_whatever_is_drawn() {
    let session = weir_config::model::SessionPersistence::Header { name: "x-sess".into() };
    let mut host = sharing(&[("a", Some((990_000, 1_000_000))), ("b", None)]);
    host.routes.iter_mut().for_each(|route| route.session = Some(Box::new(session.clone())));
    let mut world = world(host);
    let endpoint = |port| [(0, port, HealthStatus::Healthy, 1)];
    world.set(vec![
        cluster("a", "a"),
        cluster("b", "b"),
        assignment("a", &endpoint(1)).into(),
        assignment("b", &endpoint(2)).into(),
    ]);
    let chain = world.chain();
    let hosts = chain.http.routes.load();
    // `127.0.0.1:2`, as Envoy writes it.
    let headers = [httparse::Header { name: "x-sess", value: b"MTI3LjAuMC4xOjI=" }];
    for _ in 0..100 {
        let head = Head { method: "GET", host: "a", path: "/", query: None, headers: &headers[..] };
        let Decision::Forward { cluster, .. } = decide(&chain.http, &hosts, &head, 0) else { panic!() };
        assert_eq!(&*cluster.name, "b");
    }
}
