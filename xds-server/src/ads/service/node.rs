//! What a client says of itself, cut to what is kept.

use envoy_types::pb::envoy::config::core::v3::{BuildVersion, Node, node::UserAgentVersionType};
use weir_config::xds::{FEATURE_SEPARATE_STREAMS, FEATURE_USAGE_ALS, FEATURE_VHDS, FEATURE_VHDS_ON_DEMAND};

/// Bytes that are kept of each text by which a node describes itself.
const MAX_TEXT: usize = 256;

/// Client features that mean something here.
const FEATURES: [&str; 4] = [FEATURE_VHDS, FEATURE_USAGE_ALS, FEATURE_SEPARATE_STREAMS, FEATURE_VHDS_ON_DEMAND];

/// What of a node is read, with its texts cut: they are kept and logged, and are whatever the client sends.
pub(super) fn bounded(node: &Node) -> Node {
    let cut = |text: &str| text[..text.floor_char_boundary(MAX_TEXT)].to_owned();
    Node {
        id: cut(&node.id),
        cluster: cut(&node.cluster),
        user_agent_name: cut(&node.user_agent_name),
        user_agent_version_type: node.user_agent_version_type.as_ref().map(|version| match version {
            UserAgentVersionType::UserAgentVersion(text) => UserAgentVersionType::UserAgentVersion(cut(text)),
            UserAgentVersionType::UserAgentBuildVersion(build) => {
                let version = build.version;
                UserAgentVersionType::UserAgentBuildVersion(BuildVersion { version, ..BuildVersion::default() })
            }
        }),
        client_features: FEATURES
            .into_iter()
            .filter(|known| node.client_features.iter().any(|feature| feature == known))
            .map(str::to_owned)
            .collect(),
        ..Node::default()
    }
}

/// Program and version.
pub(super) fn agent(node: &Node) -> String {
    let version = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(text)) => text.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build
            .version
            .as_ref()
            .map(|v| format!("{}.{}.{}", v.major_number, v.minor_number, v.patch))
            .unwrap_or_default(),
        None => String::new(),
    };
    format!("{} {version}", node.user_agent_name).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_of_itself_is_cut() {
        let long = "é".repeat(1 << 20);
        let version = Some(UserAgentVersionType::UserAgentVersion(long.clone()));
        let node = Node {
            id: format!("x{long}"),
            cluster: long.clone(),
            user_agent_name: long.clone(),
            user_agent_version_type: version,
            client_features: [&*long, FEATURE_USAGE_ALS, FEATURE_VHDS, FEATURE_VHDS].map(String::from).into(),
            ..Node::default()
        };
        let kept = bounded(&node);
        assert_eq!((kept.id.len(), kept.cluster.len()), (MAX_TEXT - 1, MAX_TEXT));
        assert!(agent(&kept).len() <= 2 * MAX_TEXT + 1);
        assert_eq!(kept.client_features, [FEATURE_VHDS, FEATURE_USAGE_ALS]);
    }
}
