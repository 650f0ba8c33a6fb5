//! Requests that are sent again, or to others too. Each try is an exchange of its own with a client's side that
//! keeps back what the client need not see ([`Kept`]).

use std::sync::Arc;
use std::time::Instant;

use super::kept::{Attempts, Ended, Kept};
use super::mirror::Copies;
use super::{CLIENT_DEADLINE, Downstream, Outcome, Plan, Surroundings, UNPROCESSED, refuse};
use crate::request::cluster::ClusterSlot;
use crate::request::retry::Failure;
use crate::request::table::Extras;
use crate::serve::deadline::after;
use crate::serve::flag::Flag;

/// Carries out a plan whose route retries or mirrors.
pub(super) async fn forward<D: Downstream>(
    down: &mut D,
    plan: &Plan,
    cluster: &Arc<ClusterSlot>,
    extras: &Extras,
    around: &mut Surroundings<'_>,
) -> Outcome {
    let worker = around.worker;
    let copies = Copies::start(down, plan, &extras.mirrors, around);
    let _under_way = extras.retry.as_ref().map(|_| cluster.retries.enter());
    let attempts = extras.retry.as_ref().map(|table| Attempts::new(table, cluster));
    let timeout = plan.route.as_ref().and_then(|route| route.timeout);
    let mut kept = Kept::new(down, attempts, copies, timeout, worker.stats(), around.now);
    let mut tries = plan.tries();
    loop {
        let mut outcome = super::forward(&mut kept, plan, cluster, &mut tries, around).await;
        let again = match kept.ended() {
            Ended::Passed => return outcome,
            Ended::Declined => true,
            Ended::Unanswered => {
                let failure = name(&mut outcome, &kept);
                let wanted =
                    kept.attempts().zip(failure).is_some_and(|(attempts, failure)| attempts.table.wants(failure));
                wanted && kept.grant()
            }
        };
        if !again {
            return refuse(kept.down(), outcome.status, outcome, plan, around).await;
        }
        tries.next_try(outcome.endpoint);
        if let Some(outcome) = pause(&mut kept, plan, around).await {
            return outcome;
        }
        around.now = Instant::now();
        kept.restart(around.now);
    }
}

/// What went wrong, where a try had no response; says more exactly whose time was over.
fn name<D: Downstream>(outcome: &mut Outcome, kept: &Kept<'_, '_, D>) -> Option<Failure> {
    match outcome.flag {
        Flag::UpstreamConnectionFailure => Some(Failure::Connect),
        Flag::UpstreamRemoteReset if outcome.details == UNPROCESSED => Some(Failure::Unprocessed),
        Flag::UpstreamRemoteReset | Flag::UpstreamConnectionTermination | Flag::UpstreamProtocolError => {
            Some(Failure::Reset)
        }
        Flag::UpstreamRequestTimeout if outcome.details == CLIENT_DEADLINE && kept.was_slow() => {
            outcome.details = "per_try_timeout";
            Some(Failure::Slow)
        }
        Flag::UpstreamRequestTimeout if outcome.details == CLIENT_DEADLINE && kept.was_late() => {
            outcome.details = "route_timeout";
            None
        }
        _ => None,
    }
}

/// Waits before the next try; an outcome where there will be none.
async fn pause<D: Downstream>(
    kept: &mut Kept<'_, '_, D>,
    plan: &Plan,
    around: &mut Surroundings<'_>,
) -> Option<Outcome> {
    let attempts = kept.attempts()?;
    let wait = attempts.table.back_off(attempts.made.saturating_sub(1), around.worker.random());
    let (now, end) = (Instant::now(), kept.ends_at());
    let begin = after(now, wait);
    let until = end.map_or(begin, |end| end.min(begin));
    if around.deadline.limit(until, |cx| kept.poll_away(cx)).await.is_some() {
        let flag = Flag::DownstreamConnectionTermination;
        return Some(Outcome { details: "client_gone", ..Outcome::new(0, flag) });
    }
    if end.is_some_and(|end| end <= begin) {
        let outcome = Outcome { details: "route_timeout", ..Outcome::new(504, Flag::UpstreamRequestTimeout) };
        return Some(refuse(kept.down(), 504, outcome, plan, around).await);
    }
    None
}
