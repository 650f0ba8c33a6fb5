//! `/usage`: what this proxy has counted, logged, and handed to the server.
//!
//! ```json
//! {
//!   "epoch": "0f3c...",
//!   "log": {
//!     "epochs": [{"epoch": "0f3c...", "last_logged": 7, "acknowledged": 6, "ended": false, ...}],
//!     "bytes": 4096, "unacknowledged": 1, "oldest_unacknowledged_ms": 1766620800000,
//!     "alarms": ["usage cannot be logged: ..."], ...
//!   },
//!   "stream": {"connected": true, "under_way": 0, "sent": 7, "acknowledged": 6, ...},
//!   "gone": {"requests": 12, ...},
//!   "tenants": {"acme": {"counted": {"requests": 9, ...}, "logged": {"requests": 8, ...}}}
//! }
//! ```
//!
//! `epoch` is the present one, and so are the figures by tenant, from its begin. `counted` is all;
//! `logged` is what of it the log holds up to `last_logged`. A metric that is 0 is left out, and so is a
//! tenant without usage. `gone` is what tenants used that are no more among `tenants`, all of it
//! logged. So once every batch of the epoch is acknowledged, the server's sum over the epoch is the sum
//! of `logged` and `gone`. The other fields of `log` are those of [`crate::meter::LogState`], times
//! in milliseconds since 1970 UTC; fields are added, never renamed.

use serde_json::{Map, Value, json};

use crate::meter::{Epoch, Meter, Units};
use crate::usage::stream::{Reporter, lock};

/// The page.
pub(super) fn page(meter: &Meter, reporter: &Reporter) -> String {
    // The log first: what it says is logged is in the figures.
    let log = reporter.outbox.state();
    let alarms: Vec<String> = log.alarms.iter().map(ToString::to_string).collect();
    let mut log = json!(log);
    if let Some(field) = log.get_mut("alarms") {
        *field = alarms.into();
    }
    let (gone, tenants) = meter.look(|gone, places| {
        let used = places.filter(|place| !place.total.is_zero());
        let figures = used.map(|place| {
            let of_both = json!({ "counted": units(&place.total), "logged": units(&place.logged) });
            (place.tenant.to_string(), of_both)
        });
        (gone, figures.collect::<Map<_, _>>())
    });
    let page = json!({
        "epoch": Epoch(meter.epoch()),
        "log": log,
        "stream": lock(&reporter.flight).overview(),
        "gone": units(&gone),
        "tenants": tenants,
    });
    format!("{page:#}\n")
}

fn units(units: &Units) -> Value {
    let used = units.iter().filter(|(_, n)| *n > 0);
    used.map(|(metric, n)| (metric.name().to_owned(), n.into())).collect::<Map<_, _>>().into()
}
