//! RouteConfiguration, VirtualHost, Route: which request goes where.

use std::time::Duration;

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
}

/// `RouteMatch`: every part must match.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteMatch {
    /// Path, without query.
    pub path: PathMatch,
    /// Method, exact (`:method` in `headers`).
    pub method: Option<String>,
    /// Headers.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub query: Vec<QueryMatch>,
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
    Forward {
        /// Which.
        split: Split,
        /// `timeout`: from the whole request to the whole response; `None`: Envoy's 15 s; zero: none.
        timeout: Option<Duration>,
        /// `cluster_not_found_response_code`: 503, 404 or 500, the answer where the cluster chosen does not exist.
        missing: u16,
    },
    /// `direct_response`, with an empty body.
    Direct {
        /// HTTP status, 200 to 599.
        status: u16,
    },
}

/// `request_headers_to_add` and `..._to_remove`, or the response's: removals first, then `ops` in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMutation {
    /// Names to remove, lower case.
    pub remove: Vec<String>,
    /// Headers to set or add.
    pub ops: Vec<HeaderOp>,
}

/// One `HeaderValueOption`. `%` in a value is written `%%` on the wire; values here are literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderOp {
    /// Name, lower case.
    pub name: String,
    /// Value.
    pub value: String,
    /// `true`: beside what is there (`APPEND_IF_EXISTS_OR_ADD`); `false`: in its place (`OVERWRITE_IF_EXISTS_OR_ADD`).
    pub append: bool,
}
