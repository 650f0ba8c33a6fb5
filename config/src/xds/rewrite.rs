//! What becomes of a path: `prefix_rewrite`, `regex_rewrite`, and a redirect's `path_redirect`.

use xds_api::pb::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;

use super::read::{At, Problems};
use super::string_match;
use crate::model::{PathRewrite, pattern};

/// The expression of a rewrite of the whole path.
const WHOLE: &str = "^/.*$";

/// `regex_rewrite` in place of the whole path: a route of a request has no field for that alone.
pub(super) fn write_whole(path: &str) -> RegexMatchAndSubstitute {
    write_regex(WHOLE, &path.replace('\\', r"\\"))
}

pub(super) fn write_regex(pattern: &str, substitution: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute { pattern: Some(string_match::regex(pattern)), substitution: substitution.to_owned() }
}

/// Reads `regex_rewrite`; `at` is its own.
pub(super) fn read_regex(
    message: RegexMatchAndSubstitute,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<PathRewrite> {
    let RegexMatchAndSubstitute { pattern, substitution } = message;
    let Some(pattern) = pattern else {
        problems.missing(&at.field("pattern"));
        return None;
    };
    let pattern = pattern.regex;
    if let Err(error) = pattern::Rewrite::new(&pattern, &substitution) {
        let at = at.field(&error.field);
        match error.hint {
            Some(hint) => problems.advise(&at, error.problem, hint),
            None => problems.add(&at, error.problem),
        }
        return None;
    }
    if substitution.contains(|c: char| c.is_ascii_control()) {
        problems.add(&at.field("substitution"), "holds a control character");
        return None;
    }
    match literal(&substitution) {
        Some(path) if pattern == WHOLE && is_path(&path) => Some(PathRewrite::Full(path)),
        _ => Some(PathRewrite::Regex { pattern, substitution }),
    }
}

/// The text that a substitution is, where it names no group.
fn literal(substitution: &str) -> Option<String> {
    let mut text = String::with_capacity(substitution.len());
    let mut rest = substitution.chars();
    while let Some(next) = rest.next() {
        match next {
            '\\' => text.push(rest.next().filter(|escaped| *escaped == '\\')?),
            plain => text.push(plain),
        }
    }
    Some(text)
}

/// What stands in place of a prefix or a whole path.
pub(super) fn read_text(text: String, at: &At<'_>, problems: &mut Problems) -> Option<String> {
    if is_path(&text) {
        return Some(text);
    }
    problems.advise(at, format!("{text:?} is not a path"), "it begins with `/`, and has no `?`, `#` or space");
    None
}

/// A path without query.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains(|c: char| c.is_ascii_control() || matches!(c, ' ' | '?' | '#'))
}
