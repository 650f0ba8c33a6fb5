//! Fields that a reader's crate has no place for. The crates are made from definitions of one day, and
//! drop, without a word, what a newer peer says; here it is found and reported.

use prost_reflect::{DynamicMessage, MessageDescriptor, Value};

use super::json;
use super::read::{At, Problems};

/// Fields that only tune or name, by full name.
const NOISE: [&str; 3] = [
    "envoy.config.cluster.v3.Cluster.dns_jitter",
    "envoy.config.cluster.v3.Cluster.lrs_report_endpoint_metrics",
    "envoy.config.endpoint.v3.LocalityLbEndpoints.metadata",
];

/// Reports what `given` says and `kept`, the same message after reading, does not. Whoever calls it saw
/// that their lengths differ, which in itself says little: a field may be spelt in several ways.
pub(super) fn report(name: &str, given: &[u8], kept: &[u8], at: &At<'_>, problems: &mut Problems) {
    let read = |descriptor: MessageDescriptor, bytes: &[u8]| DynamicMessage::decode(descriptor, bytes).ok();
    let Ok(descriptor) = json::descriptor(name) else { return };
    match (read(descriptor.clone(), given), read(descriptor, kept)) {
        (Some(given), Some(kept)) => compare(&given, &kept, at, problems),
        _ => problems.add(at, format!("is not a {name}")),
    }
}

fn compare(given: &DynamicMessage, kept: &DynamicMessage, at: &At<'_>, problems: &mut Problems) {
    for (field, value) in given.fields() {
        if NOISE.contains(&field.full_name()) {
            continue;
        }
        if !kept.has_field(&field) {
            problems.unsupported(&at.field(field.name()));
            continue;
        }
        let other = kept.get_field(&field);
        match (value, other.as_ref()) {
            (Value::Message(value), Value::Message(other)) => compare(value, other, &at.field(field.name()), problems),
            (Value::List(value), Value::List(other)) => {
                for (index, pair) in value.iter().zip(other).enumerate() {
                    if let (Value::Message(value), Value::Message(other)) = pair {
                        compare(value, other, &at.item(field.name(), index), problems);
                    }
                }
            }
            _ => {}
        }
    }
    for unknown in given.unknown_fields() {
        problems.add(at, format!("has field number {}, which is not known", unknown.number()));
    }
}
