use weir_config::kinds::Kind;

use super::*;
use crate::ads::Refused;
use crate::status::{ListenerStatus, ParentStatus, ServedBy};

const NAME: &str = "edge/0.0.0.0/80/tcp";

fn heard(proxies: u32, version: Option<&str>, refused: Option<&str>) -> Acknowledged {
    let counts = |version: &str| (NAME.to_owned(), BTreeMap::from([(version.to_owned(), 1)]));
    let refused = refused.map(|message| Refused {
        type_name: "Listener".into(),
        name: NAME.into(),
        version: "b".into(),
        message: message.into(),
        proxies: 1,
    });
    Acknowledged {
        proxies,
        listeners: version.map(counts).into_iter().collect(),
        refused: refused.into_iter().collect(),
        cut: false,
    }
}

fn current(version: &str) -> Current {
    Current::from([(NAME.to_owned(), vec![version.to_owned(), format!("{version}-for-envoy")])])
}

fn gateway() -> (ObjectKey, ObjectStatus) {
    let programmed = || vec![Condition::holds("Programmed", "Programmed", "the listener is served")];
    let listener = ListenerStatus {
        name: "web".into(),
        conditions: programmed(),
        served_by: vec![ServedBy { listener: NAME.into(), routes: "edge/0.0.0.0/80/http".into() }],
        ..ListenerStatus::default()
    };
    let status = ObjectStatus { conditions: programmed(), listeners: vec![listener], ..ObjectStatus::default() };
    (ObjectKey::new(Kind::Gateway, "infra", "public"), status)
}

/// The reasons of the Gateway's own condition and of its listener's.
fn shown(board: &Board, refusals: &Refusals) -> Option<(String, String)> {
    let (key, mut status) = gateway();
    let told = overlay(&key, &mut status, |name| board.serving(name), refusals);
    told.then(|| (status.conditions[0].reason.clone(), status.listeners[0].conditions[0].reason.clone()))
}

fn both(reason: &str) -> Option<(String, String)> {
    Some((reason.into(), reason.into()))
}

#[test]
fn a_gateway_is_programmed_once_a_proxy_has_it_as_it_is() {
    let none = Refusals::default();
    let now = Instant::now();
    let mut board = Board::new(now - HOLD);
    board.update(&heard(2, None, None), &current("a"), now);
    assert_eq!(shown(&board, &none), both("Pending"));
    let (key, mut status) = gateway();
    overlay(&key, &mut status, |name| board.serving(name), &none);
    assert!(status.listeners[0].conditions[0].message.contains("none of the 2 proxies"));

    board.update(&heard(2, Some("old"), None), &current("a"), now);
    assert_eq!(shown(&board, &none), both("Pending"), "another version is not this one");
    assert!(board.update(&heard(2, Some("a"), None), &current("a"), now));
    assert_eq!(shown(&board, &none), both("Programmed"));
    assert!(!board.update(&heard(2, Some("a"), None), &current("a"), now), "nothing is new");
    assert!(!board.update(&heard(2, Some("a-for-envoy"), None), &current("a"), now), "each form counts");
}

#[test]
fn a_change_and_a_proxy_that_comes_again_make_nothing_flap() {
    let (none, now) = (Refusals::default(), Instant::now());
    let mut board = Board::new(now);
    board.update(&heard(1, Some("a"), None), &current("a"), now);
    assert!(!board.update(&heard(1, Some("a"), None), &current("b"), now), "it has not had the time");
    assert!(!board.update(&heard(0, None, None), &current("b"), now + HOLD - Duration::from_millis(1)));
    assert!(!board.update(&heard(1, Some("b"), None), &current("b"), now + HOLD), "it came in time");
    assert!(!board.update(&heard(0, None, None), &current("b"), now + HOLD));
    assert!(board.update(&heard(0, None, None), &current("b"), now + 2 * HOLD));
    assert_eq!(shown(&board, &none), both("Pending"));
}

#[test]
fn a_new_leader_says_nothing_before_it_has_heard_of_proxies() {
    let (none, now) = (Refusals::default(), Instant::now());
    let mut board = Board::new(now);
    board.update(&heard(0, None, None), &current("a"), now);
    assert_eq!(shown(&board, &none), None);
    board.update(&heard(1, Some("a"), None), &current("a"), now);
    assert_eq!(shown(&board, &none), both("Programmed"));
    let mut board = Board::new(now);
    assert!(board.update(&heard(0, None, None), &current("a"), now + HOLD));
    assert_eq!(shown(&board, &none), both("Pending"));
}

#[test]
fn a_refused_listener_says_what_the_proxy_said() {
    let (none, now) = (Refusals::default(), Instant::now());
    let mut board = Board::new(now);
    board.update(&heard(1, Some("a"), None), &current("a"), now);
    board.update(&heard(1, Some("a"), Some("filterChains[0]: no")), &current("b"), now);
    assert_eq!(shown(&board, &none), both("Invalid"), "at once: time does not mend it");
    let (key, mut status) = gateway();
    overlay(&key, &mut status, |name| board.serving(name), &none);
    assert_eq!(status.listeners[0].conditions[0].message, "a proxy refuses it: filterChains[0]: no");
    board.update(&heard(2, Some("b"), Some("no")), &current("b"), now);
    assert_eq!(shown(&board, &none), both("Programmed"), "another proxy serves it");
}

#[test]
fn what_stands_on_a_served_listener_may_be_refused() {
    let now = Instant::now();
    let mut board = Board::new(now);
    board.update(&heard(1, Some("a"), None), &current("a"), now);
    let (key, _) = gateway();
    let refusals = Refusals(BTreeMap::from([((key, Some("web".to_owned())), "its routes: no".to_owned())]));
    assert_eq!(shown(&board, &refusals), both("Invalid"));

    let route = ObjectKey::new(Kind::HTTPRoute, "shop", "web");
    let refusals = Refusals(BTreeMap::from([((route.clone(), None), "routes[0]: no".to_owned())]));
    let parent = ParentStatus { parent_ref: Default::default(), conditions: Vec::new(), claimed: true };
    let mut status = ObjectStatus { parents: vec![parent], ..ObjectStatus::default() };
    assert!(overlay(&route, &mut status, |name| board.serving(name), &refusals));
    assert_eq!(status.parents[0].conditions, [Condition::fails("weir.dev/Programmed", "Refused", "routes[0]: no")]);
}
