//! An upgraded connection: bytes both ways, until both sides have ended.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::buffer::{Buffer, SIZE};
use super::deadline::{Deadline, after};
use super::exchange::drained_at;
use super::upstream::Connection;
use super::worker::Worker;
use crate::meter::{Metric, TenantId};
use crate::request::table::ChainTable;

/// One direction. What is metered is what is read from the client, or written to it.
struct Half {
    buffer: Buffer,
    metric: Metric,
    ended: bool,
    shut: bool,
}

/// Who is charged.
struct Charge<'w> {
    worker: &'w Worker,
    tenant: TenantId,
}

/// Copies until both directions have ended, nothing moved for the chain's idle time, or the drain
/// deadline passed. What either side sent with its head goes first.
pub(super) async fn run(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    from_client: Buffer,
    up: Box<Connection>,
    worker: &Worker,
    chain: &ChainTable,
    tenant: TenantId,
) {
    let Connection { io: mut upstream, reader: from_upstream, .. } = *up;
    let mut request = Half { buffer: from_client, metric: Metric::TunnelRequestBytes, ended: false, shut: false };
    let mut response =
        Half { buffer: from_upstream.into_buffer(), metric: Metric::TunnelResponseBytes, ended: false, shut: false };
    worker.count(tenant, Metric::TunnelRequestBytes, request.buffer.unread().len() as u64);
    let charge = Charge { worker, tenant };
    let mut deadline = Deadline::new(&worker.timers);
    let mut last = Instant::now();
    let mut noticed = None;
    poll_fn(|cx| {
        let moved = match (
            request.poll(&mut client, &mut upstream, cx, &charge),
            response.poll(&mut upstream, &mut client, cx, &charge),
        ) {
            (Ok(up), Ok(down)) if !(request.shut && response.shut) => up || down,
            _ => return Poll::Ready(()),
        };
        let now = Instant::now();
        if moved {
            last = now;
        }
        let idle = after(last, chain.http.stream_idle_timeout);
        let until = drained_at(worker, chain, &mut noticed).map_or(idle, |at| at.min(idle));
        deadline.poll(cx, until, now)
    })
    .await;
}

impl Half {
    /// Moves what can be moved; true if something moved. One buffer: what the reader does not take is not read.
    fn poll<R, W>(&mut self, from: &mut R, to: &mut W, cx: &mut Context<'_>, charge: &Charge<'_>) -> io::Result<bool>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut moved = false;
        while !self.shut {
            if !self.buffer.unread().is_empty() {
                match self.write(to, cx, charge) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(result) => self.buffer.consume(result?),
                    Poll::Pending => return Ok(moved),
                }
            } else if self.ended {
                match Pin::new(&mut *to).poll_shutdown(cx) {
                    Poll::Ready(result) => {
                        self.shut = true;
                        result?;
                    }
                    Poll::Pending => return Ok(moved),
                }
            } else {
                match self.buffer.poll_fill(from, cx, SIZE) {
                    Poll::Ready(result) => match result? {
                        0 => self.ended = true,
                        n => self.count_read(n, charge),
                    },
                    Poll::Pending => {
                        if let Poll::Ready(result) = Pin::new(&mut *to).poll_flush(cx) {
                            result?;
                        }
                        return Ok(moved);
                    }
                }
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Writes once; a write to the client is announced.
    fn write<W: AsyncWrite + Unpin>(
        &self,
        to: &mut W,
        cx: &mut Context<'_>,
        charge: &Charge<'_>,
    ) -> Poll<io::Result<usize>> {
        let bytes = self.buffer.unread();
        let Charge { worker, tenant } = charge;
        let writing = (self.metric == Metric::TunnelResponseBytes)
            .then(|| worker.meter.begin_write(worker.index, *tenant, self.metric, bytes.len() as u64));
        let result = Pin::new(to).poll_write(cx, bytes);
        if let (Some(writing), Poll::Ready(Ok(n))) = (writing, &result) {
            writing.done(*n as u64);
        }
        result
    }

    /// Counts what was read from the client, before the upstream can answer it.
    fn count_read(&self, n: usize, charge: &Charge<'_>) {
        if self.metric == Metric::TunnelRequestBytes {
            charge.worker.count(charge.tenant, self.metric, n as u64);
        }
    }
}
