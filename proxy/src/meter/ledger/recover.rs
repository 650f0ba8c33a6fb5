//! The end of an epoch whose proxy did not end it.

use weir_config::usage::v1::UsageBatch;

use super::span::floor;
use super::{Piece, Sender, Span, window};
use crate::meter::Counted;
use crate::meter::file::Old;
use crate::meter::log::{Logged, Past};

/// How far beyond the last known sequence a batch stands that says that an epoch's open window is
/// lost. The epoch may go on elsewhere (its directory was copied), or may have gone further than is known here
/// (an old snapshot): no batch of its own must ever meet this one's key.
const BEYOND: u64 = 1 << 32;

/// What is still to be logged of an epoch whose counters were found: nothing where its end is logged
/// already. It gives the same whenever it is asked with the same, and what is left where a part was
/// logged meanwhile. `modified_ms` is when the counters were last written, as far as the file knows.
pub fn recover(old: &Old, past: Option<&Past>, sender: &Sender, modified_ms: i64, length_ms: i64) -> Vec<Piece> {
    if past.is_some_and(|past| past.ended) {
        return Vec::new();
    }
    let known = past.map_or(0, |past| past.last_logged).max(old.logged_sequence);
    let length_ms = length_ms.max(1);
    let modified_ms = floor(modified_ms, length_ms);
    if !old.believable {
        return vec![Piece { logged: lost(sender, known, modified_ms), marks: Vec::new() }];
    }
    let started_ms = past.and_then(|past| past.ended_ms).unwrap_or(modified_ms);
    // A kill between append and mark: the record knows more than the mark.
    let counted: Vec<_> = old
        .counted
        .iter()
        .map(|c| {
            let reached = past.and_then(|past| past.reached.get(&c.incarnation)).copied().unwrap_or_default();
            Counted { logged: c.logged.max(&reached), ..c.clone() }
        })
        .collect();
    let ended_ms = modified_ms.max(started_ms).saturating_add(length_ms);
    window(&counted, sender, known + 1, Span { started_ms, ended_ms }, true)
}

/// Says that an epoch has ended, and that what it counted after the batch `known` is lost.
pub fn lost(sender: &Sender, known: u64, ended_ms: i64) -> Logged {
    let sequence = known.saturating_add(BEYOND);
    let batch = UsageBatch {
        epoch: sender.epoch.0.to_vec(),
        sequence,
        first_sequence: sequence,
        proxy: sender.proxy.clone(),
        started_ms: ended_ms,
        ended_ms,
        last: true,
        lost_open_window: true,
        usage: Vec::new(),
    };
    Logged { batch, reached: Vec::new() }
}
