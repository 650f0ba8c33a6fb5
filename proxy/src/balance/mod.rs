//! Choice of an endpoint: weighted round robin, exact over time and well spread.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use crate::request::table::{ClusterSlot, ClusterTable, EndpointTable};

/// The endpoint whose turn it is, not one of `tried` (those that failed in this exchange); none
/// where no other is left. `table` is what `slot.state` held at the beginning of the exchange.
///
/// The turn is counted in the slot, so that it goes on when endpoints swap. An exchange that tries
/// again takes the next endpoint in order and no turn of its own, so that retries bend no share.
pub fn pick<'t>(slot: &ClusterSlot, table: &'t ClusterTable, tried: &[SocketAddr]) -> Option<&'t EndpointTable> {
    let wheel = table.wheel.as_ref()?;
    let turn = if tried.is_empty() { slot.turn.fetch_add(1, Relaxed) } else { slot.turn.load(Relaxed) };
    let (before, from) = table.endpoints.split_at_checked(wheel.at(turn))?;
    from.iter().chain(before).find(|endpoint| !tried.contains(&endpoint.address))
}
