//! Exchanges that are reported while they run. Their entries are cumulative, so that one which is lost is
//! made good by the next; here is kept what was taken of each. Pure: time is passed in.
//!
//! An exchange is never counted twice. A server that has just begun does not know what the one before it
//! took, so it takes from an exchange that may have been reported to that one only what is added from then on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_config::usage::{Metric, Units};
use weir_config::xds::USAGE_INTERVAL;

use super::entry::{Exchange, Stream};

/// Exchanges that are remembered, at most. One more is counted when it ends.
pub const MAX_RUNNING: usize = 100_000;
/// How far Envoy's timers may be off.
const SLACK: Duration = Duration::from_millis(500);
/// An exchange of which nothing is heard for so long has gone with its Envoy.
const GONE: Duration = Duration::from_secs(6 * USAGE_INTERVAL.as_secs());

/// What was taken of running exchanges.
#[derive(Debug)]
pub struct Running {
    /// Since when whatever was reported is known.
    since: Instant,
    known: HashMap<(Arc<str>, Stream), Taken>,
    swept: Instant,
}

#[derive(Debug)]
struct Taken {
    total: Units,
    heard: Instant,
}

impl Running {
    /// Nothing is known of what was reported before `now`.
    pub fn new(now: Instant) -> Self {
        Self { since: now, known: HashMap::new(), swept: now }
    }

    /// Number of exchanges that are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What an entry of `proxy` adds to what was taken before.
    pub fn take(&mut self, proxy: &Arc<str>, exchange: &Exchange<'_>, now: Instant) -> Units {
        let total = exchange.total;
        // Nearly all: it ended before it could be reported while it ran.
        if !exchange.running && exchange.age + SLACK < USAGE_INTERVAL {
            return total;
        }
        self.sweep(now);
        let key = (Arc::clone(proxy), exchange.stream);
        if !exchange.running {
            return match self.known.remove(&key) {
                Some(taken) => total.since(&taken.total),
                None => self.of_unknown(exchange, now),
            };
        }
        if let Some(taken) = self.known.get_mut(&key) {
            let more = total.since(&taken.total);
            taken.total.add(&more);
            taken.heard = now;
            return more;
        }
        if self.known.len() >= MAX_RUNNING {
            return Units::ZERO;
        }
        self.known.insert(key, Taken { total, heard: now });
        self.of_unknown(exchange, now)
    }

    /// What an exchange adds of which this server took nothing.
    fn of_unknown(&self, exchange: &Exchange<'_>, now: Instant) -> Units {
        let first_report = exchange.running && exchange.age < USAGE_INTERVAL * 2 - SLACK;
        if first_report || exchange.age <= now.duration_since(self.since) {
            return exchange.total;
        }
        // How long it took is reported once, at its end.
        let mut rest = Units::ZERO;
        rest[Metric::ExecutionMs] = exchange.total[Metric::ExecutionMs];
        rest
    }

    /// Forgets exchanges that will not be heard of again; should one be all the same, it was reported before.
    fn sweep(&mut self, now: Instant) {
        if now.duration_since(self.swept) < USAGE_INTERVAL {
            return;
        }
        self.swept = now;
        let before = self.known.len();
        self.known.retain(|_, taken| now.duration_since(taken.heard) < GONE);
        if self.known.len() < before {
            self.since = now;
        }
    }
}
