//! Which proxies a question is about: `NodeMatcher`s. Pure.

use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher};
use regex::{Regex, RegexBuilder};

/// Matchers of one question, at most.
const MAX_MATCHERS: usize = 100;
/// Bytes of a compiled expression.
const MAX_REGEX: usize = 64 << 10;

/// Matchers of node ids, of which one suffices; none: every proxy.
#[derive(Debug)]
pub(super) struct Matchers(Vec<Matcher>);

#[derive(Debug)]
struct Matcher {
    pattern: Pattern,
    ignore_case: bool,
}

#[derive(Debug)]
enum Pattern {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Regex(Regex),
}

impl Matchers {
    /// Reads them.
    ///
    /// # Errors
    /// What cannot be matched by.
    pub(super) fn new(matchers: &[NodeMatcher]) -> Result<Self, String> {
        if matchers.len() > MAX_MATCHERS {
            return Err(format!("node_matchers: at most {MAX_MATCHERS}"));
        }
        let one = |(n, matcher): (usize, &NodeMatcher)| {
            let at = |problem: &str| format!("node_matchers[{n}].{problem}");
            if !matcher.node_metadatas.is_empty() {
                return Err(at("node_metadatas: is not supported, as metadata is not kept; use node_id"));
            }
            let id = matcher.node_id.as_ref().ok_or_else(|| at("node_id: is missing"))?;
            Matcher::new(id).map_err(|problem| at(&format!("node_id: {problem}")))
        };
        matchers.iter().enumerate().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether it is about the proxy of this id.
    pub(super) fn accept(&self, id: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|matcher| matcher.accepts(id))
    }
}

impl Matcher {
    fn new(matcher: &StringMatcher) -> Result<Self, String> {
        let ignore_case = matcher.ignore_case;
        let text = |text: &str| if ignore_case { text.to_lowercase() } else { text.to_owned() };
        let pattern = match &matcher.match_pattern {
            Some(MatchPattern::Exact(exact)) => Pattern::Exact(text(exact)),
            Some(MatchPattern::Prefix(prefix)) => Pattern::Prefix(text(prefix)),
            Some(MatchPattern::Suffix(suffix)) => Pattern::Suffix(text(suffix)),
            Some(MatchPattern::Contains(part)) => Pattern::Contains(text(part)),
            Some(MatchPattern::SafeRegex(expression)) => {
                let whole = format!("^(?:{})$", expression.regex);
                let regex = RegexBuilder::new(&whole).size_limit(MAX_REGEX).build();
                Pattern::Regex(regex.map_err(|error| format!("safe_regex: {error}"))?)
            }
            Some(MatchPattern::Custom(_)) => return Err("custom: is not supported".to_owned()),
            None => return Err("says nothing".to_owned()),
        };
        Ok(Self { pattern, ignore_case })
    }

    fn accepts(&self, id: &str) -> bool {
        let lower;
        let text = if self.ignore_case {
            lower = id.to_lowercase();
            &lower
        } else {
            id
        };
        match &self.pattern {
            Pattern::Exact(exact) => text == exact,
            Pattern::Prefix(prefix) => text.starts_with(prefix),
            Pattern::Suffix(suffix) => text.ends_with(suffix),
            Pattern::Contains(part) => text.contains(part),
            Pattern::Regex(regex) => regex.is_match(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StructMatcher};

    use super::*;

    fn id(pattern: MatchPattern, ignore_case: bool) -> NodeMatcher {
        let node_id = StringMatcher { ignore_case, match_pattern: Some(pattern) };
        NodeMatcher { node_id: Some(node_id), ..NodeMatcher::default() }
    }

    #[test]
    fn one_matcher_suffices_and_none_means_all() {
        let exact = |text: &str| id(MatchPattern::Exact(text.into()), false);
        let matchers = Matchers::new(&[exact("edge-1"), exact("edge-2")]).unwrap();
        assert!(matchers.accept("edge-1") && matchers.accept("edge-2") && !matchers.accept("edge-3"));
        assert!(Matchers::new(&[]).unwrap().accept("anything"));
    }

    #[test]
    fn each_form_of_a_string_matcher() {
        let accepts = |matcher: NodeMatcher, text: &str| Matchers::new(&[matcher]).unwrap().accept(text);
        assert!(accepts(id(MatchPattern::Exact("Edge-1".into()), true), "edge-1"));
        assert!(!accepts(id(MatchPattern::Exact("Edge-1".into()), false), "edge-1"));
        assert!(accepts(id(MatchPattern::Prefix("edge".into()), false), "edge-1"));
        assert!(accepts(id(MatchPattern::Suffix("-1".into()), false), "edge-1"));
        assert!(accepts(id(MatchPattern::Contains("ge-".into()), false), "edge-1"));
        let regex = |regex: &str| MatchPattern::SafeRegex(RegexMatcher { regex: regex.into(), ..Default::default() });
        assert!(accepts(id(regex("edge-[0-9]"), false), "edge-1"));
        assert!(!accepts(id(regex("edge-"), false), "edge-1"), "an expression matches whole");
    }

    #[test]
    fn what_cannot_be_matched_by_is_named() {
        let metadata = NodeMatcher { node_metadatas: vec![StructMatcher::default()], ..NodeMatcher::default() };
        let error = |matcher| Matchers::new(&[matcher]).unwrap_err();
        assert!(error(metadata).starts_with("node_matchers[0].node_metadatas:"));
        assert!(error(NodeMatcher::default()).starts_with("node_matchers[0].node_id: is missing"));
        let bomb = MatchPattern::SafeRegex(RegexMatcher { regex: "(a{1000}){1000}".into(), ..Default::default() });
        assert!(error(id(bomb, false)).contains("safe_regex"));
        assert!(Matchers::new(&vec![NodeMatcher::default(); 101]).is_err());
    }
}
