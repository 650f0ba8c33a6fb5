//! Resources that our server did not make: plain xDS JSON (`tests/foreign/*.json`), served by a
//! control plane of the test's own to a stock Envoy and to `weir proxy`. What is refused, and what
//! still serves, must be the same.

use std::fs;

use base64::Engine;
use serde::Deserialize;
use serde_json::Value;
use weir_config::xds::json::from_json;

use crate::support::ads::{AdsServer, Given};
use crate::support::case::{Line, Send, Step};
use crate::support::envoy::{self, Envoy};
use crate::support::plane::{self, Plane, wait_for_port};
use crate::support::requests::Requests;
use crate::support::site::{HTTP, Site, XDS, repository};
use crate::support::tls::Authority;

/// One file of `tests/foreign`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    /// What is there at the start.
    resources: Vec<Value>,
    steps: Vec<Action>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Action {
    Push(Push),
    Request(Line),
}

/// A change, and what becomes of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Push {
    push: Vec<Value>,
    /// Type and name.
    #[serde(default)]
    remove: Vec<(String, String)>,
    /// The refusal; absent: the change is accepted.
    nack: Option<Refusal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    /// The type's short name.
    kind: String,
    /// What Envoy says of it; none: Envoy accepts.
    envoy: Option<String>,
    /// What Weir says of it.
    weir: Option<String>,
}

fn run(name: &str, plane: Plane) {
    let path = repository(format!("tests/foreign/{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let site = Site::new();
    let authority = Authority::new();
    let text = fill(&text, &site, &authority);
    let case: Case = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    eprintln!("{name} at {plane:?}: {}", case.about);

    let _backends = [("shop", 9001), ("canary", 9002), ("api", 9003), ("web", 9004)].map(|(n, p)| site.backend(n, p));
    let server = AdsServer::start((site.ip(), XDS).into(), case.resources.iter().map(given).collect());
    let mut process = match plane {
        Plane::Envoy => Envoy::start(&site, &envoy::bootstrap(&site)).process,
        _ => plane::proxy(&site),
    };
    wait_for_port(&site, HTTP);
    assert_eq!(server.settled(), [], "the base is refused");
    let mut requests = Requests::new(site.ip(), plane, authority);
    for (n, action) in case.steps.iter().enumerate() {
        process.assert_alive();
        requests.at(format!("{name} at {plane:?}, step {}", n + 1));
        match action {
            Action::Push(push) => change(&server, push, plane, n + 1),
            Action::Request(Line::Short(text)) => requests.send(&Step::default(), &Send::parse(text).unwrap()),
            Action::Request(Line::Long(step)) => {
                if step.only.as_deref().is_none_or(|only| (only == "envoy") == (plane == Plane::Envoy)) {
                    let text = step.send.as_deref().expect("only requests here");
                    requests.send(step, &Send::parse(text).unwrap());
                }
            }
        }
    }
    process.assert_alive();
}

fn change(server: &AdsServer, push: &Push, plane: Plane, step: usize) {
    let removals: Vec<(&str, &str)> = push.remove.iter().map(|(k, n)| (k.as_str(), n.as_str())).collect();
    let nacks = server.push(push.push.iter().map(given).collect(), &removals);
    let refusal = push.nack.as_ref();
    let says = refusal.and_then(|r| if plane == Plane::Envoy { r.envoy.as_ref() } else { r.weir.as_ref() });
    match (refusal, says) {
        (Some(refusal), Some(says)) => {
            let [nack] = nacks.as_slice() else { panic!("step {step}: one refusal was expected: {nacks:?}") };
            assert!(nack.kind.ends_with(&refusal.kind), "step {step}: another type was refused: {nack:?}");
            assert!(nack.message.contains(says), "step {step}: the refusal does not say `{says}`: {}", nack.message);
        }
        _ => assert_eq!(nacks, [], "step {step}: refused"),
    }
}

fn fill(text: &str, site: &Site, authority: &Authority) -> String {
    let (good, other) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let inner = |pem: &str| serde_json::to_string(pem).unwrap().trim_matches('"').to_string();
    text.replace("${IP}", &site.ip().to_string())
        .replace("${CERT}", &inner(&good.certificate))
        .replace("${KEY}", &inner(&good.key))
        .replace("${OTHER_KEY}", &inner(&other.key))
        .replace("${SHOP_SESSION}", &session(site, 9001))
        .replace("${WEB_SESSION}", &session(site, 9004))
        .replace("${SHOP_COOKIE}", &session_cookie(site, 9001))
        .replace("${WEB_COOKIE}", &session_cookie(site, 9004))
}

/// The same as a cookie with a life tells it (`envoy.extensions.http.stateful_session.cookie`): a message of the
/// address (1) and the second at which it ends (2), here in the year 2100. An address alone, which older Envoys wrote,
/// is taken for such a message where its digits happen to be one.
fn session_cookie(site: &Site, port: u16) -> String {
    let address = format!("{}:{port}", site.ip());
    let ends = [0x10, 0x80, 0xae, 0x99, 0xa4, 0x0f];
    let message = [&[0x0a, u8::try_from(address.len()).unwrap()], address.as_bytes(), &ends].concat();
    base64::engine::general_purpose::STANDARD.encode(message)
}

/// An endpoint's address as a header of a session tells it.
fn session(site: &Site, port: u16) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{}:{port}", site.ip()))
}

fn given(json: &Value) -> Given {
    let (kind, value) = from_json(json).unwrap_or_else(|e| panic!("{e} in {json}"));
    let kind = kind.url().trim_start_matches("type.googleapis.com/").to_string();
    let name = json.get("name").or_else(|| json.get("cluster_name")).and_then(Value::as_str);
    Given { kind, name: name.expect("a name").into(), value: value.to_vec() }
}

macro_rules! table {
    ($($case:ident)*) => {
        mod envoy_obeys {
            use super::*;
            $(#[test] fn $case() { run(stringify!($case), Plane::Envoy); })*
        }
        mod weir_obeys {
            use super::*;
            $(#[test] fn $case() { run(stringify!($case), Plane::Weir); })*
        }
        /// Every case.
        const LISTED: &[&str] = &[$(stringify!($case),)*];
    };
}

table! {
    good matches bad_regex duplicate_domain zero_weights unknown_filter unsupported_filter missing_cluster
    bad_endpoints bad_cluster bad_key same_address removals redirects rewrites cors sessions retries
}

#[test]
fn every_file_is_in_the_table() {
    for entry in fs::read_dir(repository("tests/foreign")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(LISTED.contains(&name.as_str()), "tests/foreign/{name}.json is in no list");
    }
}
