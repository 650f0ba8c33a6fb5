//! Batches become CloudEvents: one a range of batches, hour and tenant, with all that was used in it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use weir_config::usage::{NO_TENANT, Units};

use crate::usage::Batch;
use crate::usage::span::{HOUR_MS, floor, show};

/// A CloudEvent (version 1.0, JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    specversion: &'static str,
    /// With `source`, what a receiver knows it by again.
    pub id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    /// The tenant.
    pub subject: String,
    time: String,
    datacontenttype: &'static str,
    data: Map<String, Value>,
}

/// What all events of an exporter have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `source`.
    pub source: String,
    /// `type`.
    pub kind: String,
}

/// A batch of a range, and the time that it is booked to.
#[derive(Clone, Copy, Debug)]
pub struct Booked<'a> {
    /// In milliseconds since 1970.
    pub booked_ms: i64,
    /// The batch.
    pub batch: &'a Batch,
}

/// The events of the batches from position `from` to `to`, which are given in the order of their
/// positions: always the same for the same batches. No event is of traffic without a tenant.
///
/// The id is `<from>-<to>.<digest>/<hour>/<tenant>`: the digest, of the batches' keys, tells apart what
/// different stores (one that was restored, a new one) have at the same positions.
pub fn events(identity: &Identity, from: i64, to: i64, batches: &[Booked<'_>]) -> Vec<Event> {
    let mut sums: BTreeMap<(i64, &str), (i64, Units)> = BTreeMap::new();
    let mut digest = Sha256::new();
    for Booked { booked_ms, batch } in batches {
        digest.update(batch.epoch.0);
        digest.update(batch.sequence.to_be_bytes());
        let hour = floor(*booked_ms, HOUR_MS);
        for (tenant, units) in batch.usage.iter().filter(|(tenant, units)| *tenant != NO_TENANT && !units.is_zero()) {
            let (begin, sum) = sums.entry((hour, tenant)).or_insert((*booked_ms, Units::ZERO));
            *begin = (*begin).min(*booked_ms);
            sum.add(units);
        }
    }
    let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let event = |((hour, tenant), (begin, units)): ((i64, &str), (i64, Units))| Event {
        specversion: "1.0",
        id: format!("{from}-{to}.{digest}/{}/{tenant}", show(hour)),
        source: identity.source.clone(),
        kind: identity.kind.clone(),
        subject: tenant.to_owned(),
        time: show(begin),
        datacontenttype: "application/json",
        data: units.iter().map(|(metric, units)| (metric.name().to_owned(), units.into())).collect(),
    };
    sums.into_iter().map(event).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::usage::Epoch;

    const HOUR: i64 = 490_000 * HOUR_MS;

    fn batch(sequence: u64, usage: &[(&str, u64)]) -> Batch {
        Batch {
            epoch: Epoch([7; 16]),
            first_sequence: sequence,
            sequence,
            proxy: "edge-0".into(),
            started_ms: HOUR,
            ended_ms: HOUR + 10_000,
            last: false,
            lost_open_window: false,
            usage: usage.iter().map(|(tenant, n)| ((*tenant).to_owned(), Units([*n; 8]))).collect(),
        }
    }

    fn identity() -> Identity {
        Identity { source: "weir".into(), kind: "weir.usage".into() }
    }

    fn of(batches: &[(i64, Batch)]) -> Vec<Event> {
        let booked: Vec<_> = batches.iter().map(|(booked_ms, batch)| Booked { booked_ms: *booked_ms, batch }).collect();
        events(&identity(), 5, 6, &booked)
    }

    #[test]
    fn an_event_is_what_a_tenant_used_in_an_hour_of_the_range() {
        let events = of(&[
            (HOUR + 20_000, batch(1, &[("acme", 1), ("-", 9), ("globex", 2)])),
            (HOUR + 10_000, batch(2, &[("acme", 3)])),
            (HOUR + HOUR_MS, batch(3, &[("acme", 5)])),
        ]);
        let ids: Vec<_> = events.iter().map(|event| event.id.split_once('/').unwrap().1).collect();
        assert_eq!(ids, ["2025-11-24T16:00:00Z/acme", "2025-11-24T16:00:00Z/globex", "2025-11-24T17:00:00Z/acme"]);
        assert_eq!(
            serde_json::to_value(&events[0]).unwrap(),
            json!({
                "specversion": "1.0",
                "id": events[0].id,
                "source": "weir",
                "type": "weir.usage",
                "subject": "acme",
                "time": "2025-11-24T16:00:10Z",
                "datacontenttype": "application/json",
                "data": {
                    "requests": 4, "request_bytes": 4, "response_bytes": 4, "execution_ms": 4, "limited_requests": 4,
                    "denied_requests": 4, "tunnel_request_bytes": 4, "tunnel_response_bytes": 4,
                },
            })
        );
    }

    #[test]
    fn ids_are_the_same_for_the_same_batches_and_no_others() {
        let range = [(HOUR, batch(1, &[("acme", 1)]))];
        assert_eq!(of(&range), of(&range));
        // A store that was made anew has other batches at the same positions.
        let other = [(HOUR, batch(2, &[("acme", 1)]))];
        assert_ne!(of(&range)[0].id, of(&other)[0].id);
        assert!(of(&range)[0].id.starts_with("5-6."));
    }

    #[test]
    fn nothing_and_nobody_is_not_exported() {
        assert_eq!(of(&[(HOUR, batch(1, &[("-", 9)]))]), []);
        assert_eq!(of(&[]), []);
    }
}
