//! References into other namespaces, which their owner must have granted.

use weir_config::kinds::Kind;

use super::Objects;

/// Who refers, or what is referred to.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// Kind.
    pub kind: Kind,
    /// Namespace.
    pub namespace: &'a str,
}

/// Whether an object of `from` may refer to the object `name` of `to`: within one namespace
/// always, otherwise if a ReferenceGrant of the target's namespace says so.
pub fn permitted(objects: &Objects, from: Party<'_>, to: Party<'_>, name: &str) -> bool {
    from.namespace == to.namespace
        || objects.grants(to.namespace).any(|grant| {
            let from_listed = grant.spec.from.iter().any(|entry| {
                entry.group == from.kind.group() && entry.kind == from.kind.name() && entry.namespace == from.namespace
            });
            let to_listed = grant.spec.to.iter().any(|entry| {
                entry.group == to.kind.group()
                    && entry.kind == to.kind.name()
                    && entry.name.as_ref().is_none_or(|only| only.is_empty() || only == name)
            });
            from_listed && to_listed
        })
}
