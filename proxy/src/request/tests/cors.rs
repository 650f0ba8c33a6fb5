//! Each case was tried on Envoy 1.40.

use weir_config::model::{Cors, StringMatch};

use crate::request::cors::{CorsTable, Judgement};
use crate::request::head::Head;

fn policy() -> Cors {
    Cors {
        origins: vec![StringMatch::Exact("http://a".into()), StringMatch::Suffix(".b".into())],
        methods: vec!["GET".into(), "PUT".into()],
        headers: vec!["x-1".into(), "x-2".into()],
        expose: vec!["x-3".into()],
        max_age: Some(60),
        credentials: true,
    }
}

fn judge(policy: &Cors, method: &str, headers: &[(&str, &str)]) -> Option<(bool, Vec<String>)> {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
    let head = Head { method, host: "h", path: "/", query: None, headers: headers.as_slice() };
    let (preflight, changes) = match CorsTable::new(policy).unwrap().judge(&head)? {
        Judgement::GoesOn(changes) => (false, changes),
        Judgement::Preflight(changes) => (true, changes),
    };
    assert!(changes.remove.is_empty() && changes.ops.iter().all(|op| !op.append));
    Some((preflight, changes.ops.iter().map(|op| format!("{}: {}", op.name, op.value)).collect()))
}

const ASKED: (&str, &str) = ("access-control-request-method", "PUT");
const WANTED: (&str, &str) = ("access-control-request-headers", "x-9");

#[test]
fn a_request_of_an_origin_that_may_read_gets_the_headers() {
    let headers = [
        "access-control-allow-origin: http://a",
        "access-control-allow-credentials: true",
        "access-control-expose-headers: x-3",
    ];
    let expected = Some((false, headers.map(str::to_owned).to_vec()));
    assert_eq!(judge(&policy(), "GET", &[("Origin", "http://a")]), expected);
    assert_eq!(judge(&policy(), "OPTIONS", &[("origin", "http://a")]), expected, "no method is asked for");
    assert_eq!(judge(&policy(), "GET", &[("origin", "http://a"), ASKED]), expected, "only OPTIONS is a preflight");
    assert!(judge(&policy(), "GET", &[("origin", "http://x.b")]).is_some());
}

#[test]
fn others_go_on_as_they_are() {
    assert_eq!(judge(&policy(), "GET", &[]), None);
    assert_eq!(judge(&policy(), "GET", &[("origin", "")]), None);
    for method in ["GET", "OPTIONS"] {
        assert_eq!(judge(&policy(), method, &[("origin", "http://c"), ASKED]), None);
    }
}

#[test]
fn a_preflight_is_answered() {
    let expected = [
        "access-control-allow-origin: http://a",
        "access-control-allow-credentials: true",
        "access-control-expose-headers: x-3",
        "access-control-allow-methods: GET, PUT",
        "access-control-allow-headers: x-1, x-2",
        "access-control-max-age: 60",
    ];
    let expected = Some((true, expected.map(str::to_owned).to_vec()));
    assert_eq!(judge(&policy(), "OPTIONS", &[("origin", "http://a"), ASKED, WANTED]), expected);
}

#[test]
fn a_star_is_what_was_asked_for() {
    let star = || vec!["*".to_owned()];
    let any =
        Cors { origins: vec![StringMatch::Exact("*".into())], methods: star(), headers: star(), ..Cors::default() };
    let (preflight, headers) = judge(&any, "OPTIONS", &[("origin", "http://z"), ASKED, WANTED]).unwrap();
    assert!(preflight);
    assert_eq!(
        headers,
        [
            "access-control-allow-origin: http://z",
            "access-control-allow-methods: PUT",
            "access-control-allow-headers: x-9"
        ]
    );
    let (_, headers) = judge(&any, "OPTIONS", &[("origin", "http://z"), ASKED]).unwrap();
    assert_eq!(headers.len(), 2, "no headers were asked for");
}
