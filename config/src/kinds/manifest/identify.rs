//! Identity of a document that is not YAML at the moment: read from its lines.
//!
//! Half-written documents are the common case of broken ones, and their first lines are usually
//! whole. Only the plain block style that people write is understood.

use serde_json::{Map, Value};

/// `apiVersion`, `kind`, `metadata.name` and `metadata.namespace`, as far as they can be seen, in
/// the form of the object.
pub(super) fn outline(text: &str) -> Value {
    let mut root = Map::new();
    let mut metadata = Map::new();
    let mut section = "";
    let mut inner = None;
    for line in text.lines() {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        let Some((key, rest)) = content.split_once(':') else { continue };
        if content.starts_with('#') {
            continue;
        }
        if indent == 0 {
            section = key.trim_matches('"');
            inner = None;
            if let ("apiVersion" | "kind", Some(value)) = (section, scalar(rest)) {
                root.insert(section.into(), value);
            }
        } else if section == "metadata"
            && indent == *inner.get_or_insert(indent)
            && let ("name" | "namespace", Some(value)) = (key, scalar(rest))
        {
            metadata.insert(key.into(), value);
        }
    }
    root.insert("metadata".into(), Value::Object(metadata));
    Value::Object(root)
}

/// A plain or quoted scalar that ends on its line.
fn scalar(rest: &str) -> Option<Value> {
    let text = rest.strip_prefix(' ')?;
    let text = text.split(" #").next().unwrap_or(text).trim();
    let bare = match text.chars().next()? {
        quote @ ('"' | '\'') => text.strip_prefix(quote)?.strip_suffix(quote)?,
        _ => text,
    };
    let plain = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b"-./_".contains(&b));
    plain.then(|| Value::String(bare.to_owned()))
}
