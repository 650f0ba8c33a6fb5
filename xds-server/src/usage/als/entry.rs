//! What an entry of the log says of an exchange. Pure.

use std::time::Duration;

use envoy_types::pb::envoy::data::accesslog::v3::{
    AccessLogCommon, AccessLogType, HttpAccessLogEntry, HttpRequestProperties, HttpResponseProperties,
};
use envoy_types::pb::google::protobuf::Duration as ProtoDuration;
use weir_config::usage::{MAX_TENANT_BYTES, Metric, NO_TENANT, Units};
use weir_config::xds::{TAG_CONNECTION, TAG_HOST_TENANT, TAG_MADE, TAG_TENANT};

/// What `response_code_details` begins with where Envoy itself refused somebody.
const DENIALS: [&str; 3] = ["rbac_access_denied", "jwt_authn_access_denied", "ext_authz_denied"];

/// An exchange of one Envoy: its connection, and when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Envoy's number of the connection.
    pub connection: u64,
    /// When the exchange began, in nanoseconds since 1970, by Envoy's clock.
    pub started_ns: i128,
}

/// An exchange as one entry reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange<'a> {
    /// Who is charged.
    pub tenant: &'a str,
    /// Which it is.
    pub stream: Stream,
    /// Whether it goes on, and is reported again.
    pub running: bool,
    /// How long it had lasted when the entry was made.
    pub age: Duration,
    /// All of it so far.
    pub total: Units,
}

/// Reads an entry; none for one that reports neither a running exchange nor an ended one.
pub fn read(entry: &HttpAccessLogEntry) -> Option<Exchange<'_>> {
    let common = entry.common_properties.as_ref()?;
    let running = match AccessLogType::try_from(common.access_log_type) {
        Ok(AccessLogType::DownstreamEnd | AccessLogType::NotSet) => false,
        Ok(AccessLogType::DownstreamPeriodic) => true,
        _ => return None,
    };
    let (none, nothing) = (HttpRequestProperties::default(), HttpResponseProperties::default());
    let request = entry.request.as_ref().unwrap_or(&none);
    let response = entry.response.as_ref().unwrap_or(&nothing);
    let tag = |name: &str| common.custom_tags.get(name).map(String::as_str);
    let started_ns =
        common.start_time.as_ref().map_or(0, |at| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos));
    let took = common.duration.as_ref().and_then(length);
    let made_ns = tag(TAG_MADE).and_then(|text| text.parse::<i64>().ok()).map(|us| i128::from(us) * 1000);
    let so_far = made_ns.and_then(|made| u64::try_from(made - started_ns).ok()).map(Duration::from_nanos);
    Some(Exchange {
        tenant: [TAG_TENANT, TAG_HOST_TENANT]
            .into_iter()
            .filter_map(tag)
            .find(|name| is_name(name))
            .unwrap_or(NO_TENANT),
        stream: Stream { connection: tag(TAG_CONNECTION).and_then(|id| id.parse().ok()).unwrap_or(0), started_ns },
        running,
        age: took.or(so_far).unwrap_or_default(),
        total: total(common, request, response, took.filter(|_| !running)),
    })
}

/// Whether the store takes a tenant of this name.
fn is_name(tenant: &str) -> bool {
    (1..=MAX_TENANT_BYTES).contains(&tenant.len()) && !tenant.contains(char::is_control)
}

fn total(
    common: &AccessLogCommon,
    request: &HttpRequestProperties,
    response: &HttpResponseProperties,
    took: Option<Duration>,
) -> Units {
    let code = response.response_code.map_or(0, |code| code.value);
    let mut units = Units::ZERO;
    let (mut received, mut sent) = (common.downstream_wire_bytes_received, common.downstream_wire_bytes_sent);
    // Past the answer that upgrades a connection there is no framing: the body is the tunnel.
    if code == 101 {
        units[Metric::TunnelRequestBytes] = request.request_body_bytes.min(received);
        units[Metric::TunnelResponseBytes] = response.response_body_bytes.min(sent);
        received -= units[Metric::TunnelRequestBytes];
        sent -= units[Metric::TunnelResponseBytes];
    }
    units[Metric::RequestBytes] = received;
    units[Metric::ResponseBytes] = sent;
    // Of a head that could not be parsed nothing is reported: its bytes are nobody's, and it is no request.
    if request.request_method == 0 && request.authority.is_empty() && request.path.is_empty() {
        return units;
    }
    units[Metric::Requests] = 1;
    units[Metric::ExecutionMs] = took.map_or(0, rounded_ms);
    let flags = common.response_flags.as_ref();
    let denied = flags.is_some_and(|flags| flags.unauthorized_details.is_some())
        || DENIALS.iter().any(|details| response.response_code_details.starts_with(details));
    match code {
        429 if flags.is_some_and(|flags| flags.rate_limited) => units[Metric::LimitedRequests] = 1,
        401 | 403 if denied => units[Metric::DeniedRequests] = 1,
        _ => {}
    }
    units
}

fn length(took: &ProtoDuration) -> Option<Duration> {
    Some(Duration::new(took.seconds.try_into().ok()?, took.nanos.try_into().ok()?))
}

fn rounded_ms(took: Duration) -> u64 {
    u64::try_from((took.as_micros() + 500) / 1000).unwrap_or(u64::MAX)
}
