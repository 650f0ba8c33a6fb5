//! Which release of the Gateway API a cluster's CRDs are of, and whether Weir knows it.

use std::collections::BTreeMap;

use super::Condition;

/// Annotation of a CRD that names its release: `v1.6.1`.
pub const ANNOTATION: &str = "gateway.networking.k8s.io/bundle-version";
/// Minor releases of version 1 whose kinds Weir reads. Before 1.2 a GatewayClass has its supported features in another
/// form.
const MINORS: std::ops::RangeInclusive<u32> = 2..=6;
/// CRDs that a message names.
const MAX_NAMED: usize = 5;

/// `SupportedVersion` of a GatewayClass (`GatewayClassConditionStatusSupportedVersion`), of the CRDs that are installed:
/// by name, what their annotation says. It is false where one has none, or a release that Weir does not know; what
/// there is is served all the same.
pub fn supported_version(crds: &BTreeMap<String, Option<String>>) -> Condition {
    let unknown = crds.iter().filter(|(_, version)| !version.as_deref().is_some_and(is_known));
    let told: Vec<String> = unknown
        .map(|(name, version)| match version {
            Some(version) => format!("{name} is of {}", version.escape_debug()),
            None => format!("{name} does not say of which release it is"),
        })
        .collect();
    let (first, last) = (MINORS.start(), MINORS.end());
    if told.is_empty() {
        let message = format!("the Gateway API's CRDs are of releases that Weir knows (v1.{first} to v1.{last})");
        return Condition::holds("SupportedVersion", "SupportedVersion", message);
    }
    let more = match told.len().checked_sub(MAX_NAMED) {
        Some(more) if more > 0 => format!("; {more} more"),
        _ => String::new(),
    };
    let named = told.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join("; ");
    let message = format!(
        "Weir knows the Gateway API's releases v1.{first} to v1.{last}, and goes on as well as it can: \
         {named}{more}; install the CRDs of one release"
    );
    Condition::fails("SupportedVersion", "UnsupportedVersion", message)
}

/// Whether a release (`v1.6.1`, `v1.6.0-rc.1`) is one that Weir knows.
fn is_known(version: &str) -> bool {
    let mut parts = version.strip_prefix('v').unwrap_or_default().splitn(3, '.');
    let (major, minor, patch) = (parts.next(), parts.next(), parts.next());
    major == Some("1") && patch.is_some() && minor.and_then(|m| m.parse().ok()).is_some_and(|m| MINORS.contains(&m))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(versions: &[Option<&str>]) -> Condition {
        let crd = |(n, version): (usize, &Option<&str>)| (format!("crd-{n}"), version.map(str::to_owned));
        supported_version(&versions.iter().enumerate().map(crd).collect())
    }

    #[test]
    fn every_release_that_is_known_is_supported() {
        for version in ["v1.2.0", "v1.5.1", "v1.6.1", "v1.6.0-rc.2"] {
            assert!(of(&[Some(version), Some("v1.6.1")]).status, "{version}");
        }
        for version in ["v1.1.0", "v1.7.0", "v2.2.0", "v0.8.1", "1.6.1", "v1.6", "main", ""] {
            let condition = of(&[Some("v1.6.1"), Some(version)]);
            assert_eq!((condition.status, &*condition.reason), (false, "UnsupportedVersion"), "{version}");
            assert!(condition.message.contains("crd-1 is of"), "{}", condition.message);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_name_and_within_bounds() {
        let message = of(&[None]).message;
        assert!(message.contains("crd-0 does not say of which release it is; install"), "{message}");
        let message = of(&[None; 10]).message;
        assert!(message.contains("crd-4") && !message.contains("crd-5") && message.contains("5 more"), "{message}");
    }
}
