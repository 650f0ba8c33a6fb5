//! `HTTPPathModifier` to [`PathRewrite`].
//!
//! The API replaces whole segments: `/foo` by `/xyz` makes `/xyz/bar` of `/foo/bar`. Envoy replaces the bytes that
//! the route matched, which is the same but at the root: in place of `/`, `/xyz` must bring its own slash, and where
//! nothing is left of the prefix its slash must go too, for which only an expression does.

use weir_config::FieldError;
use weir_config::kinds::gateway::PathModifier;
use weir_config::model::{PathMatch, PathRewrite};

/// What becomes of the paths that `matched` matches; nothing where they stay as they are.
///
/// # Errors
/// The field that cannot be honoured, seen from the modifier.
pub(crate) fn rewrite(modifier: &PathModifier, matched: &PathMatch) -> Result<Option<PathRewrite>, FieldError> {
    match modifier.type_.as_str() {
        "ReplaceFullPath" => {
            let path = replacement(modifier.replace_full_path.as_deref(), "replaceFullPath")?;
            Ok(Some(PathRewrite::Full(if path.is_empty() { "/".to_owned() } else { path.to_owned() })))
        }
        "ReplacePrefixMatch" => {
            let prefix = match matched {
                PathMatch::SegmentPrefix(prefix) => prefix.as_str(),
                PathMatch::Prefix(prefix) if prefix == "/" => "",
                _ => return Err(FieldError::new("type", "ReplacePrefixMatch needs a match of type PathPrefix")),
            };
            let path = replacement(modifier.replace_prefix_match.as_deref(), "replacePrefixMatch")?;
            Ok(in_place_of(prefix, path.trim_end_matches('/')))
        }
        other => Err(FieldError::new("type", format!("`{other}` is not supported"))),
    }
}

/// Both without a slash at their end; empty: the root.
fn in_place_of(prefix: &str, path: &str) -> Option<PathRewrite> {
    match (prefix, path) {
        ("", "") => None,
        ("", path) => Some(PathRewrite::Prefix(format!("{path}/"))),
        (prefix, "") => {
            Some(PathRewrite::Regex { pattern: format!("^{}/?", quote(prefix)), substitution: "/".to_owned() })
        }
        (_, path) => Some(PathRewrite::Prefix(path.to_owned())),
    }
}

/// A path without query, or nothing at all.
fn replacement<'a>(value: Option<&'a str>, field: &str) -> Result<&'a str, FieldError> {
    let Some(path) = value else { return Err(FieldError::new(field, "is missing")) };
    if !path.is_empty() && !path.starts_with('/') {
        return Err(FieldError::new(field, format!("`{path}` does not begin with `/`")));
    }
    if path.contains(|c: char| c.is_ascii_control() || matches!(c, ' ' | '?' | '#')) {
        return Err(FieldError::new(field, format!("`{path}` is not a path: it has no query, fragment or space")));
    }
    Ok(path)
}

/// A text as an expression (RE2) that matches it alone.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use weir_config::model::pattern::Rewrite;

    use super::*;

    /// As a proxy does it.
    fn apply(rewrite: Option<PathRewrite>, matched: &PathMatch, path: &str) -> String {
        let length = match matched {
            PathMatch::Exact(text) | PathMatch::Prefix(text) | PathMatch::SegmentPrefix(text) => text.len(),
            PathMatch::Regex(_) => path.len(),
        };
        match rewrite {
            None => path.to_owned(),
            Some(PathRewrite::Full(path)) => path,
            Some(PathRewrite::Prefix(prefix)) => format!("{prefix}{}", &path[length..]),
            Some(PathRewrite::Regex { pattern, substitution }) => {
                let mut out = Vec::new();
                Rewrite::new(&pattern, &substitution).unwrap().apply(path.as_bytes(), &mut out);
                String::from_utf8(out).unwrap()
            }
        }
    }

    /// The table of `replacePrefixMatch` in the API, and the root.
    #[test]
    fn prefixes_are_replaced_by_whole_segments() {
        for (path, prefix, value, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo.a/b", "/foo.a", "/", "/b"),
            ("/bar", "/", "/xyz", "/xyz/bar"),
            ("/", "/", "/xyz", "/xyz/"),
            ("/bar", "/", "/", "/bar"),
        ] {
            let matched = match prefix {
                "/" => PathMatch::default(),
                prefix => PathMatch::SegmentPrefix(prefix.into()),
            };
            let modifier = PathModifier {
                type_: "ReplacePrefixMatch".into(),
                replace_prefix_match: Some(value.into()),
                ..Default::default()
            };
            let rewrite = rewrite(&modifier, &matched).unwrap();
            assert_eq!(apply(rewrite, &matched, path), expected, "{path}: {prefix} by {value:?}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for value in ["xyz", "/a?b=c", "/a b", "/a#b"] {
            let modifier = PathModifier {
                type_: "ReplaceFullPath".into(),
                replace_full_path: Some(value.into()),
                ..Default::default()
            };
            assert_eq!(rewrite(&modifier, &PathMatch::default()).unwrap_err().field, "replaceFullPath", "{value}");
        }
    }
}
