//! An upgraded connection: bytes both ways, until both sides have ended.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::buffer::{Buffer, SIZE};
use super::deadline::{Deadline, after};
use super::exchange::drained_at;
use super::h1::reader::Reader;
use super::stream::ClientStream;
use super::upstream::Upstream;
use super::worker::Worker;
use crate::meter::{Metric, TenantId};
use crate::request::table::ChainTable;

/// One direction.
struct Half {
    buffer: Buffer,
    ended: bool,
    shut: bool,
}

/// What a direction moved.
#[derive(Default)]
struct Moved {
    read: usize,
    written: usize,
    any: bool,
}

/// Copies until both directions have ended, nothing moved for the chain's idle time, or the drain
/// deadline passed. What either side sent with its head goes first.
pub(super) async fn run(
    mut client: ClientStream,
    from_client: Reader,
    up: Box<Upstream>,
    worker: &Worker,
    chain: &ChainTable,
    tenant: TenantId,
) {
    let Upstream { io: mut upstream, reader: from_upstream, .. } = *up;
    let mut request = Half { buffer: from_client.into_buffer(), ended: false, shut: false };
    let mut response = Half { buffer: from_upstream.into_buffer(), ended: false, shut: false };
    worker.count(tenant, Metric::TunnelRequestBytes, request.buffer.unread().len() as u64);
    let mut deadline = Deadline::new();
    let mut last = Instant::now();
    let mut noticed = None;
    poll_fn(|cx| {
        let mut moved = [Moved::default(), Moved::default()];
        let results = [
            request.poll(&mut client, &mut upstream, cx, &mut moved[0]),
            response.poll(&mut upstream, &mut client, cx, &mut moved[1]),
        ];
        worker.count(tenant, Metric::TunnelRequestBytes, moved[0].read as u64);
        worker.count(tenant, Metric::TunnelResponseBytes, moved[1].written as u64);
        if results.iter().any(Result::is_err) || (request.shut && response.shut) {
            return Poll::Ready(());
        }
        let now = Instant::now();
        if moved.iter().any(|m| m.any) {
            last = now;
        }
        let idle = after(last, chain.http.stream_idle_timeout);
        let until = drained_at(worker, chain, &mut noticed).map_or(idle, |at| at.min(idle));
        deadline.poll(cx, until, now)
    })
    .await;
}

impl Half {
    /// Moves what can be moved. One buffer: what the reader does not take is not read.
    fn poll<R, W>(&mut self, from: &mut R, to: &mut W, cx: &mut Context<'_>, moved: &mut Moved) -> io::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.shut {
            if !self.buffer.unread().is_empty() {
                match Pin::new(&mut *to).poll_write(cx, self.buffer.unread()) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(result) => {
                        let n = result?;
                        self.buffer.consume(n);
                        moved.written += n;
                    }
                    Poll::Pending => return Ok(()),
                }
            } else if self.ended {
                match Pin::new(&mut *to).poll_shutdown(cx) {
                    Poll::Ready(result) => {
                        self.shut = true;
                        result?;
                    }
                    Poll::Pending => return Ok(()),
                }
            } else {
                match self.buffer.poll_fill(from, cx, SIZE) {
                    Poll::Ready(result) => match result? {
                        0 => self.ended = true,
                        n => moved.read += n,
                    },
                    Poll::Pending => {
                        if let Poll::Ready(result) = Pin::new(&mut *to).poll_flush(cx) {
                            result?;
                        }
                        return Ok(());
                    }
                }
            }
            moved.any = true;
        }
        Ok(())
    }
}
