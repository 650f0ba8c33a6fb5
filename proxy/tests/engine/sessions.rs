//! Clients that stay at one endpoint.

use std::time::Duration;

use weir_config::model::{Forward, Route, RouteAction, SessionPersistence, Split, WeightedCluster};

use crate::support::{Backend, Conn, PATIENCE, Proxy, Setup, cluster, field, ok, route, routes};

fn cookie() -> SessionPersistence {
    SessionPersistence::Cookie { name: "sess".into(), path: "/".into(), ttl: Duration::from_secs(60) }
}

fn kept(session: SessionPersistence, weights: &[(&str, u32)]) -> Route {
    let list = weights.iter().map(|(cluster, weight)| WeightedCluster::new(*cluster, *weight));
    let forward = Forward::to(Split::Weighted(list.collect()));
    Route { session: Some(Box::new(session)), action: RouteAction::Forward(forward), ..route("/", "c") }
}

/// Clients, and connections to backends, of which each stays where it is.
struct World<'b> {
    backends: Vec<&'b Backend>,
    upstreams: Vec<Option<Conn>>,
    client: Conn,
}

impl<'b> World<'b> {
    fn new(proxy: &Proxy, backends: &[&'b Backend]) -> Self {
        let upstreams = backends.iter().map(|_| None).collect();
        Self { backends: backends.to_vec(), upstreams, client: proxy.connect() }
    }

    /// Which backend gets a request with this field, and what the client is told.
    fn ask(&mut self, with: &str) -> (usize, String) {
        self.client.send(format!("GET / HTTP/1.1\r\nhost: h\r\n{with}\r\n"));
        let at = crate::support::eventually("request at some backend", || {
            (0..self.backends.len()).find(|at| {
                if self.upstreams[*at].as_ref().is_none_or(Conn::is_closed) {
                    self.upstreams[*at] = self.backends[*at].pending();
                }
                self.upstreams[*at].as_ref().is_some_and(Conn::has_bytes)
            })
        });
        let upstream = self.upstreams[at].as_mut().unwrap();
        upstream.head();
        upstream.send(ok(""));
        (at, self.client.head())
    }
}

/// The `Cookie` field that answers a `Set-Cookie`.
fn returned(answer: &str) -> String {
    let set = field(answer, "set-cookie");
    let [set] = set.as_slice() else { panic!("one cookie is told: {answer}") };
    assert!(set.ends_with("; Max-Age=60; Path=/; HttpOnly"), "{set}");
    format!("cookie: other=1; {}\r\n", set.split(';').next().unwrap())
}

#[test]
fn a_client_stays_at_its_endpoint_by_a_cookie_or_a_header() {
    let backends = [Backend::new(), Backend::new(), Backend::new()];
    let addresses = [backends[0].address, backends[1].address, backends[2].address];
    for session in [cookie(), SessionPersistence::Header { name: "x-sess".into() }] {
        let routes = vec![kept(session.clone(), &[("c", 1)])];
        let proxy = Proxy::with(Setup { routes, ..Setup::default() }, &addresses);
        let mut world = World::new(&proxy, &[&backends[0], &backends[1], &backends[2]]);
        let (first, answer) = world.ask("");
        let with = match session {
            SessionPersistence::Cookie { .. } => returned(&answer),
            SessionPersistence::Header { .. } => format!("x-sess: {}\r\n", field(&answer, "x-sess")[0]),
        };
        for _ in 0..5 {
            let (at, answer) = world.ask(&with);
            assert_eq!(at, first);
            assert!(field(&answer, "set-cookie").is_empty() && field(&answer, "x-sess").is_empty(), "nothing is new");
        }
        let others: Vec<usize> = (0..3).map(|_| world.ask("").0).collect();
        assert!(others.iter().any(|at| *at != first), "whoever has no session takes turns");
    }
}

#[test]
fn a_session_ends_with_its_endpoint_and_another_is_told() {
    let (one, two) = (Backend::new(), Backend::new());
    let routes = vec![kept(cookie(), &[("c", 1)])];
    let proxy = Proxy::with(Setup { routes, ..Setup::default() }, &[one.address, two.address]);
    let mut world = World::new(&proxy, &[&one, &two]);
    let (first, answer) = world.ask("");
    let with = returned(&answer);
    let left = [&two, &one][first].address;
    proxy.apply(vec![cluster("c", PATIENCE, &[left]).into()]);
    let (at, answer) = world.ask(&with);
    assert_ne!(at, first);
    let with = returned(&answer);
    assert_eq!(world.ask(&with).0, at);
    for nonsense in ["cookie: sess=%\r\n", "cookie: sess=\r\n", "cookie: sess=MTI3LjAuMC4xOjE=\r\n"] {
        assert_eq!(world.ask(nonsense).0, at, "what names no endpoint of ours is as nothing");
    }
}

#[test]
fn a_session_stays_while_weights_move() {
    let (one, two) = (Backend::new(), Backend::new());
    let setup = Setup { routes: vec![kept(cookie(), &[("c", 1), ("d", 0)])], ..Setup::default() };
    let proxy = Proxy::with(setup, &[one.address]);
    proxy.apply(vec![cluster("d", PATIENCE, &[two.address]).into()]);
    let mut world = World::new(&proxy, &[&one, &two]);
    let (at, answer) = world.ask("");
    assert_eq!(at, 0);
    let with = returned(&answer);
    for weights in [[("c", 1), ("d", 9)], [("c", 0), ("d", 1)]] {
        proxy.apply(vec![routes(vec![kept(cookie(), &weights)]).into()]);
        for _ in 0..10 {
            let (at, answer) = world.ask(&with);
            assert_eq!((at, field(&answer, "set-cookie").len()), (0, 0), "{weights:?}");
        }
    }
    assert_eq!(world.ask("").0, 1, "new clients go where the weights say");
    proxy.apply(vec![routes(vec![kept(cookie(), &[("d", 1)])]).into()]);
    assert_eq!(world.ask(&with).0, 1, "its cluster is no longer the route's");
}
