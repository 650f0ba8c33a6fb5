//! Field paths, in the one notation of [`FieldError`](crate::FieldError).

use serde_path_to_error::{Path, Segment};

/// `parent` and the field or key `name`: `spec.plan`, `metadata.labels[app.kubernetes.io/name]`.
pub(super) fn child(parent: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match (plain, parent.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{parent}.{name}"),
        (false, _) => format!("{parent}[{name}]"),
    }
}

/// `parent` and the place `index` of a list.
pub(super) fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// The path without its last step; none of the whole object.
pub(super) fn parent(path: &str) -> Option<&str> {
    let cut = match path.strip_suffix(']') {
        Some(_) => path.rfind('['),
        None => path.rfind('.'),
    };
    cut.map(|cut| &path[..cut]).or((!path.is_empty()).then_some(""))
}

/// The path of a deserialization error.
pub(super) fn of_error(path: &Path) -> String {
    path.iter().fold(String::new(), |text, segment| match segment {
        Segment::Seq { index } => item(&text, *index),
        Segment::Map { key } => child(&text, key),
        Segment::Enum { .. } | Segment::Unknown => text,
    })
}

#[cfg(test)]
mod tests {
    use super::{child, item, parent};

    #[test]
    fn paths_are_built_and_taken_apart() {
        let path = child(&item(&child("spec", "rules"), 2), "a.b/c");
        assert_eq!(path, "spec.rules[2][a.b/c]");
        let mut steps = vec![path.as_str()];
        while let Some(next) = parent(steps[steps.len() - 1]) {
            steps.push(next);
        }
        assert_eq!(steps, ["spec.rules[2][a.b/c]", "spec.rules[2]", "spec.rules", "spec", ""]);
    }
}
