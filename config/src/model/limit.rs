//! Limits, as filter configurations.

use std::collections::BTreeMap;

/// A filter's configuration that travels by itself (ECDS, `TypedExtensionConfig`).
#[derive(Clone, Debug, PartialEq)]
pub struct FilterConfig {
    /// Resource name, which is the filter's name.
    pub name: String,
    /// Configuration.
    pub config: LocalRateLimit,
}

/// `envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit`, in one of two forms.
///
/// - Per tenant (`plans` not empty): `rate_limits` reads `weir.dev` `plan` and `tenant` from the
///   route's metadata, and `descriptors` has for each plan its name and a wildcard tenant. At Weir
///   each tenant has one bucket in a process.
/// - Whole (`plans` empty): `default_bucket` is one bucket for all requests of the filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalRateLimit {
    /// `stat_prefix`.
    pub stat_prefix: String,
    /// `token_bucket`; absent: unlimited.
    pub default_bucket: Option<TokenBucket>,
    /// Bucket of each tenant of a plan, by the plan's name.
    pub plans: BTreeMap<String, TokenBucket>,
    /// `max_dynamic_descriptors`: how many tenants' buckets Envoy holds, a power of two.
    pub max_dynamic_descriptors: u32,
    /// `enable_x_ratelimit_headers: DRAFT_VERSION_03`.
    pub headers: bool,
}

/// `TokenBucket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// `max_tokens`: the burst, at least 1.
    pub max_tokens: u32,
    /// `tokens_per_fill`, at least 1.
    pub tokens_per_fill: u32,
    /// `fill_interval` in milliseconds, at least 50 (Envoy's own floor).
    pub fill_interval_ms: u64,
}
