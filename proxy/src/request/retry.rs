//! Whether and when a request is sent again (Envoy's `retry_policy`), and how much of that a cluster bears.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use weir_config::model::{Retry, RetryBudget, RetryOn};

/// Envoy's `num_retries` where none is given.
const ATTEMPTS: u32 = 1;
/// Envoy's `base_interval` where none is given.
const BASE: Duration = Duration::from_millis(25);
/// Envoy's `max_interval`, in base intervals, where none is given.
const MAX_OF_BASE: u32 = 10;
/// What the parts of a share are counted in: a hundredth of a percent.
const WHOLE: u64 = 10_000;

/// What went wrong with one try, where no response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The endpoint said that it did nothing.
    Unprocessed,
    /// The connection ended, or what came is no response.
    Reset,
    /// One try took too long.
    Slow,
}

/// A retry policy, compiled.
#[derive(Clone, Debug)]
pub struct RetryTable {
    on: RetryOn,
    statuses: Box<[u16]>,
    /// How often a request is sent again.
    pub attempts: u32,
    /// Longest wait for a response to one try; none: the route's.
    pub per_try: Option<Duration>,
    base: Duration,
    max: Duration,
    /// What the route says of the wait; zero where it says nothing.
    least: Duration,
}

impl RetryTable {
    /// From the model.
    pub fn new(model: &Retry) -> Self {
        let (base, max) = model.back_off.unwrap_or((BASE, None));
        let base = if base.is_zero() { BASE } else { base };
        let least = if model.back_off.is_some() { base } else { Duration::ZERO };
        Self {
            on: model.on,
            statuses: model.statuses.as_slice().into(),
            attempts: model.attempts.unwrap_or(ATTEMPTS),
            per_try: model.per_try_timeout.filter(|time| !time.is_zero()),
            base,
            least,
            max: max.filter(|max| *max >= base).unwrap_or(base * MAX_OF_BASE),
        }
    }

    /// Whether a response of this status is tried again.
    pub fn wants_status(&self, status: u16) -> bool {
        self.on.server_error && (500..600).contains(&status)
            || self.on.gateway_error && matches!(status, 502..=504)
            || self.statuses.contains(&status)
    }

    /// Whether a try without a response is followed by another. As at Envoy, whoever retries 5xx or gateway
    /// errors retries all of these, since the client would get a 502, 503 or 504.
    pub fn wants(&self, failure: Failure) -> bool {
        let RetryOn { connect_failure, refused_stream, reset, gateway_error, server_error } = self.on;
        reset
            || gateway_error
            || server_error
            || connect_failure && failure == Failure::Connect
            || refused_stream && failure == Failure::Unprocessed
    }

    /// How long to wait before the retry that `before` others came before: a random part of an interval that
    /// doubles up to its greatest. Where the route says how long, that comes first: `retry.backoff` of the Gateway API
    /// is a minimum, and an Envoy alone may try again sooner.
    pub fn back_off(&self, before: u32, random: u64) -> Duration {
        let interval = 1u32.checked_shl(before).and_then(|times| self.base.checked_mul(times));
        let interval = interval.unwrap_or(self.max).min(self.max);
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.least.saturating_add(Duration::from_nanos(random % nanos)).min(self.max)
    }
}

/// How many retries a cluster bears at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryLimit {
    /// Of [`WHOLE`] requests under way, so many.
    share: u32,
    /// So many in any case.
    least: u32,
}

impl From<RetryBudget> for RetryLimit {
    fn from(RetryBudget { percent, least }: RetryBudget) -> Self {
        // From 0 to 10,000, or else the nearest of these: a conversion of floats saturates.
        Self { share: (percent.clamp(0.0, 100.0) * 100.0).round() as u32, least }
    }
}

impl Default for RetryLimit {
    /// Envoy's defaults: a fifth, and at least three.
    fn default() -> Self {
        RetryBudget::default().into()
    }
}

/// Retries of a cluster that are under way, of all workers together, and the requests of routes that retry. However
/// many requests fail, retries add no more to the load than the cluster's share of it.
#[derive(Debug, Default)]
pub struct Retries {
    active: AtomicU32,
    retrying: AtomicU32,
}

impl Retries {
    /// A request of a route that retries is under way, for as long as what is handed back.
    pub fn enter(&self) -> Counted<'_> {
        self.active.fetch_add(1, Relaxed);
        Counted(&self.active)
    }

    /// A retry is under way, for as long as what is handed back; none where there are too many.
    pub fn retry(&self, limit: RetryLimit) -> Option<Counted<'_>> {
        let share = u64::from(self.active.load(Relaxed)) * u64::from(limit.share) / WHOLE;
        let most = u32::try_from(share).unwrap_or(u32::MAX).max(limit.least);
        let one_more = |retrying: u32| (retrying < most).then_some(retrying + 1);
        self.retrying.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Counted(&self.retrying))
    }
}

/// Something that is under way.
#[derive(Debug)]
pub struct Counted<'b>(&'b AtomicU32);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
