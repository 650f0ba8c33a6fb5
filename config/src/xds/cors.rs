//! `CorsPolicy`, a route's own.

use xds_api::pb::envoy::config::route::v3::CorsPolicy;
use xds_api::pb::envoy::config::route::v3::cors_policy::EnabledSpecifier;
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields, fitting};
use super::{mirror, scalar, string_match};
use crate::model::Cors;

pub(super) fn write(value: &Cors) -> Any {
    let message = CorsPolicy {
        allow_origin_string_match: value.origins.iter().map(string_match::write).collect(),
        allow_methods: write_list(&value.methods),
        allow_headers: write_list(&value.headers),
        expose_headers: write_list(&value.expose),
        max_age: value.max_age.map(|seconds| seconds.to_string()).unwrap_or_default(),
        allow_credentials: value.credentials.then(|| scalar::boolean(true)),
        ..Default::default()
    };
    scalar::any(&message, &scalar::NO_MAPS)
}

fn write_list(items: &[String]) -> String {
    items.join(", ")
}

/// Reads the policy in an `Any`; `at` is the `Any`'s.
pub(super) fn read(any: &Any, at: &At<'_>, problems: &mut Problems) -> Option<Cors> {
    let message: CorsPolicy = scalar::decode(&any.value, at, problems)?;
    fields!(message => CorsPolicy, at, problems;
        read allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials
            allow_private_network_access forward_not_matching_preflights enabled_specifier;
        refuse;
        pass shadow_enabled;);
    scalar::refuse_true(allow_private_network_access, &at.field("allow_private_network_access"), problems);
    if forward_not_matching_preflights.is_some_and(|wrapped| !wrapped.value) {
        problems.advise(
            &at.field("forward_not_matching_preflights"),
            "must not be false",
            "a preflight of another origin is the backend's to answer",
        );
    }
    if let Some(EnabledSpecifier::FilterEnabled(enabled)) = enabled_specifier {
        let at = at.field("filter_enabled");
        let share = mirror::read_fraction(enabled, &at, problems)?;
        if share.numerator < share.denominator {
            problems.advise(&at, "is not supported", "leave it out, or say 100 %");
        }
    }
    let origins = allow_origin_string_match.into_iter().enumerate();
    let origins = fitting(origins.filter_map(|(index, origin)| {
        string_match::read(origin, &at.item("allow_origin_string_match", index), problems)
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
        credentials: scalar::is_true(allow_credentials),
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
