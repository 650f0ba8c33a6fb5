//! Deserialization errors in words that a writer of manifests understands.

use super::{path, unknown::nearest};
use crate::FieldError;
use crate::kinds::Kind;

/// What serde said about the field at `field`.
///
/// Of a Secret no value is ever repeated, only what was expected.
pub(super) fn explain(kind: Kind, field: &str, message: &str) -> FieldError {
    if let Some(name) = message.strip_prefix("missing field ").and_then(quoted) {
        return FieldError::new(path::child(field, name), "is required");
    }
    let wrong = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|rest| rest.rsplit_once(", expected ")) {
        let expected = wanted(expected);
        return if kind == Kind::Secret {
            FieldError::new(field, format!("must be {expected}"))
        } else {
            FieldError::new(field, format!("must be {expected}, not {}", value(found)))
        };
    }
    if kind == Kind::Secret {
        let base64 = field.starts_with("data");
        return FieldError::new(field, if base64 { "must be base64 text" } else { "has a wrong value" });
    }
    if let Some((name, rest)) = message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once('`')) {
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let error = FieldError::new(field, format!("must be one of {}, not `{name}`", known.join(", ")));
        return match nearest(name, known.into_iter()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        };
    }
    FieldError::new(field, message)
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('`')?.strip_suffix('`')
}

fn wanted(expected: &str) -> String {
    match expected {
        "u8" | "u16" => "a whole number from 0 to 65535".into(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "i32" => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        "u64" | "i64" | "usize" => "a whole number".into(),
        "a sequence" => "a list".into(),
        "string or map" => "text".into(),
        "a byte array" | "bytes" | "base64-encoded string" => "base64 text".into(),
        struct_ if struct_.starts_with("struct ") || struct_.starts_with("tuple ") => "a map of fields".into(),
        // k8s-openapi expects its own types by their names.
        type_ if type_.chars().next().is_some_and(char::is_uppercase) => "a map of fields".into(),
        other => other.into(),
    }
}

fn value(found: &str) -> String {
    let plain = ["string ", "integer ", "floating point ", "boolean "].iter().find_map(|kind| found.strip_prefix(kind));
    match (plain, found) {
        (Some(value), _) => value.trim_matches('`').into(),
        (None, "sequence") => "a list".into(),
        (None, "map") => "a map".into(),
        (None, other) => other.into(),
    }
}
