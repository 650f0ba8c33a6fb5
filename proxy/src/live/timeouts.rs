//! Limits of time where the configuration says none, or zero.

use std::time::Duration;

/// Envoy's `idle_timeout` of a TCP proxy.
pub(super) const TCP_IDLE: Duration = Duration::from_secs(3600);
/// Envoy's `idle_timeout` of a UDP proxy's sessions.
pub(super) const UDP_IDLE: Duration = Duration::from_secs(60);
/// What zero stands for in a timeout: as good as no limit, and safe to add to any time.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Envoy's zero is no limit.
pub(super) fn limit(given: Option<Duration>, default: Duration) -> Duration {
    if given == Some(Duration::ZERO) { NEVER } else { given.unwrap_or(default) }
}
