//! Whether traffic should be sent here.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;

use super::Admin;
use crate::xds::stream::lock;

/// Envoy's words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// No first configuration yet.
    Initializing,
    /// Serving.
    Live,
    /// Ending.
    Draining,
}

impl Ready {
    /// 200 where traffic should come.
    pub fn status(self) -> StatusCode {
        if self == Ready::Live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ready::Initializing => "INITIALIZING",
            Ready::Live => "LIVE",
            Ready::Draining => "DRAINING",
        })
    }
}

/// Remembers that a first configuration was live: whatever fails later, what serves goes on.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// Whether traffic should be sent here now.
    pub fn of(&self, admin: &Admin) -> Ready {
        if *admin.stop.borrow() || *admin.drain.borrow() {
            return Ready::Draining;
        }
        if self.0.load(Ordering::Relaxed) || started(admin) {
            self.0.store(true, Ordering::Relaxed);
            return Ready::Live;
        }
        Ready::Initializing
    }
}

/// Whether a first configuration is live and each of its listeners is bound, or cannot be.
fn started(admin: &Admin) -> bool {
    let statuses = admin.statuses.borrow();
    let settled = |name: &String| statuses.get(name).is_some_and(|s| s.bound.is_some() || s.error.is_some());
    lock(&admin.pipeline).initialized() && admin.listeners.borrow().keys().all(settled)
}
