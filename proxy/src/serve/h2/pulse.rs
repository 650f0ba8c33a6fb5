//! PINGs of our own on a connection (RFC 9113 section 6.7): they show whether the peer is still there; and, since its
//! settings are its first frame (section 3.4) and it answers in order, that these have come.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::PingPong;
use weir_config::model::Keepalive;

use crate::serve::deadline::{Deadline, after};
use crate::serve::timers::Timers;

/// Envoy's `interval_jitter` where none is given, in hundredths of a percent.
const JITTER: u16 = 1_500;

/// The peer did not answer in time: it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silent;

/// See the module.
pub(crate) struct Pulse {
    /// None if somebody else has them.
    pings: Option<PingPong>,
    keepalive: Option<Keepalive>,
    timer: Deadline,
    state: State,
    answered: bool,
}

#[derive(Clone, Copy)]
enum State {
    /// The next PING is due then; none by itself.
    Resting(Option<Instant>),
    /// One is on its way, and must be answered by then.
    Asked(Option<Instant>),
}

impl Pulse {
    /// Begins a connection that has these `pings`.
    pub(crate) fn new(pings: Option<PingPong>, keepalive: Option<Keepalive>, timers: &Rc<Timers>) -> Self {
        let timer = Deadline::new(timers);
        let mut pulse = Self { pings, keepalive, timer, state: State::Resting(None), answered: false };
        pulse.state = pulse.rest(Instant::now());
        pulse
    }

    /// Whether a PING was ever answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered
    }

    /// To be called whenever the connection's task is woken, after its frames were moved. `wanted`: a first answer is
    /// waited for.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, wanted: bool) -> Poll<Silent> {
        loop {
            let Some(pings) = &mut self.pings else { return Poll::Pending };
            match self.state {
                State::Resting(next) => {
                    let asks = wanted && !self.answered;
                    if !asks && !next.is_some_and(|at| self.timer.poll(cx, at, Instant::now()).is_ready()) {
                        return Poll::Pending;
                    }
                    // An error is the connection's own, which ends by it.
                    if pings.send_ping(h2::Ping::opaque()).is_err() {
                        return Poll::Pending;
                    }
                    let now = Instant::now();
                    self.state = State::Asked(self.keepalive.map(|keepalive| after(now, keepalive.timeout)));
                }
                State::Asked(until) => match pings.poll_pong(cx) {
                    Poll::Ready(Ok(_)) => {
                        self.answered = true;
                        self.state = self.rest(Instant::now());
                    }
                    Poll::Ready(Err(_)) => return Poll::Pending,
                    Poll::Pending => {
                        let silent = until.is_some_and(|at| self.timer.poll(cx, at, Instant::now()).is_ready());
                        return if silent { Poll::Ready(Silent) } else { Poll::Pending };
                    }
                },
            }
        }
    }

    fn rest(&self, now: Instant) -> State {
        let next = self.keepalive.and_then(|keepalive| Some((keepalive.interval?, keepalive.jitter.unwrap_or(JITTER))));
        State::Resting(next.map(|(interval, jitter)| after(now, jittered(interval, jitter, rand::random()))))
    }
}

/// `interval`, and up to `jitter` hundredths of a percent of it more, as `chance` falls.
fn jittered(interval: Duration, jitter: u16, chance: u32) -> Duration {
    let share = f64::from(jitter) / 10_000.0 * (f64::from(chance) / f64::from(u32::MAX));
    Duration::try_from_secs_f64(interval.as_secs_f64() * (1.0 + share)).unwrap_or(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_adds_at_most_its_share() {
        let second = Duration::from_secs(1);
        assert_eq!(jittered(second, 1_500, 0), second);
        assert_eq!(jittered(second, 1_500, u32::MAX), Duration::from_millis(1150));
        assert_eq!(jittered(second, 0, u32::MAX), second);
        assert_eq!(jittered(Duration::MAX, 10_000, u32::MAX), Duration::MAX);
    }
}
