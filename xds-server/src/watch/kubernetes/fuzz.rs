//! Whatever an API server sends is read without a panic, and nothing of it is quoted in what is told.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use weir_config::kinds::Kind;
use weir_config::testing::soak;

use super::wire::{Told, line, page};

const SECRET: &str = "c2VzYW1lIG9wZW4=";

/// What API servers send.
const TEXTS: &[&str] = &[
    r#"{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"x"},"items":[{"metadata":{"name":"a","namespace":"b","resourceVersion":"3"},"type":"kubernetes.io/tls","data":{"tls.crt":"c2VzYW1lIG9wZW4=","tls.key":"c2VzYW1lIG9wZW4="}}]}"#,
    r#"{"type":"ADDED","object":{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"b","resourceVersion":"3"},"type":"kubernetes.io/tls","data":{"tls.crt":"c2VzYW1lIG9wZW4=","tls.key":"c2VzYW1lIG9wZW4="}}}"#,
    r#"{"object":{"metadata":{"name":"p","resourceVersion":"9"},"spec":{"weight":1}},"type":"DELETED"}"#,
    r#"{"type":"BOOKMARK","object":{"kind":"Plan","metadata":{"resourceVersion":"12"}}}"#,
    r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"reason":"Expired","message":"too old"}}"#,
    r#"{"metadata":{"resourceVersion":"1"},"items":null}"#,
];

fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<Index>(), any::<u8>(), 0..4u8);
    (select(TEXTS), prop::collection::vec(edit, 0..6)).prop_map(|(text, edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for (place, byte, how) in edits {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match how {
                0 => bytes.insert(place, byte),
                1 => bytes[place] = b"{}[]\",:0n\\"[usize::from(byte) % 10],
                2 => drop(bytes.remove(place)),
                _ => bytes.truncate(place.max(1)),
            }
        }
        bytes
    })
}

fn check(kind: Kind, bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut texts = Vec::new();
    match page(kind, bytes) {
        Ok(page) => texts.extend(page.items.iter().flat_map(|item| item.problems.iter().map(ToString::to_string))),
        Err(failure) => texts.push(failure.to_string()),
    }
    match line(kind, bytes) {
        Ok(Told::Put(item)) => {
            prop_assert!(item.object.is_some() || !item.problems.is_empty());
            prop_assert_eq!(item.key.kind, kind);
            texts.extend(item.problems.iter().map(ToString::to_string));
        }
        Ok(_) => {}
        Err(failure) => texts.push(failure.to_string()),
    }
    if kind == Kind::Secret {
        // Eight bytes of it are enough to see whose they are.
        prop_assert!(texts.iter().all(|text| !text.contains(&SECRET[..8])), "{:?}", texts);
    }
    Ok(())
}

#[test]
fn soak_whatever_an_api_server_sends_is_read_without_panic() {
    let bytes = prop_oneof![6 => damaged(), 1 => prop::collection::vec(any::<u8>(), 0..64)];
    soak::property(&(select(Kind::ALL.to_vec()), bytes), |(kind, bytes)| check(kind, &bytes));
}

#[test]
fn soak_a_damaged_secret_is_quoted_nowhere() {
    soak::property(&damaged(), |bytes| check(Kind::Secret, &bytes));
}

/// Text that is small and asks for much.
#[test]
fn depth_is_bounded() {
    for text in ["[".repeat(1 << 20), format!("{{\"metadata\":{}", "{\"a\":".repeat(1 << 18))] {
        assert!(page(Kind::Plan, text.as_bytes()).is_err());
        assert!(line(Kind::Plan, text.as_bytes()).is_err());
    }
    let deep = format!(r#"{{"metadata":{{"name":"a"}},"spec":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let text = format!(r#"{{"metadata":{{}},"items":[{deep}]}}"#);
    // An object that cannot be read is a problem of its own, or the list's; never a panic.
    if let Ok(page) = page(Kind::Plan, text.as_bytes()) {
        assert!(page.items.iter().all(|item| item.object.is_none()));
    }
}
