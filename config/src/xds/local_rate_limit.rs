//! `local_ratelimit`, by itself (ECDS) or in place.

use std::collections::BTreeMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use envoy_types::pb::envoy::config::route::v3::RateLimit;
use envoy_types::pb::envoy::config::route::v3::rate_limit::Action;
use envoy_types::pb::envoy::config::route::v3::rate_limit::action::{ActionSpecifier, MetaData, meta_data::Source};
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::{
    LocalRateLimitDescriptor, XRateLimitHeadersRfcVersion,
};
use envoy_types::pb::envoy::extensions::filters::http::local_ratelimit::v3::LocalRateLimit as ProtoLimit;
use envoy_types::pb::envoy::r#type::metadata::v3::MetadataKey;
use envoy_types::pb::envoy::r#type::metadata::v3::metadata_key::{PathSegment, path_segment::Segment};
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;
use envoy_types::pb::envoy::r#type::v3::{FractionalPercent, HttpStatus, TokenBucket as ProtoBucket};
use envoy_types::pb::google::protobuf::{BoolValue, Duration as ProtoDuration, UInt32Value};
use xds_api::pb::envoy::config::core::v3::TypedExtensionConfig;
use xds_api::pb::google::protobuf::Any;

use super::METADATA;
use super::metadata::{PLAN, TENANT};
use super::read::{At, Problems, fields};
use super::scalar;
use crate::model::{FilterConfig, LocalRateLimit, TokenBucket};

/// Envoy's own floor of `fill_interval`.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);
/// What a limited request is answered with, which is also Envoy's default.
const TOO_MANY_REQUESTS: i32 = 429;

/// The filter's configuration as an ECDS resource.
pub(super) fn write_resource(value: &FilterConfig) -> TypedExtensionConfig {
    TypedExtensionConfig { name: value.name.clone(), typed_config: Some(write(&value.config)) }
}

pub(super) fn read_resource(
    message: TypedExtensionConfig,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<FilterConfig> {
    let TypedExtensionConfig { name, typed_config } = message;
    let at = at.field("typed_config");
    match typed_config {
        Some(any) if scalar::holds::<ProtoLimit>(&any) => {
            Some(FilterConfig { name, config: read(&any, &at, problems)? })
        }
        Some(any) => {
            problems.advise(
                &at,
                format!("{:?} is not supported", any.type_url),
                format!("a discovered filter is {}", type_url()),
            );
            None
        }
        None => {
            problems.missing(&at);
            None
        }
    }
}

/// The type URL of the filter's configuration.
pub(super) fn type_url() -> String {
    <ProtoLimit as prost::Name>::type_url()
}

pub(super) fn write(value: &LocalRateLimit) -> Any {
    let per_tenant = !value.plans.is_empty();
    let message = ProtoLimit {
        stat_prefix: value.stat_prefix.clone(),
        token_bucket: value.default_bucket.map(write_bucket),
        filter_enabled: Some(always()),
        filter_enforced: Some(always()),
        descriptors: value.plans.iter().map(|(plan, bucket)| write_plan(plan, *bucket)).collect(),
        rate_limits: if per_tenant { vec![by_plan_and_tenant()] } else { Vec::new() },
        always_consume_default_token_bucket: per_tenant.then_some(BoolValue { value: false }),
        enable_retry_after_header: true,
        max_dynamic_descriptors: (value.max_dynamic_descriptors > 0)
            .then_some(UInt32Value { value: value.max_dynamic_descriptors }),
        enable_x_ratelimit_headers: if value.headers {
            XRateLimitHeadersRfcVersion::DraftVersion03 as i32
        } else {
            XRateLimitHeadersRfcVersion::Off as i32
        },
        ..Default::default()
    };
    scalar::any14(&message, &scalar::NO_MAPS)
}

/// 100 %: Envoy's default is 0 %.
fn always() -> RuntimeFractionalPercent {
    RuntimeFractionalPercent {
        default_value: Some(FractionalPercent { numerator: 100, denominator: DenominatorType::Hundred as i32 }),
        ..Default::default()
    }
}

fn write_bucket(bucket: TokenBucket) -> ProtoBucket {
    let interval = Duration::from_millis(bucket.fill_interval_ms);
    ProtoBucket {
        max_tokens: bucket.max_tokens,
        tokens_per_fill: Some(UInt32Value { value: bucket.tokens_per_fill }),
        fill_interval: Some(ProtoDuration {
            seconds: interval.as_secs() as i64,
            nanos: interval.subsec_nanos() as i32,
        }),
    }
}

/// The plan by name, and any tenant: an entry without a value is a wildcard, a bucket each.
fn write_plan(plan: &str, bucket: TokenBucket) -> LocalRateLimitDescriptor {
    LocalRateLimitDescriptor {
        entries: vec![
            Entry { key: PLAN.to_owned(), value: plan.to_owned() },
            Entry { key: TENANT.to_owned(), value: String::new() },
        ],
        token_bucket: Some(write_bucket(bucket)),
        ..Default::default()
    }
}

fn by_plan_and_tenant() -> RateLimit {
    let from_route = |key: &str| Action {
        action_specifier: Some(ActionSpecifier::Metadata(MetaData {
            descriptor_key: key.to_owned(),
            metadata_key: Some(MetadataKey {
                key: METADATA.to_owned(),
                path: vec![PathSegment { segment: Some(Segment::Key(key.to_owned())) }],
            }),
            source: Source::RouteEntry as i32,
            ..Default::default()
        })),
    };
    RateLimit { actions: vec![from_route(PLAN), from_route(TENANT)], ..Default::default() }
}

/// Reads the configuration in an `Any` whose type was looked at; `at` is the `Any`'s.
pub(super) fn read(any: &Any, at: &At<'_>, problems: &mut Problems) -> Option<LocalRateLimit> {
    let message: ProtoLimit = scalar::unpack14(any, at, problems)?;
    fields!(message => ProtoLimit, at, problems;
        read stat_prefix status token_bucket filter_enabled filter_enforced descriptors enable_x_ratelimit_headers
            always_consume_default_token_bucket rate_limits max_dynamic_descriptors;
        refuse response_headers_to_add stage local_rate_limit_per_downstream_connection local_cluster_rate_limit
            vh_rate_limits rate_limited_as_resource_exhausted;
        pass request_headers_to_add_when_not_enforced enable_retry_after_header;);
    if status.is_some_and(|HttpStatus { code }| code != TOO_MANY_REQUESTS && code != 0) {
        problems.add(&at.field("status"), "must be 429");
    }
    read_always(filter_enabled, &at.field("filter_enabled"), problems);
    read_always(filter_enforced, &at.field("filter_enforced"), problems);
    let headers = match XRateLimitHeadersRfcVersion::try_from(enable_x_ratelimit_headers) {
        Ok(version) => version == XRateLimitHeadersRfcVersion::DraftVersion03,
        Err(_) => {
            problems.add(&at.field("enable_x_ratelimit_headers"), "has an unknown value");
            false
        }
    };
    let default_bucket = token_bucket.and_then(|bucket| read_bucket(bucket, &at.field("token_bucket"), problems));
    let plans = read_plans(descriptors, at, problems);
    if !plans.is_empty() {
        if rate_limits != [by_plan_and_tenant()] {
            problems.advise(
                &at.field("rate_limits"),
                "is not supported",
                format!("one list of two actions: route metadata {METADATA:?} {PLAN:?}, then {TENANT:?}"),
            );
        }
        if default_bucket.is_some() && always_consume_default_token_bucket.is_none_or(|wrapped| wrapped.value) {
            problems.add(&at.field("always_consume_default_token_bucket"), "must be false beside descriptors");
        }
    } else if !rate_limits.is_empty() {
        problems.add(&at.field("rate_limits"), "needs `descriptors`");
    }
    let max_dynamic_descriptors = max_dynamic_descriptors.map_or(0, |wrapped| wrapped.value);
    Some(LocalRateLimit { stat_prefix, default_bucket, plans, max_dynamic_descriptors, headers })
}

/// A share of requests other than all of them is not supported.
fn read_always(share: Option<RuntimeFractionalPercent>, at: &At<'_>, problems: &mut Problems) {
    let whole = share.and_then(|share| share.default_value).is_some_and(|share| {
        let hundred_percent = match DenominatorType::try_from(share.denominator) {
            Ok(DenominatorType::Hundred) => 100,
            Ok(DenominatorType::TenThousand) => 10_000,
            Ok(DenominatorType::Million) => 1_000_000,
            Err(_) => return false,
        };
        share.numerator >= hundred_percent
    });
    if !whole {
        problems.advise(at, "must be 100 per cent", "write `default_value: {numerator: 100, denominator: HUNDRED}`");
    }
}

fn read_bucket(message: ProtoBucket, at: &At<'_>, problems: &mut Problems) -> Option<TokenBucket> {
    let ProtoBucket { max_tokens, tokens_per_fill, fill_interval } = message;
    let tokens_per_fill = tokens_per_fill.map_or(1, |wrapped| wrapped.value);
    for (field, tokens) in [("max_tokens", max_tokens), ("tokens_per_fill", tokens_per_fill)] {
        if tokens == 0 {
            problems.add(&at.field(field), "must be at least 1");
        }
    }
    let interval_at = at.field("fill_interval");
    let Some(ProtoDuration { seconds, nanos }) = fill_interval else {
        problems.missing(&interval_at);
        return None;
    };
    let interval = Some(xds_api::pb::google::protobuf::Duration { seconds, nanos });
    let interval = scalar::read_duration(interval, &interval_at, problems)?;
    let millis = u64::try_from(interval.as_millis()).ok().filter(|_| interval.subsec_nanos() % 1_000_000 == 0);
    match millis {
        Some(fill_interval_ms) if interval >= LEAST_INTERVAL => {
            Some(TokenBucket { max_tokens, tokens_per_fill, fill_interval_ms })
        }
        _ => {
            problems.add(&interval_at, "must be at least 50 ms, in whole milliseconds");
            None
        }
    }
}

fn read_plans(
    descriptors: Vec<LocalRateLimitDescriptor>,
    at: &At<'_>,
    problems: &mut Problems,
) -> BTreeMap<String, TokenBucket> {
    let mut plans = BTreeMap::new();
    for (index, descriptor) in descriptors.into_iter().enumerate() {
        let at = at.item("descriptors", index);
        fields!(descriptor => LocalRateLimitDescriptor, at, problems;
            read entries token_bucket;
            refuse shadow_mode;
            pass;);
        let plan = match entries.as_slice() {
            [Entry { key: first, value: plan }, Entry { key: second, value: any }]
                if first == PLAN && second == TENANT && !plan.is_empty() && any.is_empty() =>
            {
                plan.clone()
            }
            _ => {
                problems.advise(
                    &at.field("entries"),
                    "is not supported",
                    format!("two entries: {PLAN:?} with a value, then {TENANT:?} without"),
                );
                continue;
            }
        };
        let Some(bucket) = token_bucket else {
            problems.missing(&at.field("token_bucket"));
            continue;
        };
        let Some(bucket) = read_bucket(bucket, &at.field("token_bucket"), problems) else { continue };
        if plans.insert(plan, bucket).is_some() {
            problems.add(&at.field("entries"), "is there twice");
        }
    }
    plans
}
