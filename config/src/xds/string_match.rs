//! `StringMatcher`, and the regular expressions of every match.

use xds_api::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use xds_api::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};

use super::read::{At, Problems};
use crate::model::{StringMatch, pattern};

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
    match pattern::regex(&regex) {
        Ok(_) => Some(regex),
        Err(error) => {
            let at = at.field("regex");
            match error.hint {
                Some(hint) => problems.advise(&at, error.problem, hint),
                None => problems.add(&at, error.problem),
            }
            None
        }
    }
}
