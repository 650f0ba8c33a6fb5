//! `regex_rewrite`: what an expression finds in a text, and what stands in its place (RE2's `GlobalReplace`).

use std::sync::Arc;

use regex::bytes::Regex;

use super::search;
use crate::FieldError;

/// An expression and its substitution, compiled.
#[derive(Clone, Debug)]
pub struct Rewrite {
    regex: Arc<Regex>,
    parts: Box<[Part]>,
}

/// A piece of a substitution.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// `\0` to `\9`: what the whole expression, or a group of it, found.
    Group(usize),
}

impl Rewrite {
    /// Compiles.
    ///
    /// # Errors
    /// At `pattern.regex`: as [`super::regex`]. At `substitution`: a `\` that is followed by neither a digit nor
    /// `\`, or a group that the expression does not have.
    pub fn new(pattern: &str, substitution: &str) -> Result<Self, FieldError> {
        let regex = search(pattern).map_err(|error| error.within("regex").within("pattern"))?;
        let parts = parts(substitution, regex.captures_len()).map_err(|error| error.within("substitution"))?;
        Ok(Self { regex, parts })
    }

    /// Writes `text` after what `out` holds, each match replaced.
    pub fn apply(&self, text: &[u8], out: &mut Vec<u8>) {
        let mut end = 0;
        for found in self.regex.captures_iter(text) {
            let Some(whole) = found.get(0) else { continue };
            out.extend_from_slice(text.get(end..whole.start()).unwrap_or_default());
            for part in &self.parts {
                match part {
                    Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                    Part::Group(n) => out.extend_from_slice(found.get(*n).map_or(b"", |group| group.as_bytes())),
                }
            }
            end = whole.end();
        }
        out.extend_from_slice(text.get(end..).unwrap_or_default());
    }
}

/// Takes a substitution apart; `groups` counts the whole match too.
fn parts(substitution: &str, groups: usize) -> Result<Box<[Part]>, FieldError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = substitution.chars();
    while let Some(char) = rest.next() {
        let escaped = (char == '\\').then(|| rest.next());
        match escaped {
            None => text.push(char),
            Some(Some('\\')) => text.push('\\'),
            Some(Some(digit @ '0'..='9')) => {
                let group = digit as usize - '0' as usize;
                if group >= groups {
                    let problem = format!("names group \\{group}, and the expression has {}", groups - 1);
                    return Err(FieldError::new("", problem));
                }
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text).into()));
                }
                parts.push(Part::Group(group));
            }
            Some(_) => {
                let problem = "has a `\\` that is followed by neither a digit nor `\\`";
                return Err(FieldError::new("", problem).hint("write `\\\\` for a backslash"));
            }
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    Ok(parts.into())
}

#[cfg(test)]
mod tests {
    use super::Rewrite;

    fn rewrite(pattern: &str, substitution: &str, text: &str) -> String {
        let mut out = b"<".to_vec();
        Rewrite::new(pattern, substitution).unwrap().apply(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_match_is_replaced_and_groups_are_filled_in() {
        for (pattern, substitution, text, expected) in [
            ("one", "two", "/xxx/one/yyy/one/zzz", "</xxx/two/yyy/two/zzz"),
            ("^(.*?)one(.*)$", r"\1two\2", "/xxx/one/yyy/one/zzz", "</xxx/two/yyy/one/zzz"),
            ("^/.*$", "/all", "/a/b", "</all"),
            ("(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb", "</aaa/yyy/bbb"),
            ("^/service/([^/]+)(/.*)$", r"\2/instance/\1", "/service/foo/v1/api", "</v1/api/instance/foo"),
            ("b", r"[\0]", "abc", "<a[b]c"),
            ("b", r"\\1", "abc", r"<a\1c"),
            ("(x)?b", r"\1", "abc", "<ac"),
            ("a*", "X", "baac", "<XbXcX"),
            ("q", "X", "abc", "<abc"),
        ] {
            assert_eq!(rewrite(pattern, substitution, text), expected, "{pattern} {substitution} {text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_refused_at_its_field() {
        for (pattern, substitution, field) in [
            ("a", r"\1", "substitution"),
            ("(a)", r"\2", "substitution"),
            ("a", r"\", "substitution"),
            ("a", r"\x", "substitution"),
            ("(", "x", "pattern.regex"),
            ("", "x", "pattern.regex"),
        ] {
            let error = Rewrite::new(pattern, substitution).unwrap_err();
            assert!(error.to_string().starts_with(field), "{pattern} {substitution}: {error}");
        }
    }
}
