//! Choice of an endpoint: weighted round robin, exact over time and well spread.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use crate::request::cluster::{ClusterSlot, ClusterTable, EndpointTable};

/// Endpoints that one exchange tries to connect to, one after the other.
const MOST: usize = 3;

/// What an exchange knows of endpoints before it chooses one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Those that failed.
    pub failed: Vec<SocketAddr>,
    /// Those that failed earlier tries of this request: taken only where no other is left.
    pub avoid: Vec<SocketAddr>,
    /// The one that served this client before: taken, and no turn with it, if it is there and has not failed.
    pub prefer: Option<SocketAddr>,
}

impl Tries {
    /// Whether another endpoint may be tried.
    pub fn go_on(&self) -> bool {
        self.failed.len() < MOST
    }

    /// Begins another try of the same request: whatever failed, `served` too, is avoided, and nobody preferred.
    pub fn next_try(&mut self, served: Option<SocketAddr>) {
        self.avoid.append(&mut self.failed);
        self.avoid.extend(served);
        self.prefer = None;
    }

    /// Whether none was tried yet.
    pub fn is_first(&self) -> bool {
        self.failed.is_empty()
    }
}

/// The endpoint that serves this client already, or whose turn it is; not one of those that failed in this
/// try, and another than those of earlier ones where there is one; none where all failed. `table` is what `slot.state` held at the beginning of the exchange.
///
/// The turn is counted in the slot, so that it goes on when endpoints swap. An exchange that tries
/// again takes the next endpoint in order and no turn of its own, so that retries bend no share.
pub fn pick<'t>(slot: &ClusterSlot, table: &'t ClusterTable, tries: &Tries) -> Option<&'t EndpointTable> {
    let free = |endpoint: &&EndpointTable| !tries.failed.contains(&endpoint.address);
    if let Some(wanted) = tries.prefer
        && let Some(endpoint) = table.endpoints.iter().find(|e| e.address == wanted).filter(free)
    {
        return Some(endpoint);
    }
    let wheel = table.wheel.as_ref()?;
    let turn = if tries.is_first() && tries.avoid.is_empty() {
        slot.turn.fetch_add(1, Relaxed)
    } else {
        slot.turn.load(Relaxed)
    };
    let (before, from) = table.endpoints.split_at_checked(wheel.at(turn))?;
    let mut in_order = from.iter().chain(before).filter(free);
    let first = in_order.next()?;
    let better = |endpoint: &&EndpointTable| !tries.avoid.contains(&endpoint.address);
    Some(std::iter::once(first).chain(in_order).find(better).unwrap_or(first))
}
