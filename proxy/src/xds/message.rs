//! What the client says: requests, and the text of a refusal.

use std::collections::BTreeMap;
use std::fmt::Write;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::google::rpc::Status;
use weir_config::FieldError;
use weir_config::model::ResourceType;
use weir_config::xds::FEATURE_VHDS;

/// Longest text of a refusal, in bytes.
const MAX_TEXT: usize = 8 * 1024;
/// `google.rpc.Code.INVALID_ARGUMENT`.
const INVALID_ARGUMENT: i32 = 3;

/// This proxy, as it introduces itself on every stream.
pub(super) fn node(id: &str, cluster: &str) -> Node {
    Node {
        id: id.to_owned(),
        cluster: cluster.to_owned(),
        user_agent_name: "weir".into(),
        user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion(env!("CARGO_PKG_VERSION").into())),
        client_features: vec![FEATURE_VHDS.into(), "envoy.lb.does_not_support_overprovisioning".into()],
        ..Node::default()
    }
}

/// The refusal of some resources of a response: each by name, with the field's path and the reason.
pub(super) fn refusal(kind: ResourceType, bad: &BTreeMap<String, Vec<FieldError>>) -> Status {
    let mut text = String::new();
    for (place, (name, errors)) in bad.iter().enumerate() {
        if text.len() > MAX_TEXT {
            let _ = write!(text, "; and {} more", bad.len() - place);
            break;
        }
        let gap = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{gap}{} `{}`", kind.message(), shortened(name, 256));
        for (place, error) in errors.iter().enumerate() {
            let _ = write!(text, "{} {}", if place == 0 { ":" } else { "," }, shortened(&error.to_string(), 1024));
            if text.len() > MAX_TEXT {
                break;
            }
        }
    }
    status(text)
}

/// The refusal of a whole response.
pub(super) fn status(message: String) -> Status {
    Status { code: INVALID_ARGUMENT, message, details: Vec::new() }
}

/// `text`, cut at a character's end.
fn shortened(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
