//! `RouteMatch`: path, method, headers, query, and a share of the requests that these match.

use xds_api::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use xds_api::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use xds_api::pb::envoy::config::route::v3::route_match::PathSpecifier;
use xds_api::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch as ProtoMatch};
use xds_api::pb::envoy::r#type::matcher::v3::StringMatcher;
use xds_api::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use super::headers::is_token;
use super::read::{At, Problems, fields};
use super::{mirror, string_match};
use crate::model::{HeaderMatch, PathMatch, QueryMatch, RouteMatch, StringMatch};

/// The header by which xDS matches the method.
const METHOD: &str = ":method";

pub(super) fn write(value: &RouteMatch) -> ProtoMatch {
    let path = match &value.path {
        PathMatch::Exact(path) => PathSpecifier::Path(path.clone()),
        PathMatch::Prefix(path) => PathSpecifier::Prefix(path.clone()),
        PathMatch::SegmentPrefix(path) => PathSpecifier::PathSeparatedPrefix(path.clone()),
        PathMatch::Regex(regex) => PathSpecifier::SafeRegex(string_match::regex(regex)),
    };
    let method = value.method.as_ref().map(|method| HeaderMatcher {
        name: METHOD.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(string_match::write(&StringMatch::Exact(
            method.clone(),
        )))),
        ..Default::default()
    });
    ProtoMatch {
        path_specifier: Some(path),
        headers: method.into_iter().chain(value.headers.iter().map(write_header)).collect(),
        query_parameters: value.query.iter().map(write_query).collect(),
        runtime_fraction: value.fraction.map(mirror::write_fraction),
        ..Default::default()
    }
}

fn write_header(value: &HeaderMatch) -> HeaderMatcher {
    HeaderMatcher {
        name: value.name.clone(),
        invert_match: value.invert,
        header_match_specifier: Some(match &value.value {
            Some(text) => HeaderMatchSpecifier::StringMatch(string_match::write(text)),
            None => HeaderMatchSpecifier::PresentMatch(true),
        }),
        ..Default::default()
    }
}

fn write_query(value: &QueryMatch) -> QueryParameterMatcher {
    QueryParameterMatcher {
        name: value.name.clone(),
        query_parameter_match_specifier: Some(match &value.value {
            Some(text) => QueryParameterMatchSpecifier::StringMatch(string_match::write(text)),
            None => QueryParameterMatchSpecifier::PresentMatch(true),
        }),
    }
}

pub(super) fn read(message: ProtoMatch, at: &At<'_>, problems: &mut Problems) -> Option<RouteMatch> {
    fields!(message => ProtoMatch, at, problems;
        read path_specifier headers query_parameters case_sensitive runtime_fraction;
        refuse grpc tls_context dynamic_metadata;
        pass;);
    if case_sensitive.is_some_and(|wrapped| !wrapped.value) {
        problems.add(&at.field("case_sensitive"), "must not be false: case counts");
    }
    let mut method = None;
    let mut kept = Vec::with_capacity(headers.len());
    for (index, header) in headers.into_iter().enumerate() {
        let at = at.item("headers", index);
        let Some(header) = read_header(header, &at, problems) else { continue };
        if !header.name.starts_with(':') {
            kept.push(header);
            continue;
        }
        match (header.name == METHOD && !header.invert && method.is_none(), header.value) {
            (true, Some(StringMatch::Exact(text))) => method = Some(text),
            _ => problems.advise(&at, "is not supported", "of pseudo-headers, `:method` may be matched, once, exactly"),
        }
    }
    // `:method` came among them.
    kept.shrink_to_fit();
    let mut query = Vec::with_capacity(query_parameters.len());
    for (index, parameter) in query_parameters.into_iter().enumerate() {
        query.extend(read_query(parameter, &at.item("query_parameters", index), problems));
    }
    let fraction = match runtime_fraction {
        Some(fraction) => Some(mirror::read_fraction(fraction, &at.field("runtime_fraction"), problems)?),
        None => None,
    };
    Some(RouteMatch { path: read_path(path_specifier, at, problems)?, method, headers: kept, query, fraction })
}

fn read_path(path: Option<PathSpecifier>, at: &At<'_>, problems: &mut Problems) -> Option<PathMatch> {
    let unsupported = match path {
        Some(PathSpecifier::Path(path)) => return Some(PathMatch::Exact(path)),
        Some(PathSpecifier::Prefix(path)) => return Some(PathMatch::Prefix(path)),
        Some(PathSpecifier::SafeRegex(regex)) => {
            return string_match::read_regex(regex, &at.field("safe_regex"), problems).map(PathMatch::Regex);
        }
        Some(PathSpecifier::PathSeparatedPrefix(path)) => {
            // Envoy's own rule.
            if path.len() < 2 || path.ends_with('/') || path.contains(['?', '#']) {
                problems.advise(
                    &at.field("path_separated_prefix"),
                    format!("{path:?} is not a path of whole segments"),
                    "no `?` or `#`, no `/` at its end; for every path write `prefix: /`",
                );
                return None;
            }
            return Some(PathMatch::SegmentPrefix(path));
        }
        Some(PathSpecifier::ConnectMatcher(_)) => "connect_matcher",
        Some(PathSpecifier::PathMatchPolicy(_)) => "path_match_policy",
        None => {
            problems.advise(at, "has no path", "write `prefix: /` for every path");
            return None;
        }
    };
    problems.unsupported(&at.field(unsupported));
    None
}

fn read_header(message: HeaderMatcher, at: &At<'_>, problems: &mut Problems) -> Option<HeaderMatch> {
    fields!(message => HeaderMatcher, at, problems;
        read name invert_match header_match_specifier;
        refuse treat_missing_header_as_empty;
        pass;);
    let name = name.to_ascii_lowercase();
    if !is_token(name.trim_start_matches(':')) {
        problems.add(&at.field("name"), format!("{name:?} is not a header's name"));
        return None;
    }
    let mut invert = invert_match;
    // The old forms say what a `string_match` says.
    let (field, pattern) = match header_match_specifier {
        None => return Some(HeaderMatch { name, invert, value: None }),
        Some(HeaderMatchSpecifier::PresentMatch(present)) => {
            invert ^= !present;
            return Some(HeaderMatch { name, invert, value: None });
        }
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => {
            let value = string_match::read(matcher, &at.field("string_match"), problems)?;
            return Some(HeaderMatch { name, invert, value: Some(value) });
        }
        Some(HeaderMatchSpecifier::RangeMatch(_)) => {
            problems.unsupported(&at.field("range_match"));
            return None;
        }
        Some(HeaderMatchSpecifier::ExactMatch(text)) => ("exact_match", MatchPattern::Exact(text)),
        Some(HeaderMatchSpecifier::SafeRegexMatch(regex)) => ("safe_regex_match", MatchPattern::SafeRegex(regex)),
        Some(HeaderMatchSpecifier::PrefixMatch(text)) => ("prefix_match", MatchPattern::Prefix(text)),
        Some(HeaderMatchSpecifier::SuffixMatch(text)) => ("suffix_match", MatchPattern::Suffix(text)),
        Some(HeaderMatchSpecifier::ContainsMatch(text)) => ("contains_match", MatchPattern::Contains(text)),
    };
    let matcher = StringMatcher { match_pattern: Some(pattern), ignore_case: false };
    let value = string_match::read(matcher, &at.field(field), problems)?;
    Some(HeaderMatch { name, invert, value: Some(value) })
}

fn read_query(message: QueryParameterMatcher, at: &At<'_>, problems: &mut Problems) -> Option<QueryMatch> {
    let QueryParameterMatcher { name, query_parameter_match_specifier } = message;
    if name.is_empty() {
        problems.missing(&at.field("name"));
    }
    let value = match query_parameter_match_specifier {
        None | Some(QueryParameterMatchSpecifier::PresentMatch(true)) => None,
        Some(QueryParameterMatchSpecifier::PresentMatch(false)) => {
            problems.add(&at.field("present_match"), "must not be false");
            return None;
        }
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => {
            Some(string_match::read(matcher, &at.field("string_match"), problems)?)
        }
    };
    Some(QueryMatch { name, value })
}
