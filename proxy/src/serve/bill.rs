//! What one exchange has moved, added to its tenant's counters as it moves.

use std::task::Poll;

use super::worker::Worker;
use crate::meter::{Metric, TenantId};

/// The bytes of one exchange, above TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bill {
    /// Who is charged.
    pub(crate) tenant: TenantId,
    /// Bytes of the request so far.
    pub(crate) received: u64,
    /// Bytes of the response so far.
    pub(crate) sent: u64,
}

impl Bill {
    /// Nothing has moved yet.
    pub(crate) fn new(tenant: TenantId) -> Self {
        Self { tenant, received: 0, sent: 0 }
    }

    /// `total` bytes of the request were used. A request that is sent again is not billed again.
    #[inline]
    pub(crate) fn receive(&mut self, worker: &Worker, total: u64) {
        if total > self.received {
            worker.count(self.tenant, Metric::RequestBytes, total - self.received);
            self.received = total;
        }
    }

    /// `n` bytes more came, which no message's framing counts.
    pub(crate) fn receive_more(&mut self, worker: &Worker, n: u64) {
        self.receive(worker, self.received + n);
    }

    /// `n` bytes more are given to a connection that others write to as well: charged before any of them can leave.
    pub(crate) fn send_more(&mut self, worker: &Worker, n: u64) {
        worker.count(self.tenant, Metric::ResponseBytes, n);
        self.sent += n;
    }

    /// Makes a write of `all` bytes, which gives how many of them the socket took.
    #[inline]
    pub(crate) fn send<T, E>(
        &mut self,
        worker: &Worker,
        all: usize,
        write: impl FnOnce() -> Poll<Result<T, E>>,
        taken: impl FnOnce(&T) -> usize,
    ) -> Poll<Result<T, E>> {
        let writing = worker.meter.begin_write(worker.index, self.tenant, Metric::ResponseBytes, all as u64);
        let result = write();
        if let Poll::Ready(Ok(value)) = &result {
            let n = taken(value) as u64;
            writing.done(n);
            self.sent += n;
        }
        result
    }
}
