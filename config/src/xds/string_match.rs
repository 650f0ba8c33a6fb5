//! `StringMatcher`, and the regular expressions of every match.

use xds_api::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use xds_api::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};

use super::read::{At, Problems};
use crate::model::StringMatch;

/// How large a compiled expression may be, in bytes. It bounds what a route costs to hold and to match.
const MOST_REGEX_BYTES: usize = 256 * 1024;

pub(super) fn write(value: &StringMatch) -> StringMatcher {
    let pattern = match value {
        StringMatch::Exact(text) => MatchPattern::Exact(text.clone()),
        StringMatch::Prefix(text) => MatchPattern::Prefix(text.clone()),
        StringMatch::Suffix(text) => MatchPattern::Suffix(text.clone()),
        StringMatch::Contains(text) => MatchPattern::Contains(text.clone()),
        StringMatch::Regex(text) => MatchPattern::SafeRegex(regex(text)),
    };
    StringMatcher { match_pattern: Some(pattern), ignore_case: false }
}

pub(super) fn regex(text: &str) -> RegexMatcher {
    RegexMatcher { regex: text.to_owned(), ..Default::default() }
}

pub(super) fn read(message: StringMatcher, at: &At<'_>, problems: &mut Problems) -> Option<StringMatch> {
    let StringMatcher { match_pattern, ignore_case } = message;
    if ignore_case {
        problems.unsupported(&at.field("ignore_case"));
    }
    let (field, text, kind): (_, _, fn(String) -> StringMatch) = match match_pattern {
        Some(MatchPattern::Exact(text)) => return Some(StringMatch::Exact(text)),
        Some(MatchPattern::SafeRegex(regex)) => {
            return read_regex(regex, &at.field("safe_regex"), problems).map(StringMatch::Regex);
        }
        Some(MatchPattern::Prefix(text)) => ("prefix", text, StringMatch::Prefix),
        Some(MatchPattern::Suffix(text)) => ("suffix", text, StringMatch::Suffix),
        Some(MatchPattern::Contains(text)) => ("contains", text, StringMatch::Contains),
        Some(MatchPattern::Custom(_)) => {
            problems.unsupported(&at.field("custom"));
            return None;
        }
        None => {
            problems.missing(at);
            return None;
        }
    };
    if text.is_empty() {
        problems.add(&at.field(field), "must not be empty");
        return None;
    }
    Some(kind(text))
}

/// An expression that compiles within bounds, matched against the whole text.
pub(super) fn read_regex(message: RegexMatcher, at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let RegexMatcher { regex, engine_type: _ } = message;
    if regex.is_empty() {
        problems.missing(&at.field("regex"));
        return None;
    }
    // The same anchors as where it is used.
    let whole = format!("^(?:{regex})$");
    match regex::bytes::RegexBuilder::new(&whole).size_limit(MOST_REGEX_BYTES).build() {
        Ok(_) => Some(regex),
        Err(regex::Error::CompiledTooBig(_)) => {
            problems.advise(&at.field("regex"), "is too large", "shorten its repetitions");
            None
        }
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            problems.add(&at.field("regex"), format!("is not a regular expression: {reason}"));
            None
        }
    }
}
