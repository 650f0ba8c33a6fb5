//! When a stream has ended: how long to wait before the next, and what to say about it.

use std::time::Duration;

use crate::connect::backoff;

/// How often a control plane that does not take usage is asked again. It may be replaced by one that does.
const FOREIGN: Duration = Duration::from_secs(300);

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server stored something, and then the stream ended.
    Served,
    /// The server ended it after a while, because what this proxy proved itself by has ended.
    Expired,
    /// It ended, or was never there, and nothing was stored.
    Failed,
    /// The server does not know the service (UNIMPLEMENTED).
    Foreign,
}

/// What the log shall say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// That there is no stream. The next failure in a row says no more than this one.
    NoStream,
    /// That the server takes no usage.
    Foreign,
    /// Nothing that was not said.
    Nothing,
}

/// Streams that ended, one after the other.
#[derive(Debug, Default)]
pub struct Retry {
    failures: u32,
    foreign: bool,
}

impl Retry {
    /// A stream has ended. `jitter` is uniform in 0..1.
    pub fn ended(&mut self, end: End, jitter: f64) -> (Duration, Say) {
        let was_foreign = std::mem::replace(&mut self.foreign, end == End::Foreign);
        self.failures = if end == End::Failed { self.failures.saturating_add(1) } else { 1 };
        match end {
            End::Foreign => {
                let say = if was_foreign { Say::Nothing } else { Say::Foreign };
                (FOREIGN.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0), say)
            }
            End::Expired => (Duration::ZERO, Say::Nothing),
            End::Served | End::Failed => {
                let say = if self.failures == 1 { Say::NoStream } else { Say::Nothing };
                (backoff::delay(self.failures, jitter), say)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_wait_longer_and_only_the_first_is_told() {
        let mut retry = Retry::default();
        let seen: Vec<_> = (0..3).map(|_| retry.ended(End::Failed, 1.0)).collect();
        let ms = Duration::from_millis;
        assert_eq!(seen, [(ms(200), Say::NoStream), (ms(400), Say::Nothing), (ms(800), Say::Nothing)]);
        assert_eq!(retry.ended(End::Served, 1.0), (ms(200), Say::NoStream));
        assert_eq!(retry.ended(End::Failed, 1.0), (ms(400), Say::Nothing));
    }

    #[test]
    fn a_token_that_ended_is_replaced_at_once_and_is_no_failure() {
        let mut retry = Retry::default();
        assert_eq!(retry.ended(End::Expired, 1.0), (Duration::ZERO, Say::Nothing));
        assert_eq!(retry.ended(End::Failed, 1.0).0, Duration::from_millis(400), "but where that fails too, it waits");
    }

    #[test]
    fn a_foreign_control_plane_is_told_of_once_and_asked_again_every_few_minutes() {
        let mut retry = Retry::default();
        retry.ended(End::Failed, 1.0);
        assert_eq!(retry.ended(End::Foreign, 1.0), (FOREIGN, Say::Foreign));
        assert_eq!(retry.ended(End::Foreign, 0.0), (FOREIGN / 2, Say::Nothing));
        assert_eq!(retry.ended(End::Served, 0.0), (Duration::ZERO, Say::NoStream));
        assert_eq!(retry.ended(End::Foreign, 1.0), (FOREIGN, Say::Foreign));
    }
}
