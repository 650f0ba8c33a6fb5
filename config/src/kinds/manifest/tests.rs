//! One document: what is read of it, and what is said where it is wrong.

use k8s_openapi::ByteString;

use super::super::{Content, Document, documents, objects};
use crate::kinds::{Kind, Object};

fn one(text: &str) -> Document {
    let mut read = documents(text);
    assert_eq!(read.len(), 1, "{read:?}");
    read.remove(0)
}

/// Problems as `line field: problem (hint)`.
fn problems(text: &str) -> Vec<String> {
    let Content::Bad(problems) = one(text).content else { panic!("{text} is accepted") };
    problems.iter().map(|problem| format!("{} {}", problem.line, problem.error)).collect()
}

fn accepted(text: &str) -> Object {
    match one(text).content {
        Content::Object(object) => Object::clone(&object),
        other => panic!("{other:?}"),
    }
}

const TENANT: &str = "apiVersion: weir.dev/v1alpha1\nkind: Tenant\nmetadata:\n  name: acme\nspec:\n";

#[test]
fn every_unknown_field_of_our_kinds_is_named_with_its_line() {
    let text = format!(
        "# our first customer\n{TENANT}  plna: pro\n  plan: pro\n  limits:\n    requests:\n      perSecond: 5\n      bursts: 9\n  \
         namespaceSelector:\n    matchLabel: {{a: b}}\n"
    );
    assert_eq!(
        problems(&text),
        [
            "7 spec.plna: unknown field (did you mean `plan`?)",
            "12 spec.limits.requests.bursts: unknown field (did you mean `burst`?)",
            "14 spec.namespaceSelector.matchLabel: unknown field (did you mean `matchLabels`?)",
        ]
    );
    let text = "apiVersion: weir.dev/v1alpha1\nkind: Plan\nmetadata: {name: a, lables: {}}\nspecs: {}\nspec: {}\n";
    assert_eq!(
        problems(text),
        ["3 metadata.lables: unknown field (did you mean `labels`?)", "4 specs: unknown field (did you mean `spec`?)"]
    );
}

#[test]
fn unknown_fields_hide_no_other_error() {
    let text = format!("{TENANT}  pln: pro\n");
    assert_eq!(problems(&text), ["5 spec.plan: is required", "6 spec.pln: unknown field (did you mean `plan`?)"]);
    let text = format!("{TENANT}  plan: pro\n  hostname: [a.b]\n  hostnames: [A.b]\n");
    assert_eq!(
        problems(&text),
        [
            "7 spec.hostname: unknown field (did you mean `hostnames`?)",
            "8 spec.hostnames[0]: `A.b` is not a hostname (write `a.b`)"
        ]
    );
}

#[test]
fn types_are_checked_with_the_path_and_in_words() {
    assert_eq!(problems(&format!("{TENANT}  plan: 5\n")), ["6 spec.plan: must be a string, not 5"]);
    assert_eq!(
        problems(&format!("{TENANT}  plan: pro\n  isolation: pool\n")),
        ["7 spec.isolation: must be one of Pool, Bridge, Silo, not `pool` (did you mean `Pool`?)"]
    );
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\nspec:\n  rules:\n  - backendRefs:\n    - name: a\n      port: ";
    assert_eq!(
        problems(&format!("{route}http\n")),
        ["8 spec.rules[0].backendRefs[0].port: must be a whole number from 0 to 65535, not \"http\""]
    );
    assert_eq!(
        problems(&format!("{route}70000\n")),
        ["8 spec.rules[0].backendRefs[0].port: must be a whole number from 0 to 65535, not 70000"]
    );
    let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec:\n  listeners:\n  - {name: a, port: 80}\n";
    assert_eq!(problems(text), ["6 spec.listeners[0].protocol: is required"]);
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: 80\n";
    assert_eq!(problems(text), ["5 spec.ports: must be a list, not 80"]);
}

#[test]
fn what_the_api_server_prunes_is_passed_over() {
    let object = accepted(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\nspec: {future: 1, hostnames: null}\n",
    );
    assert_eq!(object.metadata().namespace.as_deref(), Some("default"));
    assert_eq!(object.key().to_string(), "HTTPRoute default/a");
}

#[test]
fn other_kinds_are_ignored_and_near_misses_are_not() {
    for text in [
        "apiVersion: apps/v1\nkind: Deployment\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n",
        "apiVersion: example.com/v1\nkind: Tenant\n",
    ] {
        assert!(matches!(one(text).content, Content::Ignored), "{text}");
    }
    for (text, expected) in [
        (
            "apiVersion: weir.dev/v1alpha1\nkind: Tennant\n",
            "2 kind: unknown kind `Tennant` of weir.dev (did you mean `Tenant`?)",
        ),
        (
            "apiVersion: weir.dev/v1\nkind: Plan\n",
            "1 apiVersion: `v1` is not a version of Plan that is read (write `weir.dev/v1alpha1`)",
        ),
        (
            "apiVersion: wier.dev/v1alpha1\nkind: Plan\n",
            "1 apiVersion: unknown group `wier.dev` (did you mean `weir.dev`?)",
        ),
        (
            "apiVersion: v1\nkind: Sercice\n",
            "2 kind: unknown kind `Sercice` of the core group (did you mean `Service`?)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTPRoute\n",
            "2 kind: unknown kind `HTPRoute` of gateway.networking.k8s.io (did you mean `HTTPRoute`?)",
        ),
        ("kind: Plan\n", "1 apiVersion: is required"),
        ("- a\n", "1 is not an object (a manifest has `apiVersion` and `kind`)"),
    ] {
        assert_eq!(problems(text), [expected]);
    }
}

#[test]
fn secrets_are_read_as_kubectl_does() {
    let text =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: n}\ndata: {a: aGk=}\nstringData: {b: text}\n";
    let Object::Secret(secret) = accepted(text) else { panic!() };
    let data = secret.data.clone().unwrap();
    assert_eq!(data["a"], ByteString(b"hi".to_vec()));
    assert_eq!(data["b"], ByteString(b"text".to_vec()));
    assert_eq!(secret.string_data, None);
}

#[test]
fn nothing_of_a_secret_is_ever_repeated() {
    let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";
    for body in [
        "data: {tls.key: hunter2!}",
        "data: hunter2",
        "stringData: {a: [hunter2]}",
        "data: {a: \"hunter2",
        "data: {a: hunter2, a: hunter2}",
    ] {
        let document = one(&format!("{head}{body}\n"));
        let Content::Bad(problems) = &document.content else { panic!("{body} is accepted") };
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    }
    assert_eq!(problems(&format!("{head}data: {{tls.key: hunter2!}}\n")), ["4 data[tls.key]: must be base64 text"]);
    let object = accepted(&format!("{head}stringData: {{a: hunter2}}\n"));
    assert_eq!(format!("{object:?}"), "Secret default/s");
}

#[test]
fn a_document_that_is_not_yaml_still_has_an_identity() {
    let text = format!("{TENANT}  plan: [pro\n---\n{TENANT}  plan: pro\n");
    let read = documents(&text);
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].key.as_ref().unwrap().to_string(), "Tenant acme");
    assert!(matches!(read[1].content, Content::Object(_)));
    let Content::Bad(problems) = &read[0].content else { panic!() };
    assert!(problems[0].error.problem.starts_with("is not valid YAML"), "{problems:?}");
    assert!((6..=7).contains(&problems[0].line), "{problems:?}");
    // Cut off within the name: no identity is better than a wrong one.
    assert_eq!(one("kind: Tenant\napiVersion: weir.dev/v1alpha1\nspec: {\nmetadata:\n  name: ac").key, None);
}

#[test]
fn keys_that_stand_twice_and_alias_bombs_are_refused() {
    assert!(problems(&format!("{TENANT}  plan: a\n  plan: b\n"))[0].contains("plan"));
    let mut bomb =
        String::from("apiVersion: weir.dev/v1alpha1\nkind: Tenant\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let started = std::time::Instant::now();
    assert!(problems(&bomb)[0].contains("is not valid YAML"));
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn lists_and_json_are_read() {
    let text = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"List\",\n\t\"items\": [\n\t\t{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\"}},\n\t\t{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"B\"}}\n\t]\n}\n";
    let read = documents(text);
    assert_eq!(read.len(), 2);
    assert_eq!((read[0].line, read[1].line), (4, 5));
    assert_eq!(objects(&read[0].text).unwrap()[0].kind(), Kind::Namespace);
    let Content::Bad(problems) = &read[1].content else { panic!() };
    assert_eq!(problems[0].line, 5);
    assert_eq!(problems[0].error.field, "metadata.name");
}

#[test]
fn quantities_may_be_numbers() {
    let text = "apiVersion: weir.dev/v1alpha1\nkind: Plan\nmetadata: {name: p}\nspec: {monthlyBytes: 500, maxRequestBytes: 1.5Ki}\n";
    let Object::Plan(plan) = accepted(text) else { panic!() };
    assert_eq!(plan.spec.monthly_bytes.unwrap().value(), Ok(500));
    assert_eq!(plan.spec.max_request_bytes.unwrap().value(), Ok(1536));
}

#[test]
fn a_secret_is_not_in_what_a_document_shows_of_itself() {
    let key = "aHVzaGh1c2g=";
    for kind in ["Secret", "Secrte"] {
        let text = format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\ndata: {{password: {key}}}\n");
        let shown = format!("{:?}", one(&text));
        assert!(!shown.contains(key) && !shown.contains("hushhush"), "{shown}");
    }
}
