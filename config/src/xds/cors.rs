//! `CorsPolicy`, a route's own.

use envoy_types::pb::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::BoolValue;
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields, fitting};
use super::{mirror, scalar, string_match};
use crate::model::{Cors, StringMatch};

pub(super) fn write(value: &Cors) -> Any {
    let message = CorsPolicy {
        allow_origin_string_match: value.origins.iter().map(write_origin).collect(),
        allow_methods: write_list(&value.methods),
        allow_headers: write_list(&value.headers),
        expose_headers: write_list(&value.expose),
        max_age: value.max_age.map(|seconds| seconds.to_string()).unwrap_or_default(),
        allow_credentials: value.credentials.then_some(BoolValue { value: true }),
        ..Default::default()
    };
    scalar::any14(&message, &scalar::NO_MAPS)
}

/// As [`string_match::write`], in the other crate.
fn write_origin(value: &StringMatch) -> StringMatcher {
    let pattern = match value {
        StringMatch::Exact(text) => MatchPattern::Exact(text.clone()),
        StringMatch::Prefix(text) => MatchPattern::Prefix(text.clone()),
        StringMatch::Suffix(text) => MatchPattern::Suffix(text.clone()),
        StringMatch::Contains(text) => MatchPattern::Contains(text.clone()),
        StringMatch::Regex(text) => MatchPattern::SafeRegex(RegexMatcher { regex: text.clone(), ..Default::default() }),
    };
    StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

fn write_list(items: &[String]) -> String {
    items.join(", ")
}

/// Reads the policy in an `Any`; `at` is the `Any`'s.
pub(super) fn read(any: &Any, at: &At<'_>, problems: &mut Problems) -> Option<Cors> {
    let message: CorsPolicy = scalar::unpack14(any, at, problems)?;
    fields!(message => CorsPolicy, at, problems;
        read allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials
            allow_private_network_access forward_not_matching_preflights filter_enabled;
        refuse;
        pass shadow_enabled;);
    if allow_private_network_access.is_some_and(|wrapped| wrapped.value) {
        problems.unsupported(&at.field("allow_private_network_access"));
    }
    if forward_not_matching_preflights.is_some_and(|wrapped| !wrapped.value) {
        problems.advise(
            &at.field("forward_not_matching_preflights"),
            "must not be false",
            "a preflight of another origin is the backend's to answer",
        );
    }
    if let Some(enabled) = filter_enabled {
        let at = at.field("filter_enabled");
        let share = mirror::read_fraction(scalar::transcode(&enabled, &at, problems)?, &at, problems)?;
        if share.numerator < share.denominator {
            problems.advise(&at, "is not supported", "leave it out, or say 100 %");
        }
    }
    let origins = allow_origin_string_match.into_iter().enumerate();
    let origins = fitting(origins.filter_map(|(index, origin)| {
        let at = at.item("allow_origin_string_match", index);
        string_match::read(scalar::transcode(&origin, &at, problems)?, &at, problems)
    }));
    let max_age = match max_age.as_str() {
        "" => None,
        text => match text.parse() {
            Ok(seconds) => Some(seconds),
            Err(_) => {
                problems.add(&at.field("max_age"), format!("{text:?} is not a number of seconds"));
                None
            }
        },
    };
    Some(Cors {
        origins,
        methods: read_list(&allow_methods, &at.field("allow_methods"), problems),
        headers: read_list(&allow_headers, &at.field("allow_headers"), problems),
        expose: read_list(&expose_headers, &at.field("expose_headers"), problems),
        max_age,
        credentials: allow_credentials.is_some_and(|wrapped| wrapped.value),
    })
}

/// The elements of a list as it stands in a header (RFC 9110 5.6.1): each is a token.
fn read_list(text: &str, at: &At<'_>, problems: &mut Problems) -> Vec<String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let items = text.split(',').map(|item| item.trim_matches([' ', '\t'])).filter(|item| !item.is_empty());
    fitting(items.filter_map(|item| {
        if item.bytes().all(token) {
            return Some(item.to_owned());
        }
        problems.add(at, format!("{item:?} is no token"));
        None
    }))
}
