//! `/usage`: what this proxy has counted, logged, and handed to the server.
//!
//! ```json
//! {
//!   "node": "edge-0",
//!   "epoch": "0f3c...",
//!   "log": {
//!     "epochs": [{"epoch": "0f3c...", "last_logged": 7, "acknowledged": 6, "ended": false, ...}],
//!     "bytes": 4096, "unacknowledged": 1, "oldest_unacknowledged_ms": 1766620800000,
//!     "alarms": ["merging", {"appendFails": "no space left on device"}], ...
//!   },
//!   "stream": {"connected": true, "under_way": 0, "sent": 7, "acknowledged": 6, ...},
//!   "logged_through": 7,
//!   "gone": {"requests": 12, ...},
//!   "tenants": {"acme": {"counted": {"requests": 9, ...}, "logged": {"requests": 8, ...}}}
//! }
//! ```
//!
//! `epoch` is the present one, and the figures are from its begin. `counted` is all; `logged` is what of it
//! the log holds up to sequence `logged_through`, which is null where a window was logged just then, so that
//! the figures are of no one moment. A metric that is 0 is left out, and so is a tenant without usage.
//! `gone` is what tenants used that are no more among `tenants`, all of it logged. So once the server has
//! every batch of the epoch up to `logged_through`, its sum over them is that of `logged` and `gone`.
//! `log` is [`LogState`]. Times are milliseconds since 1970 UTC. Fields are added, never renamed.

use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::meter::{Counted, Epoch, LogState, Meter, Units};
use crate::usage::stream::{Reporter, lock};

/// Looks, at most, until one falls between two windows.
const LOOKS: u32 = 20;
/// Between two of them. Marking what was logged takes a moment.
const PAUSE: Duration = Duration::from_millis(5);

/// The page. It may sleep.
pub(super) fn page(node: &str, meter: &Meter, reporter: &Reporter) -> String {
    let mut look = Look::at(meter, reporter);
    for _ in 1..LOOKS {
        if look.logged_through.is_some() {
            break;
        }
        thread::sleep(PAUSE);
        look = Look::at(meter, reporter);
    }
    let figures = look.tenants.iter().map(|place| {
        let both = json!({ "counted": units(&place.total), "logged": units(&place.logged) });
        (place.tenant.to_string(), both)
    });
    let page = json!({
        "node": node,
        "epoch": Epoch(meter.epoch()),
        "log": look.log,
        "stream": lock(&reporter.flight).overview(),
        "logged_through": look.logged_through,
        "gone": units(&look.gone),
        "tenants": figures.collect::<Map<_, _>>(),
    });
    format!("{page:#}\n")
}

/// Log and counters.
struct Look {
    log: LogState,
    logged_through: Option<u64>,
    gone: Units,
    /// Those with usage.
    tenants: Vec<Counted>,
}

impl Look {
    fn at(meter: &Meter, reporter: &Reporter) -> Self {
        let before = meter.logged_sequence();
        let log = reporter.outbox.state();
        let (gone, tenants) =
            meter.look(|gone, places| (gone, places.filter(|place| !place.total.is_zero()).collect::<Vec<_>>()));
        // A window is logged first, then marked tenant by tenant, then its sequence is noted.
        let epoch = log.epochs.iter().find(|epoch| epoch.epoch == Epoch(meter.epoch()));
        let whole = meter.logged_sequence() == before && epoch.is_none_or(|epoch| epoch.last_logged == before);
        Self { log, logged_through: whole.then_some(before), gone, tenants }
    }
}

fn units(units: &Units) -> Value {
    let used = units.iter().filter(|(_, n)| *n > 0);
    used.map(|(metric, n)| (metric.name().to_owned(), n.into())).collect::<Map<_, _>>().into()
}
