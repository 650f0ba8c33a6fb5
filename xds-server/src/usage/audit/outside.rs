//! What is stored, and is not where it should be: kept aside, not exported, refused by the billing system.

use std::collections::BTreeMap;

use weir_config::usage::{Units, v1};

use super::{Finding, Kind, Severity};
use crate::usage::Epoch;
use crate::usage::span::show;

/// How long what is stored may wait to be exported before that is called a gap.
const EXPORT_MS: i64 = 60 * 60_000;

/// Something that was kept aside.
#[derive(Clone, Debug, PartialEq)]
pub struct Aside {
    /// When, in milliseconds since 1970.
    pub received_ms: i64,
    /// Why: `refused`, `conflict` or `malformed`.
    pub reason: String,
    /// What is wrong, for people.
    pub detail: String,
    /// The message, if it can be read.
    pub batch: Option<v1::UsageBatch>,
}

/// How far an exporter is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Its name.
    pub name: String,
    /// All up to this position was taken.
    pub done: i64,
    /// The end of the range that is being sent.
    pub pending: Option<i64>,
    /// Position of the newest batch.
    pub newest: i64,
    /// When the first batch after `done` came.
    pub waiting_since_ms: Option<i64>,
}

/// An event that the billing system refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEvent {
    /// Its id.
    pub id: String,
    /// Its tenant.
    pub tenant: String,
    /// When it was refused.
    pub refused_ms: i64,
    /// What the receiver said.
    pub answer: String,
}

/// Says what was kept aside: one finding for each batch and tenant.
pub fn aside(rows: &[Aside]) -> Vec<Finding> {
    rows.iter().flat_map(one_aside).collect()
}

fn one_aside(row: &Aside) -> Vec<Finding> {
    let Some(batch) = &row.batch else {
        let message = format!("{}, kept aside on {}: {}", row.reason, show(row.received_ms), row.detail);
        return vec![Finding::new(Severity::Gap, Kind::KeptAside, message, action(&row.reason))];
    };
    let epoch = <[u8; 16]>::try_from(batch.epoch.as_slice()).map(|bytes| Epoch(bytes).to_string()).unwrap_or_default();
    let mut tenants: BTreeMap<&str, Units> = BTreeMap::new();
    for usage in &batch.usage {
        tenants.entry(&usage.tenant).or_default().add(&usage.units.as_ref().map(Units::from).unwrap_or_default());
    }
    let finding = |tenant: &str, units: &Units| {
        let message = format!(
            "{}, kept aside on {}, not booked to tenant {tenant}: {}",
            row.reason,
            show(row.received_ms),
            row.detail
        );
        let finding = Finding::new(Severity::Gap, Kind::KeptAside, message, action(&row.reason));
        finding.of(&batch.proxy, &epoch).sequences(batch.first_sequence, batch.sequence).amounts(tenant, units)
    };
    tenants.iter().map(|(tenant, units)| finding(tenant, units)).collect()
}

fn action(reason: &str) -> &'static str {
    match reason {
        "refused" => {
            "the proxy reported a tenant that it was not given: see whether its identity is right, then book it by hand"
        }
        "conflict" => {
            "two batches claim the same sequences: a state directory that was copied, or a proxy that was tampered with"
        }
        _ => "no server can book it: look at it in the table `aside`, and see which program sent it",
    }
}

/// Says what waits to be exported.
pub fn exported(export: &Exported, now_ms: i64) -> Option<Finding> {
    let name = &export.name;
    if export.done > export.newest {
        let message = format!(
            "the exporter {name} is at position {}, but the newest batch has {}: the database is older than what was \
             exported",
            export.done, export.newest
        );
        let action = "a backup was restored: what is stored now, up to that position, would never be exported; do what \
                      docs/usage.md says, \"Restoring a backup\"";
        return Some(Finding::new(Severity::Gap, Kind::NotExported, message, action));
    }
    if export.done == export.newest {
        return None;
    }
    let stuck = export.waiting_since_ms.is_some_and(|ms| ms < now_ms.saturating_sub(EXPORT_MS));
    let severity = if stuck { Severity::Gap } else { Severity::Notice };
    let since = export.waiting_since_ms.map(|ms| format!(", the oldest since {}", show(ms))).unwrap_or_default();
    let pending = export.pending.map(|to| format!("; up to {to} is being sent")).unwrap_or_default();
    let message =
        format!("not exported by {name} yet: batches {} to {}{since}{pending}", export.done + 1, export.newest);
    let action = "nothing is lost: see the server's log for what the receiver says";
    Some(Finding::new(severity, Kind::NotExported, message, action))
}

/// Says what the billing system refused.
pub fn refused(events: &[RefusedEvent]) -> Vec<Finding> {
    let finding = |event: &RefusedEvent| {
        let message = format!(
            "the billing system refused the event {} of tenant {} on {}: {}",
            event.id,
            event.tenant,
            show(event.refused_ms),
            event.answer
        );
        let action = "it is in the table `refused_events`, whole: mend the receiver, then send it by hand";
        let mut finding = Finding::new(Severity::Gap, Kind::RefusedEvents, message, action);
        finding.tenant = Some(event.tenant.clone());
        finding
    };
    events.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_aside_names_everything_that_is_known() {
        let usage = |tenant: &str, n| v1::TenantUsage { tenant: tenant.into(), units: Some((&Units([n; 8])).into()) };
        let batch = v1::UsageBatch {
            epoch: vec![7; 16],
            sequence: 4,
            first_sequence: 3,
            proxy: "edge-0".into(),
            usage: vec![usage("acme", 5), usage("globex", 6)],
            ..Default::default()
        };
        let row = |batch| Aside { received_ms: 0, reason: "refused".into(), detail: "not its tenant".into(), batch };
        let found = aside(&[row(Some(batch)), row(None)]);
        assert_eq!(found.len(), 3);
        let first = &found[0];
        assert_eq!((first.proxy.as_deref(), first.epoch.clone()), (Some("edge-0"), Some("07".repeat(16))));
        assert_eq!((first.sequences, first.tenant.as_deref()), (Some((3, 4)), Some("acme")));
        assert_eq!(first.amounts["requests"], 5);
        assert!(found.iter().all(|f| f.severity == Severity::Gap && f.message.contains("not its tenant")));
    }

    #[test]
    fn what_waits_to_be_exported_is_a_gap_only_after_long() {
        let export = |done, since| Exported {
            name: "events".into(),
            done,
            pending: Some(6),
            newest: 9,
            waiting_since_ms: Some(since),
        };
        assert_eq!(exported(&export(9, 0), 0), None);
        let waits = exported(&export(4, 0), 1000).unwrap();
        assert_eq!(waits.severity, Severity::Notice);
        assert!(waits.message.contains("batches 5 to 9") && waits.message.contains("up to 6"), "{}", waits.message);
        assert_eq!(exported(&export(4, 0), EXPORT_MS + 1).unwrap().severity, Severity::Gap);
        let beyond = exported(&export(10, 0), 0).unwrap();
        assert_eq!(beyond.severity, Severity::Gap);
        assert!(include_str!("../../../../docs/usage.md").contains("\n## Restoring a backup\n"));
        assert!(beyond.action.contains("docs/usage.md says, \"Restoring a backup\""), "{}", beyond.action);
    }
}
