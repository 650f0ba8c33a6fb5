//! RouteConfiguration, VirtualHost, Route: which request goes where.

use std::time::Duration;

use super::headers::HeaderMutation;
use super::split::Split;

/// `RouteConfiguration`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteConfiguration {
    /// Resource name.
    pub name: String,
    /// Virtual hosts that came with it.
    pub virtual_hosts: Vec<VirtualHost>,
    /// Whether more come by VHDS (`vhds` over ADS), named `<name>/<domain>`.
    pub vhds: bool,
}

/// `VirtualHost`: the routes of some domains, the first that matches wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VirtualHost {
    /// Resource name.
    pub name: String,
    /// Domains, lower case, without port.
    pub domains: Vec<Domain>,
    /// Whose it is: charged where no route matches (`metadata["weir.dev"]`).
    pub owner: Option<Owner>,
    /// Routes in order of precedence.
    pub routes: Vec<Route>,
}

/// A domain of a VirtualHost; the most specific one that matches Host wins, exact before suffix,
/// longer suffix before shorter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// `shop.acme.com`
    Exact(String),
    /// `*.acme.com`, one or more labels deep; the text held is `acme.com`.
    Suffix(String),
    /// `*`
    Any,
}

/// Tenant and plan, in `metadata.filter_metadata["weir.dev"]` as `tenant` and `plan`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Name of the tenant.
    pub tenant: String,
    /// Name of the plan; a tenant with overrides has a plan of its own, `<plan>/<tenant>`. Absent: no plan.
    pub plan: Option<String>,
}

/// `Route`.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Name, for logs and people: `<namespace>/<route>/<rule>/<match>`.
    pub name: String,
    /// Whose it is: the tenant of a request that matches.
    pub owner: Option<Owner>,
    /// Which requests.
    pub matches: RouteMatch,
    /// What happens to them.
    pub action: RouteAction,
    /// Changes to the request's headers.
    pub request_headers: HeaderMutation,
    /// Changes to the response's headers.
    pub response_headers: HeaderMutation,
    /// Who may read the responses from another origin (`typed_per_filter_config`, `envoy.filters.http.cors`).
    pub cors: Option<Box<Cors>>,
    /// What keeps a client at one endpoint (`typed_per_filter_config`, `envoy.filters.http.stateful_session`).
    pub session: Option<Box<SessionPersistence>>,
}

impl Route {
    /// A route that changes no headers, of nobody.
    pub fn new(name: impl Into<String>, matches: RouteMatch, action: RouteAction) -> Self {
        Self {
            name: name.into(),
            owner: None,
            matches,
            action,
            request_headers: HeaderMutation::default(),
            response_headers: HeaderMutation::default(),
            cors: None,
            session: None,
        }
    }
}

/// `RouteMatch`: every part must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteMatch {
    /// Path, without query.
    pub path: PathMatch,
    /// Method, exact (`:method` in `headers`).
    pub method: Option<String>,
    /// Headers.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub query: Vec<QueryMatch>,
    /// `runtime_fraction.default_value`: of how many requests; absent: all. A request has one draw, which all routes
    /// of its host compare with theirs: of two routes with one match and shares of 20 % and 50 % the second gets 30 %.
    pub fraction: Option<Fraction>,
}

/// How a path matches. Case counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// `path`: the whole path.
    Exact(String),
    /// `prefix`: the first bytes.
    Prefix(String),
    /// `path_separated_prefix`: whole segments, `/a` matches `/a` and `/a/b`, not `/ab`. Neither empty nor `/`, no `/` at its end.
    SegmentPrefix(String),
    /// `safe_regex` (RE2): the whole path.
    Regex(String),
}

impl Default for PathMatch {
    /// Any path.
    fn default() -> Self {
        PathMatch::Prefix("/".into())
    }
}

/// `HeaderMatcher`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Name, lower case.
    pub name: String,
    /// `invert_match`.
    pub invert: bool,
    /// What to match; `None`: that the header is there (`present_match: true`). Of several values
    /// (lines) one that matches is enough, as in Envoy 1.40; where the header is missing neither
    /// a value matches nor its inversion.
    pub value: Option<StringMatch>,
}

/// `QueryParameterMatcher`: the parameter's first value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryMatch {
    /// Name.
    pub name: String,
    /// What to match; `None`: that it is there.
    pub value: Option<StringMatch>,
}

/// `StringMatcher`, case counting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StringMatch {
    /// The whole text.
    Exact(String),
    /// Its beginning; not empty.
    Prefix(String),
    /// Its end; not empty.
    Suffix(String),
    /// A part of it; not empty.
    Contains(String),
    /// RE2, the whole text.
    Regex(String),
}

/// What happens to a request that matched.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteAction {
    /// `route`: to a cluster.
    Forward(Forward),
    /// `redirect`: to another URL.
    Redirect(Redirect),
    /// `direct_response`, with an empty body.
    Direct {
        /// HTTP status, 200 to 599.
        status: u16,
    },
}

/// `RouteAction`: to a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// Which.
    pub split: Split,
    /// `timeout`: from the whole request to the whole response; `None`: Envoy's 15 s; zero: none.
    pub timeout: Option<Duration>,
    /// `cluster_not_found_response_code`: 503, 404 or 500, the answer where the cluster chosen does not exist.
    pub missing: u16,
    /// `host_rewrite_literal`: the Host that the endpoint sees.
    pub host_rewrite: Option<String>,
    /// The path that the endpoint sees.
    pub path_rewrite: Option<PathRewrite>,
    /// `retry_policy`.
    pub retry: Option<Box<Retry>>,
    /// `request_mirror_policies`.
    pub mirrors: Vec<Mirror>,
}

impl Forward {
    /// Requests go to `split` as they came; 503 where the cluster is not there.
    pub fn to(split: Split) -> Self {
        Self {
            split,
            timeout: None,
            missing: 503,
            host_rewrite: None,
            path_rewrite: None,
            retry: None,
            mirrors: Vec::new(),
        }
    }
}

/// What becomes of a path; the query stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// `path_redirect` of a redirect; `regex_rewrite` of all (`^/.*$`) of a request: the whole path.
    Full(String),
    /// `prefix_rewrite`: what the route's path or prefix matched.
    Prefix(String),
    /// `regex_rewrite`: what the expression (RE2) matches, in which `\1` are its groups.
    Regex {
        /// The expression.
        pattern: String,
        /// What stands in place of each match.
        substitution: String,
    },
}

/// `RedirectAction`. What is absent stays as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `scheme_redirect`: `http` or `https`.
    pub scheme: Option<String>,
    /// `host_redirect`.
    pub host: Option<String>,
    /// `port_redirect`; it stands in the URL even where it is the scheme's own.
    pub port: Option<u16>,
    /// `path_redirect`, `prefix_rewrite` or `regex_rewrite`.
    pub path: Option<PathRewrite>,
    /// `response_code`: 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// `RetryPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// `retry_on`.
    pub on: RetryOn,
    /// `retriable_status_codes`; not empty: `retry_on` holds `retriable-status-codes`.
    pub statuses: Vec<u16>,
    /// `num_retries`; absent: Envoy's 1.
    pub attempts: Option<u32>,
    /// `per_try_timeout`; zero or absent: the route's.
    pub per_try_timeout: Option<Duration>,
    /// `retry_back_off`: `base_interval` and `max_interval`; absent: Envoy's 25 ms and ten times the base.
    pub back_off: Option<(Duration, Option<Duration>)>,
}

/// The conditions of `retry_on` that Weir knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// `connect-failure`: no connection could be made.
    pub connect_failure: bool,
    /// `refused-stream`: the endpoint said that it did nothing (`REFUSED_STREAM`).
    pub refused_stream: bool,
    /// `reset`: the endpoint did not answer: it closed, reset, or was too slow for one try.
    pub reset: bool,
    /// `gateway-error`: 502, 503 or 504.
    pub gateway_error: bool,
    /// `5xx`: any of them, and what `reset` means.
    pub server_error: bool,
}

/// `RequestMirrorPolicy`: a copy of the request, whose answer nobody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Cluster that gets the copy.
    pub cluster: String,
    /// `runtime_fraction`: of how many requests; absent: all.
    pub fraction: Option<Fraction>,
}

/// `FractionalPercent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// So many.
    pub numerator: u32,
    /// Of 100, 10,000 or 1,000,000.
    pub denominator: u32,
}

/// `CorsPolicy` (Fetch standard, section 3.3). Empty lists send no header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// `allow_origin_string_match`: a request of such an origin gets the headers.
    pub origins: Vec<StringMatch>,
    /// `allow_methods`.
    pub methods: Vec<String>,
    /// `allow_headers`.
    pub headers: Vec<String>,
    /// `expose_headers`.
    pub expose: Vec<String>,
    /// `max_age`, in seconds.
    pub max_age: Option<u32>,
    /// `allow_credentials`.
    pub credentials: bool,
}

/// `StatefulSession`: the endpoint that served a client serves it again, as long as it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionPersistence {
    /// `session_state.cookie`.
    Cookie {
        /// Name of the cookie.
        name: String,
        /// Its path.
        path: String,
        /// Its life; zero: until the browser ends.
        ttl: Duration,
    },
    /// `session_state.header`: a header of the response, which the client sends with its next requests.
    Header {
        /// Name of the header, lower case.
        name: String,
    },
}
