//! A connection between being accepted and being served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

use crate::request::table::ListenerTable;

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) io: std::net::TcpStream,
    pub(super) peer: std::net::SocketAddr,
    pub(super) listener: Arc<ListenerTable>,
    pub(super) _place: Place,
}

/// A connection's place among those that may be open; freed when dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) load: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}
