//! Retries of what was no response, and how they share the time that a request has.

use crate::cases::accepted;
use crate::cases::http::retried;
use crate::compare::Expected;
use crate::suite::{Case, Check};
use crate::world::{INFRA, endpoints};

const HALF_DEAD: &str = "own-half-dead-1";

/// Connections that break off without an answer, and some that nobody takes.
pub(super) fn connection_error(case: &Case<'_>) -> Check {
    case.world.mutate("EndpointSlice", INFRA, HALF_DEAD, |slice| {
        let alive = endpoints(&case.world.pods_of(INFRA, "infra-backend-v3")[..1], INFRA);
        slice["endpoints"].as_array_mut().unwrap().extend(alive.as_array().cloned().unwrap_or_default());
    });
    let place = accepted(case)?;
    // The backend resets the connection instead of answering.
    for (after, wanted) in [(1, [200].as_slice()), (2, &[200]), (3, &[200]), (4, &[500, 502, 503])] {
        retried(case, &place, &format!("/retry/broken-off?succeedAfter={after}"), wanted)?;
    }
    let row = Expected::reaches("", "/refused", "infra-backend-v3", INFRA);
    case.expect(&place, &row)?;
    for _ in 0..20 {
        let (sent, response) = case.exchange(&place, &row)?;
        row.check(&sent, &response)?;
    }
    // Without a retry the first failure is the answer: what was seen before is the retries' doing.
    retried(case, &place, "/retry/not-retried?succeedAfter=2", &[500, 502, 503])
}

/// Tries that take too long are tried again within the time of the request as a whole.
pub(super) fn with_timeouts(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    let rows: [(&str, &[u16]); 5] = [
        // Two tries are slow, the third answers at once.
        ("/retry/each?responseCode=500&succeedAfter=2&delayRetry=800ms", &[200]),
        // All three are slow: the last one's limit is what the client is told.
        ("/retry/each?responseCode=500&succeedAfter=3&delayRetry=800ms", &[504]),
        // No code is named, so that an answer is an answer.
        ("/retry/each?responseCode=500&succeedAfter=1", &[500]),
        ("/retry/all?responseCode=500&succeedAfter=1", &[200]),
        // Four tries of 300 ms each do not fit into a second, though each fits into its own limit.
        ("/retry/all?responseCode=500&succeedAfter=5&delayRetry=300ms", &[504]),
    ];
    rows.iter().try_for_each(|(path, wanted)| retried(case, &place, path, wanted))
}
