//! A window as batches.

use std::collections::BTreeMap;

use weir_config::usage::v1::{TenantUsage, UsageBatch};
use weir_config::usage::{MAX_BATCH_ENTRIES, Units};

use super::Span;
use crate::meter::log::{Logged, Reached};
use crate::meter::{Counted, Epoch, TenantId};

/// Whose batches they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// This start of the proxy.
    pub epoch: Epoch,
    /// Its name: information only.
    pub proxy: String,
}

/// What is to be marked in the counters when a batch is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The place.
    pub place: TenantId,
    /// Whose it is.
    pub incarnation: u64,
    /// All that is logged of it then.
    pub totals: Units,
}

/// A batch, and what it brings the counters' marks to.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// What is logged.
    pub logged: Logged,
    /// What is marked then.
    pub marks: Vec<Mark>,
}

/// The batches of a window: what totals have beyond what is logged. None where that is nothing, unless
/// the epoch ends and has said something before. `next` is the first one's sequence.
pub fn window(counted: &[Counted], sender: &Sender, next: u64, span: Span, last: bool) -> Vec<Piece> {
    let grown: Vec<_> = counted.iter().filter(|c| !c.total.since(&c.logged).is_zero()).collect();
    let mut pieces: Vec<_> = (next..)
        .zip(grown.chunks(MAX_BATCH_ENTRIES))
        .map(|(sequence, some)| piece(some, sender, sequence, span))
        .collect();
    if last {
        if pieces.is_empty() && next > 1 {
            pieces.push(piece(&[], sender, next, span));
        }
        if let Some(piece) = pieces.last_mut() {
            piece.logged.batch.last = true;
        }
    }
    pieces
}

fn piece(counted: &[&Counted], sender: &Sender, sequence: u64, span: Span) -> Piece {
    // A tenant that left and came back within the window has two places.
    let mut usage: BTreeMap<&str, Units> = BTreeMap::new();
    for c in counted {
        usage.entry(&c.tenant).or_default().add(&c.total.since(&c.logged));
    }
    let marks: Vec<_> = counted
        .iter()
        .map(|c| Mark { place: c.place, incarnation: c.incarnation, totals: c.total.max(&c.logged) })
        .collect();
    let batch = UsageBatch {
        epoch: sender.epoch.0.to_vec(),
        sequence,
        first_sequence: sequence,
        proxy: sender.proxy.clone(),
        started_ms: span.started_ms,
        ended_ms: span.ended_ms,
        last: false,
        lost_open_window: false,
        usage: usage
            .into_iter()
            .map(|(tenant, u)| TenantUsage { tenant: tenant.into(), units: Some((&u).into()) })
            .collect(),
    };
    let reached = marks.iter().map(|m| Reached { incarnation: m.incarnation, totals: (&m.totals).into() }).collect();
    Piece { logged: Logged { batch, reached }, marks }
}
