//! Which tenants each sender of usage was given to serve, as this server knows it. Pure; what it does not
//! know, another server or an earlier one may have stored ([`Store::given`](super::Store::given)).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::span::{DAY_MS, HOUR_MS};

/// What is still given is stored again when what is stored is older.
const STORE_AGAIN_MS: i64 = DAY_MS / 2;
/// What is stored of something that is still given may be older by so much, and counts. It covers the above and
/// the time between two looks at all that is given ([`RENEW_MS`]).
pub const SLACK_MS: i64 = DAY_MS;
/// How often all that is given is noted again.
pub const RENEW_MS: i64 = 6 * HOUR_MS;

/// A holder and its tenant. A holder is an edge by its name, or `sidecar/<namespace>`: no edge's name has a `/`.
pub type Pair = (Arc<str>, Arc<str>);

/// When a tenant was given.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// Last, as far as known.
    given_ms: i64,
    /// What the store has of it.
    stored_ms: i64,
}

/// What is known of holders.
#[derive(Debug, Default)]
pub struct Given {
    holders: HashMap<Arc<str>, HashMap<Arc<str>, Times>>,
    /// To be stored.
    due: BTreeSet<Pair>,
}

impl Given {
    /// Notes that `holder` is given `tenant` now. True if that is to be stored.
    pub fn note(&mut self, holder: &str, tenant: &str, now_ms: i64) -> bool {
        let times = self.times(holder, tenant);
        times.given_ms = times.given_ms.max(now_ms);
        let due = times.stored_ms.saturating_add(STORE_AGAIN_MS) < now_ms;
        due && self.due.insert((holder.into(), tenant.into()))
    }

    /// Takes in what the store knows of a holder.
    pub fn learn(&mut self, holder: &str, stored: Vec<(String, i64)>) {
        for (tenant, stored_ms) in stored {
            let times = self.times(holder, &tenant);
            times.given_ms = times.given_ms.max(stored_ms);
            times.stored_ms = times.stored_ms.max(stored_ms);
        }
    }

    /// Whether `holder` was given `tenant` at `since_ms` or later, as far as is known here.
    pub fn has(&self, holder: &str, tenant: &str, since_ms: i64) -> bool {
        self.holders.get(holder).and_then(|of| of.get(tenant)).is_some_and(|times| times.given_ms >= since_ms)
    }

    /// What is to be stored, in the order in which every server stores.
    pub fn take_due(&mut self) -> Vec<Pair> {
        std::mem::take(&mut self.due).into_iter().collect()
    }

    /// What was due is stored, as given at `now_ms`; or it could not be (none), and is due again.
    pub fn stored(&mut self, pairs: Vec<Pair>, now_ms: Option<i64>) {
        for (holder, tenant) in pairs {
            match now_ms {
                Some(now_ms) => self.times(&holder, &tenant).stored_ms = now_ms,
                None => drop(self.due.insert((holder, tenant))),
            }
        }
    }

    /// Forgets what was given before `before_ms` and not since.
    pub fn forget(&mut self, before_ms: i64) {
        for tenants in self.holders.values_mut() {
            tenants.retain(|_, times| times.given_ms >= before_ms);
        }
        self.holders.retain(|_, tenants| !tenants.is_empty());
    }

    fn times(&mut self, holder: &str, tenant: &str) -> &mut Times {
        let never = Times { given_ms: i64::MIN, stored_ms: i64::MIN };
        self.holders.entry(holder.into()).or_default().entry(tenant.into()).or_insert(never)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(given: &mut Given) -> Vec<String> {
        given.take_due().iter().map(|(holder, tenant)| format!("{holder} {tenant}")).collect()
    }

    #[test]
    fn a_holder_has_what_it_was_given_for_as_long_as_that_counts() {
        let mut given = Given::default();
        given.note("edge", "acme", 100);
        assert!(given.has("edge", "acme", 100) && !given.has("edge", "acme", 101));
        assert!(!given.has("edge", "globex", 0) && !given.has("edge2", "acme", 0));
        given.note("edge", "acme", 50);
        assert!(given.has("edge", "acme", 100), "a clock that steps back takes nothing away");
        given.forget(101);
        assert!(!given.has("edge", "acme", 0));
    }

    #[test]
    fn what_is_new_is_stored_once_and_again_after_half_a_day() {
        let mut given = Given::default();
        assert!(given.note("edge", "acme", 0));
        assert!(!given.note("edge", "acme", 1), "it is due already");
        let due = given.take_due();
        given.stored(due, Some(1));
        assert!(!given.note("edge", "acme", 1 + STORE_AGAIN_MS));
        assert!(given.note("edge", "acme", 2 + STORE_AGAIN_MS));
        assert_eq!(pairs(&mut given), ["edge acme"]);
    }

    #[test]
    fn what_could_not_be_stored_is_due_again() {
        let mut given = Given::default();
        given.note("edge", "acme", 0);
        let due = given.take_due();
        given.note("edge", "globex", 0);
        given.stored(due, None);
        assert_eq!(pairs(&mut given), ["edge acme", "edge globex"]);
    }

    #[test]
    fn what_another_server_stored_counts_and_is_not_stored_again() {
        let mut given = Given::default();
        given.learn("edge", vec![("acme".into(), 100)]);
        assert!(given.has("edge", "acme", 100) && !given.has("edge", "acme", 101));
        assert!(!given.note("edge", "acme", 200));
        assert!(given.has("edge", "acme", 200));
    }
}
