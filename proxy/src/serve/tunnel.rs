//! Bytes both ways, until both sides have ended: an upgraded connection, or one that never spoke HTTP.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};

use super::buffer::{Buffer, SIZE};
use super::deadline::{Deadline, after};
use super::exchange::drained_at;
use super::flag::Flag;
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
    /// Bytes that were read from the client, or written to it.
    counted: u64,
}

/// How a tunnel ended, and what it moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunnelled {
    /// Why.
    pub(super) flag: Flag,
    /// Bytes read from the client.
    pub(super) received: u64,
    /// Bytes written to the client.
    pub(super) sent: u64,
}

/// Who is charged.
struct Charge<'w> {
    worker: &'w Worker,
    tenant: TenantId,
}

/// Copies until both directions have ended, nothing moved for `idle_timeout`, or the drain
/// deadline passed. What either side sent with its head goes first.
pub(super) async fn run(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    from_client: Buffer,
    up: Box<Connection>,
    worker: &Worker,
    chain: &ChainTable,
    idle_timeout: Duration,
    tenant: TenantId,
) -> Tunnelled {
    let Connection { io: mut upstream, reader: from_upstream, .. } = *up;
    let mut request = Half::new(from_client, Metric::TunnelRequestBytes);
    let mut response = Half::new(from_upstream.into_buffer(), Metric::TunnelResponseBytes);
    let charge = Charge { worker, tenant };
    request.count_read(request.buffer.unread().len(), &charge);
    let mut deadline = Deadline::new(&worker.timers);
    let mut last = Instant::now();
    let mut noticed = None;
    let flag = poll_fn(|cx| {
        let moved = match (
            request.poll(&mut client, &mut upstream, cx, &charge),
            response.poll(&mut upstream, &mut client, cx, &charge),
        ) {
            (Ok(_), Ok(_)) if request.shut && response.shut => return Poll::Ready(Flag::None),
            (Ok(up), Ok(down)) => up || down,
            (Err(end), _) | (_, Err(end)) => return Poll::Ready(end),
        };
        let now = Instant::now();
        if moved {
            last = now;
        }
        let mut first = (after(last, idle_timeout), Flag::StreamIdleTimeout);
        if let Some(at) = drained_at(worker, chain, &mut noticed)
            && at < first.0
        {
            first = (at, Flag::Drained);
        }
        deadline.poll(cx, first.0, now).map(|()| first.1)
    })
    .await;
    Tunnelled { flag, received: request.counted, sent: response.counted }
}

impl Half {
    fn new(buffer: Buffer, metric: Metric) -> Self {
        Self { buffer, metric, ended: false, shut: false, counted: 0 }
    }

    /// What it means that a read or a write failed.
    fn failure(&self, reading: bool) -> Flag {
        // The client is read by one half and written by the other.
        if reading == (self.metric == Metric::TunnelRequestBytes) {
            Flag::DownstreamConnectionTermination
        } else {
            Flag::UpstreamConnectionTermination
        }
    }

    /// Moves what can be moved; true if something moved. One buffer: what the reader does not take is not read.
    fn poll<R, W>(&mut self, from: &mut R, to: &mut W, cx: &mut Context<'_>, charge: &Charge<'_>) -> Result<bool, Flag>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut moved = false;
        while !self.shut {
            if !self.buffer.unread().is_empty() {
                match self.write(to, cx, charge) {
                    Poll::Ready(Ok(0) | Err(_)) => return Err(self.failure(false)),
                    Poll::Ready(Ok(n)) => self.buffer.consume(n),
                    Poll::Pending => return Ok(moved),
                }
            } else if self.ended {
                match Pin::new(&mut *to).poll_shutdown(cx) {
                    Poll::Ready(result) => {
                        self.shut = true;
                        result.map_err(|_| self.failure(false))?;
                    }
                    Poll::Pending => return Ok(moved),
                }
            } else {
                match self.buffer.poll_fill(from, cx, SIZE) {
                    Poll::Ready(result) => match result.map_err(|_| self.failure(true))? {
                        0 => self.ended = true,
                        n => self.count_read(n, charge),
                    },
                    Poll::Pending => {
                        if let Poll::Ready(result) = Pin::new(&mut *to).poll_flush(cx) {
                            result.map_err(|_| self.failure(false))?;
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
        &mut self,
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
            self.counted += *n as u64;
        }
        result
    }

    /// Counts what was read from the client, before the upstream can answer it.
    fn count_read(&mut self, n: usize, charge: &Charge<'_>) {
        if self.metric == Metric::TunnelRequestBytes {
            charge.worker.count(charge.tenant, self.metric, n as u64);
            self.counted += n as u64;
        }
    }
}
