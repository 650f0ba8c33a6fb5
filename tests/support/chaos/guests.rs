//! Tenants that come, are served, and go, while the others go on: their places among the counters are
//! used again.

use rand::Rng;
use rand::rngs::StdRng;

use super::fleet::Fleet;
use crate::support::counting::exchange::Exchange;
use crate::support::counting::session::{Next, Session};
use crate::support::counting::tally::Tally;
use crate::support::wait;

/// Most exchanges of a guest.
const EXCHANGES: u64 = 30;

/// A tenant that came.
pub struct Guest {
    /// Its name.
    pub tenant: &'static str,
    /// What it completed.
    pub counted: Tally,
}

/// Lets `count` tenants come and go, one after the other.
pub fn visit(fleet: &Fleet, round: u64, count: u64, rng: &mut StdRng) -> Vec<Guest> {
    (0..count).map(|n| one(fleet, format!("guest-{round}-{n}"), rng)).collect()
}

fn one(fleet: &Fleet, name: String, rng: &mut StdRng) -> Guest {
    // A test's few names may live as long as it.
    let tenant: &'static str = name.leak();
    let host: &'static str = format!("a.{tenant}.test").leak();
    fleet.add_tenant(tenant, host);
    let mut counted = Tally::default();
    let wanted = rng.random_range(1..EXCHANGES);
    let mut completed = 0;
    wait::until(&format!("{tenant} to be served"), || {
        while completed < wanted {
            let mut session = Session::open(&fleet.target(false, host), rng.random()).ok()?;
            // Until its routes have come, this is a host that nobody has.
            let exchange = || Exchange::draw_answered(rng, host, tenant);
            let served = std::iter::repeat_with(exchange).take(7).all(|e| matches!(session.one(&e), Ok(Next::Goes)));
            counted.merge(&session.outcome.tally);
            completed += session.outcome.completed;
            if !served && session.outcome.completed == 0 {
                return None;
            }
        }
        Some(())
    });
    fleet.remove_tenant(tenant);
    Guest { tenant, counted }
}
