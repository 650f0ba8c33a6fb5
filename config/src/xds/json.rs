//! JSON of any message, as Envoy reads and prints it: field names as in the definitions, an `Any` as
//! its message with `@type`.
//!
//! The definitions are those of Envoy's own API, as a compressed descriptor set beside this file.

use std::sync::LazyLock;

use bytes::Bytes;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Map, Value};

use crate::FieldError;
use crate::model::ResourceType;

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";
/// Fields that hold secrets, wherever they stand.
const SECRETS: [&str; 5] = ["private_key", "password", "pkcs12", "generic_secret", "session_ticket_keys"];
/// Larger than the descriptor set ever gets, in bytes.
const MOST_DESCRIPTORS: usize = 16 * 1024 * 1024;

/// The messages that Weir and its tests need, made from the definitions in envoy-types.
pub(super) static DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin.zst");

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| {
    let bytes = zstd::bulk::decompress(DESCRIPTORS, MOST_DESCRIPTORS).ok()?;
    DescriptorPool::decode(bytes.as_slice()).ok()
});

/// A resource as JSON with its `@type`, private keys left out. Equal bytes give equal text.
///
/// # Errors
/// If `value` is not a message of this type, or holds an `Any` of a type that is not known.
pub fn to_json(kind: ResourceType, value: &[u8]) -> Result<Value, FieldError> {
    let mut json = to_json_with_keys(kind, value)?;
    redact(&mut json);
    Ok(json)
}

/// [`to_json`] with private keys in it: for what is handed to a proxy, never for people or logs.
///
/// # Errors
/// As [`to_json`].
pub fn to_json_with_keys(kind: ResourceType, value: &[u8]) -> Result<Value, FieldError> {
    let url = kind.url();
    let name = url.rsplit('/').next().unwrap_or_default();
    let mut json = message_to_json(name, value)?;
    if let Value::Object(fields) = &mut json {
        fields.insert("@type".to_owned(), Value::from(url));
    }
    sort(&mut json);
    Ok(json)
}

/// Any message by its full name (`envoy.service.discovery.v3.DeltaDiscoveryResponse`) as JSON, with all it holds.
///
/// # Errors
/// If the name is not known, or as [`to_json`].
pub fn message_to_json(name: &str, value: &[u8]) -> Result<Value, FieldError> {
    let message = DynamicMessage::decode(descriptor(name)?, value)
        .map_err(|error| FieldError::new("", format!("is not a {name}: {error}")))?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut json = message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| FieldError::new("", format!("cannot be shown as JSON: {error}")))?;
    sort(&mut json);
    Ok(json)
}

/// A resource from JSON with its `@type`.
///
/// # Errors
/// If the type is none of Weir's resources, or a field is not known or has a value that does not fit.
pub fn from_json(json: &Value) -> Result<(ResourceType, Bytes), FieldError> {
    let mut json = json.clone();
    let url = json.as_object_mut().and_then(|fields| fields.remove("@type"));
    let url = url.as_ref().and_then(Value::as_str).ok_or_else(|| FieldError::new("@type", "is required"))?;
    let kind = ResourceType::from_url(url).ok_or_else(|| {
        let known: Vec<_> = ResourceType::ALL.iter().map(|kind| kind.url()).collect();
        FieldError::new("@type", format!("{url:?} is not a resource")).hint(format!("one of {}", known.join(", ")))
    })?;
    let name = url.rsplit('/').next().unwrap_or_default();
    Ok((kind, message_from_json(name, &json)?))
}

/// Any message by its full name from JSON without an outer `@type`.
///
/// # Errors
/// If the name or a field is not known, or a value does not fit.
pub fn message_from_json(name: &str, json: &Value) -> Result<Bytes, FieldError> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(descriptor(name)?, json, &options)
        .map_err(|error| FieldError::new("", format!("is not a {name}: {error}")))?;
    Ok(prost::Message::encode_to_vec(&message).into())
}

/// The definition of a message.
pub(super) fn descriptor(name: &str) -> Result<MessageDescriptor, FieldError> {
    POOL.as_ref()
        .and_then(|pool| pool.get_message_by_name(name))
        .ok_or_else(|| FieldError::new("", format!("no message {name} is known")))
}

/// `@type` and `name` first, the rest by name: maps have no order of their own.
fn sort(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            let mut entries: Vec<_> = std::mem::take(fields).into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
            *fields = Map::from_iter(entries);
            fields.values_mut().for_each(sort);
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

fn rank(field: &str) -> u8 {
    match field {
        "@type" => 0,
        "name" => 1,
        _ => 2,
    }
}

fn redact(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                if SECRETS.contains(&name.as_str()) {
                    *value = serde_json::json!({"inline_string": REDACTED});
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}
