//! Token buckets, and who draws on which.
//!
//! A bucket belongs to a tenant and a filter. A route's owner holds its buckets, found at
//! configuration time, so that a request finds its bucket by a number and not by a name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use weir_config::model::TokenBucket;

/// Finest fraction of a nanosecond in which buckets reckon (as a shift): 1/8 ns.
const FINEST: i32 = 3;

/// State of a budget after this request (`x-ratelimit-limit`, `-remaining`, `-reset`: plain numbers, as
/// Envoy's `DRAFT_VERSION_03` of `local_ratelimit` writes them). `retry-after` is `reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Tokens a full bucket has.
    pub limit: u32,
    /// Tokens left.
    pub remaining: u32,
    /// Seconds until the next token (rounded up), at least 1; 0 while tokens are left.
    pub reset: u32,
    /// Whether the filter asks for the `x-ratelimit` headers.
    pub headers: bool,
}

/// How fast a bucket fills, and how much it holds. Equal rates are the same bucket to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    /// Ticks are `2^-shift` nanoseconds.
    shift: i32,
    /// Ticks that a token takes to come, rounded up: the rate is never exceeded.
    cost: u64,
    /// Ticks that an empty bucket takes to fill.
    span: u64,
    max: u32,
}

impl Rate {
    /// From the model. Tokens come evenly, as in Envoy, not by the fillful.
    pub fn new(bucket: &TokenBucket) -> Self {
        let (tokens, max) = (u128::from(bucket.tokens_per_fill.max(1)), bucket.max_tokens.max(1));
        let interval = u128::from(bucket.fill_interval_ms.max(1)) * 1_000_000;
        // Buckets that take centuries to fill reckon in coarser ticks, so that times fit 62 bits.
        let mut shift = FINEST;
        let ticks = |shift: i32| match u32::try_from(shift) {
            Ok(up) => (interval << up).div_ceil(tokens),
            Err(_) => (interval >> shift.unsigned_abs()).div_ceil(tokens).max(1),
        };
        while ticks(shift) * u128::from(max) >= 1 << 62 {
            shift -= 1;
        }
        let cost = ticks(shift) as u64;
        Self { shift, cost, span: cost * u64::from(max), max }
    }

    fn ticks(&self, nanoseconds: u64) -> u64 {
        match u32::try_from(self.shift) {
            Ok(up) => nanoseconds << up,
            Err(_) => nanoseconds >> self.shift.unsigned_abs(),
        }
    }

    fn seconds(&self, ticks: u64) -> u32 {
        let nanoseconds = match u32::try_from(self.shift) {
            Ok(up) => ticks >> up,
            Err(_) => ticks.saturating_mul(1 << self.shift.unsigned_abs().min(63)),
        };
        u32::try_from(nanoseconds.div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
    }
}

/// A token bucket: one number, the time at which it will be full. A new one is full.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    full_at: AtomicU64,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        Self { rate, full_at: AtomicU64::new(0) }
    }

    /// How fast it fills.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a token, if there is one at `now` (nanoseconds of [`crate::clock`]), and says what is left.
    pub fn take(&self, now: u64) -> (bool, Budget) {
        let Rate { cost, span, .. } = self.rate;
        let now = self.rate.ticks(now);
        let mut seen = self.full_at.load(Relaxed);
        loop {
            let after = seen.max(now) + cost;
            if after - now > span {
                return (false, self.budget(seen.max(now) - now));
            }
            match self.full_at.compare_exchange_weak(seen, after, Relaxed, Relaxed) {
                Ok(_) => return (true, self.budget(after - now)),
                Err(other) => seen = other,
            }
        }
    }

    /// Whether nobody could tell it from a new one.
    pub fn is_full(&self, now: u64) -> bool {
        self.full_at.load(Relaxed) <= self.rate.ticks(now)
    }

    /// What is left of a bucket that needs `missing` ticks to be full.
    fn budget(&self, missing: u64) -> Budget {
        let Rate { cost, span, max, .. } = self.rate;
        let left = span.saturating_sub(missing) / cost;
        let reset = if left > 0 { 0 } else { self.rate.seconds((missing + cost).saturating_sub(span)).max(1) };
        Budget { limit: max, remaining: u32::try_from(left).unwrap_or(max), reset, headers: false }
    }
}

/// A rate limit filter whose configuration swaps.
#[derive(Debug)]
pub struct LimitSlot {
    /// Unique in the process; owners hold their buckets by it.
    pub id: u32,
    /// Name of the filter.
    pub name: Box<str>,
    /// What it is set to.
    pub state: ArcSwap<LimitTable>,
}

/// Settings of a rate limit filter; by default it limits nothing.
#[derive(Clone, Debug, Default)]
pub struct LimitTable {
    /// One bucket for all requests of the filter, beside the tenants' own.
    pub default_bucket: Option<Arc<Bucket>>,
    /// Whether responses say what is left.
    pub headers: bool,
}

/// Buckets by [`LimitSlot::id`].
pub type Buckets = Box<[(u32, Arc<Bucket>)]>;

/// A tenant on a plan, and its buckets by filter. Shared by all its routes.
#[derive(Debug)]
pub struct OwnerSlot {
    /// Whose they are. A name, since a tenant's place among the counters may become another's.
    pub tenant: Arc<str>,
    /// What it draws on: few, mostly one.
    pub buckets: ArcSwap<Buckets>,
}

/// Takes a token from every bucket that `owner`'s request draws on: its own of each filter, then
/// the filter's (Envoy's `always_consume_default_token_bucket`). Stops at the first empty one.
/// Says what is left of the scarcest.
pub(super) fn take(limits: &[Arc<LimitSlot>], owner: Option<&OwnerSlot>, now: u64) -> (bool, Option<Budget>) {
    let mut scarcest: Option<Budget> = None;
    for slot in limits {
        let state = slot.state.load();
        let own = owner.map(|owner| owner.buckets.load());
        let own = own.as_ref().and_then(|b| b.iter().find(|(filter, _)| *filter == slot.id)).map(|(_, bucket)| bucket);
        for bucket in own.into_iter().chain(&state.default_bucket) {
            let (taken, mut budget) = bucket.take(now);
            budget.headers = state.headers;
            if !taken {
                return (false, Some(budget));
            }
            if scarcest.is_none_or(|s| budget.remaining < s.remaining) {
                scarcest = Some(budget);
            }
        }
    }
    (true, scarcest)
}
