//! Says in the log why callers are refused, bounded: who can reach the port must not be able to fill a disk.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::peer::Peer;
use super::refusal::{Answer, Refusal};

/// Lines of one kind of refusal that may come at once.
const BURST: u32 = 20;
/// After a burst there is a line of a kind this often.
const PACE: Duration = Duration::from_secs(2);

/// The refusals that were told of. Each kind has a budget of its own, so that a flood of one hides no other.
#[derive(Debug, Default)]
pub(super) struct Reports {
    budgets: Mutex<BTreeMap<&'static str, Budget>>,
}

#[derive(Debug)]
struct Budget {
    left: u32,
    since: Instant,
    silent: u64,
}

impl Reports {
    /// Says that a caller is refused, if there is room for saying so.
    pub(super) fn refused(&self, refusal: &Refusal, peer: &Peer, now: Instant) {
        let Some(silent) = self.take(refusal.kind(), now) else { return };
        let (answer, caller) = (refusal.answer(), peer.to_string());
        match answer {
            Answer::Unauthenticated | Answer::Denied => {
                tracing::warn!(caller, reason = %refusal, unsaid = silent, "a caller is refused");
            }
            Answer::Unavailable => {
                tracing::warn!(caller, reason = %refusal, unsaid = silent, "a caller cannot be checked; it shall come again");
            }
        }
    }

    /// A line's worth of the budget of `kind`: how many lines were not written since the last one.
    fn take(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets.entry(kind).or_insert(Budget { left: BURST, since: now, silent: 0 });
        let paces = now.saturating_duration_since(budget.since).as_millis() / PACE.as_millis();
        let paces = u32::try_from(paces).unwrap_or(u32::MAX);
        if paces > 0 {
            budget.left = budget.left.saturating_add(paces).min(BURST);
            budget.since = now;
        }
        if budget.left == 0 {
            budget.silent += 1;
            return None;
        }
        budget.left -= 1;
        Some(std::mem::take(&mut budget.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_counted_and_hides_no_other() {
        let (reports, now) = (Reports::default(), Instant::now());
        let said = (0..1000).filter(|_| reports.take("signature", now).is_some()).count();
        assert_eq!(said, BURST as usize);
        assert_eq!(reports.take("expired", now), Some(0));
        assert_eq!(reports.take("signature", now + PACE), Some(1000 - u64::from(BURST)));
        assert_eq!(reports.take("signature", now + PACE), None);
        let later = now + 1000 * PACE;
        assert_eq!((0..1000).filter(|_| reports.take("signature", later).is_some()).count(), BURST as usize);
    }
}
