//! Which streams are let in, and how long they live. Pure, but for a lock around the count.
//!
//! A server that falls behind serves nobody well. What is above a bound is refused at once with a text that
//! names the bound, and comes again: proxies spread their attempts. Streams end by themselves after a while,
//! and with the server, in both cases spread over time, so that no fleet moves in one moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_config::bootstrap::Load;

use crate::auth::Principal;

/// The longest that streams outlive the order to end.
pub const FAREWELL: Duration = Duration::from_secs(5);
/// What each stream adds to that time.
const FAREWELL_EACH: Duration = Duration::from_millis(20);
/// Share of a stream's age by which it differs from others', to both sides.
const JITTER: f64 = 0.2;

/// Why a stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The server has as many as it takes.
    #[error(
        "this server has {0} streams, which is as many as it takes (load.streams): connect to another replica, \
         or run more of them"
    )]
    Streams(u32),
    /// The caller has as many as it may.
    #[error("this identity has {0} streams, which is as many as one may have (load.streamsPerIdentity)")]
    Identity(u32),
    /// They come too fast.
    #[error("more than {0} streams a second are being opened (load.streamsPerSecond): come again in a moment")]
    Rate(u32),
}

impl Refusal {
    /// The bound, as the settings of `load` name it.
    pub fn bound(self) -> &'static str {
        match self {
            Self::Streams(_) => "streams",
            Self::Identity(_) => "streamsPerIdentity",
            Self::Rate(_) => "streamsPerSecond",
        }
    }
}

/// The bounds, and what is in.
#[derive(Debug)]
pub struct Admission {
    load: Load,
    gate: Mutex<Gate>,
}

#[derive(Debug)]
struct Gate {
    open: u32,
    by: HashMap<Principal, u32>,
    /// Streams that may be opened now.
    tokens: f64,
    filled: Instant,
}

impl Admission {
    /// Bounds under which no stream is open yet.
    pub fn new(load: Load, now: Instant) -> Self {
        let tokens = f64::from(load.streams_per_second);
        Self { load, gate: Mutex::new(Gate { open: 0, by: HashMap::new(), tokens, filled: now }) }
    }

    /// Lets a stream of `who` in, for as long as the answer lives.
    ///
    /// # Errors
    /// The bound that it would break. Nothing is taken from the others then.
    pub fn enter(self: &Arc<Self>, who: &Principal, now: Instant) -> Result<Ticket, Refusal> {
        let load = &self.load;
        let mut gate = self.lock();
        if gate.open >= load.streams {
            return Err(Refusal::Streams(load.streams));
        }
        if gate.by.get(who).is_some_and(|own| *own >= load.streams_per_identity) {
            return Err(Refusal::Identity(load.streams_per_identity));
        }
        let rate = f64::from(load.streams_per_second);
        let since = now.saturating_duration_since(gate.filled).as_secs_f64();
        gate.tokens = (gate.tokens + since * rate).min(rate);
        gate.filled = gate.filled.max(now);
        if gate.tokens < 1.0 {
            return Err(Refusal::Rate(load.streams_per_second));
        }
        gate.tokens -= 1.0;
        gate.open += 1;
        *gate.by.entry(who.clone()).or_default() += 1;
        Ok(Ticket { admission: Arc::clone(self), who: who.clone() })
    }

    /// How long a stream lives; none: for ever. `jitter` is uniform in 0..1.
    pub fn age(&self, jitter: f64) -> Option<Duration> {
        let age = self.load.max_stream_age.0;
        (!age.is_zero()).then(|| age.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter))
    }

    /// When a connection is told to take no more streams: before its first stream ends, so that the one which
    /// comes instead opens another connection.
    pub fn connection_age(&self) -> Option<Duration> {
        self.age(0.0)
    }

    /// How long a stream goes on after the server was told to end. `jitter` is uniform in 0..1.
    pub fn farewell(&self, jitter: f64) -> Duration {
        FAREWELL_EACH.saturating_mul(self.lock().open).min(FAREWELL).mul_f64(jitter)
    }

    fn lock(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that was let in.
#[derive(Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
    who: Principal,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut gate = self.admission.lock();
        gate.open -= 1;
        if let Some(own) = gate.by.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                gate.by.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_config::bootstrap::Period;

    use super::*;

    fn account(name: &str) -> Principal {
        Principal::ServiceAccount(format!("ns/{name}").parse().unwrap())
    }

    fn admission(load: Load) -> (Arc<Admission>, Instant) {
        let now = Instant::now();
        (Arc::new(Admission::new(load, now)), now)
    }

    #[test]
    fn the_server_and_each_identity_have_a_bound_and_what_leaves_makes_room() {
        let load = Load { streams: 3, streams_per_identity: 2, ..Load::default() };
        let (admission, now) = admission(load);
        let (a, b) = (account("a"), account("b"));
        let first = admission.enter(&a, now).unwrap();
        let _second = admission.enter(&a, now).unwrap();
        assert_eq!(admission.enter(&a, now).unwrap_err(), Refusal::Identity(2));
        let third = admission.enter(&b, now).unwrap();
        assert_eq!(admission.enter(&b, now).unwrap_err(), Refusal::Streams(3));
        drop(first);
        let _fourth = admission.enter(&a, now).unwrap();
        drop(third);
        assert_eq!(admission.lock().by.len(), 1, "who has no stream is forgotten");
    }

    #[test]
    fn a_second_lets_in_so_many_and_a_refusal_costs_nothing() {
        let load = Load { streams_per_second: 10, ..Load::default() };
        let (admission, now) = admission(load);
        let mut open = Vec::new();
        let mut enter = |at| admission.enter(&Principal::Anonymous, at).map(|ticket| open.push(ticket));
        for _ in 0..10 {
            enter(now).unwrap();
        }
        for _ in 0..100 {
            assert_eq!(enter(now), Err(Refusal::Rate(10)));
        }
        enter(now + Duration::from_millis(100)).unwrap();
        assert_eq!(enter(now + Duration::from_millis(100)), Err(Refusal::Rate(10)));
        // A clock that seems to go back fills nothing twice.
        assert_eq!(enter(now), Err(Refusal::Rate(10)));
        let later = now + Duration::from_secs(60);
        assert_eq!((0..20).filter(|_| enter(later).is_ok()).count(), 10, "the burst is as large as the rate");
    }

    #[test]
    fn every_refusal_is_counted_and_names_its_setting() {
        for refusal in [Refusal::Streams(1), Refusal::Identity(1), Refusal::Rate(1)] {
            assert!(crate::metrics::STREAM_BOUNDS.contains(&refusal.bound()));
            assert!(refusal.to_string().contains(&format!("(load.{})", refusal.bound())), "{refusal}");
        }
    }

    #[test]
    fn ages_are_spread_and_a_connection_closes_before_its_streams() {
        let (admission, _) = admission(Load { max_stream_age: Period::seconds(100), ..Load::default() });
        let ages = [0.0, 0.5, 1.0].map(|jitter| admission.age(jitter).unwrap().as_secs());
        assert_eq!(ages, [80, 100, 120]);
        assert_eq!(admission.connection_age().unwrap().as_secs(), 80);
        let (for_ever, _) = self::admission(Load { max_stream_age: Period::seconds(0), ..Load::default() });
        assert_eq!((for_ever.age(0.5), for_ever.connection_age()), (None, None));
    }

    #[test]
    fn the_more_streams_there_are_the_longer_their_end_is_spread() {
        let (admission, now) = admission(Load { streams_per_second: 1000, ..Load::default() });
        assert_eq!(admission.farewell(1.0), Duration::ZERO);
        let mut tickets: Vec<_> = (0..100).map(|_| admission.enter(&Principal::Anonymous, now).unwrap()).collect();
        assert_eq!((admission.farewell(0.0), admission.farewell(1.0)), (Duration::ZERO, Duration::from_secs(2)));
        tickets.extend((0..900).map(|_| admission.enter(&Principal::Anonymous, now).unwrap()));
        assert_eq!(admission.farewell(1.0), FAREWELL);
    }
}
