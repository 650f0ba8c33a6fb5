//! `parentRefs` and `hostnames`, which all kinds of routes have.

use super::{Errors, names};
use crate::kinds::gateway::ParentReference;

/// The CRDs' rules: two references to one parent are told apart by `sectionName` or `port`, in the same way.
pub(super) fn parents(parents: &[ParentReference], errors: &mut Errors) {
    errors.at_most(parents, 32, "spec.parentRefs");
    for (index, parent) in parents.iter().enumerate() {
        let at = format!("spec.parentRefs[{index}]");
        errors.check(!parent.name.is_empty(), format!("{at}.name"), || "must not be empty".into());
        errors.check(parent.port != Some(0), format!("{at}.port"), || "must be from 1 to 65535".into());
        for earlier in parents[..index].iter().filter(|earlier| object(earlier) == object(parent)) {
            let place = |parent: &ParentReference| (parent.section_name.clone().unwrap_or_default(), parent.port);
            let shape = |parent: &ParentReference| (place(parent).0.is_empty(), parent.port.is_none());
            if place(earlier) == place(parent) {
                errors.add(at.as_str(), "stands twice");
            } else if shape(earlier) != shape(parent) {
                errors.add(at.as_str(), "names the parent of an earlier one: both need `sectionName`, or both `port`");
            } else {
                continue;
            }
            break;
        }
    }
}

fn object(parent: &ParentReference) -> (Option<&str>, Option<&str>, Option<&str>, &str) {
    (parent.group.as_deref(), parent.kind.as_deref(), parent.namespace.as_deref(), &parent.name)
}

pub(super) fn hostnames(hostnames: &[String], most: usize, errors: &mut Errors) {
    errors.at_most(hostnames, most, "spec.hostnames");
    for (index, hostname) in hostnames.iter().enumerate() {
        if let Some(error) = names::hostname(hostname) {
            errors.push(error.within(&format!("spec.hostnames[{index}]")));
        }
    }
}
