//! Moves one exchange's bytes, both ways at once, until it ends. Each side has one buffer: what
//! does not fit the other's socket is not read.

use std::task::{Context, Poll};
use std::time::Instant;

use super::{Downstream, Plan, Surroundings, drained_at};
use crate::serve::deadline::after;
use crate::serve::h1::reader::{ReadError, Ready};
use crate::serve::h1::request_head::Storage;
use crate::serve::h1::response_head::ResponseHead;
use crate::serve::h1::{Framing, Refused};
use crate::serve::upstream::{Broken, Upstream};

/// Largest response head, in bytes (Envoy's 60 KiB).
const MAX_HEAD: usize = 60 * 1024;
/// Most interim responses before the final one.
const MAX_INTERIM: u8 = 16;

/// How the relay ended.
#[derive(Debug)]
pub(super) enum End {
    /// The response was written to its last byte. The upstream connection may serve again, or not.
    Complete { reusable: bool },
    /// 101 was written: the rest is not HTTP.
    Upgraded,
    /// The client went away.
    ClientGone,
    /// The request's body is malformed.
    RequestRefused(Refused),
    /// The upstream connection ended before the response did.
    UpstreamClosed,
    /// The endpoint ended the stream before the response did.
    UpstreamReset,
    /// The endpoint says that it did nothing with the request.
    UpstreamUnprocessed,
    /// The response is malformed.
    UpstreamRefused(Refused),
    /// The response is not what is wanted (see [`Downstream::declines`]); nothing of it was passed on.
    Declined(u16),
    /// The route's timeout passed.
    RouteTimeout,
    /// The client's own deadline passed.
    ClientDeadline,
    /// No byte moved for too long.
    Idle,
    /// The drain deadline passed.
    Drained,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// Head and body are on their way.
    Sending,
    /// All was given to the writer.
    Flushing,
    /// All was written.
    Sent,
    /// The upstream takes no more. It may have answered.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Response {
    Head,
    Body,
    Flushing,
    /// 101 waits to be written.
    Upgrading,
}

pub(super) struct Relay<'r, 's, D> {
    down: &'r mut D,
    up: &'r mut Upstream,
    plan: &'r Plan,
    around: &'r mut Surroundings<'s>,
    request: Request,
    response: Response,
    status: u16,
    interim: u8,
    reusable: bool,
    /// When the exchange, or this try of it, began.
    began: Instant,
    /// When a byte moved last; before the first, when the exchange began.
    moved: Instant,
    /// Whether `moved` is now.
    fresh: bool,
    /// The request was read to its last byte; and when.
    whole: bool,
    whole_at: Option<Instant>,
    drain_noticed: Option<Instant>,
}

impl<'r, 's, D: Downstream> Relay<'r, 's, D> {
    /// Begins. The head is in the upstream's writer.
    pub(super) fn new(down: &'r mut D, up: &'r mut Upstream, plan: &'r Plan, around: &'r mut Surroundings<'s>) -> Self {
        let moved = around.now;
        Self {
            down,
            up,
            plan,
            around,
            request: Request::Sending,
            response: Response::Head,
            status: 0,
            interim: 0,
            reusable: false,
            began: moved,
            moved,
            fresh: true,
            whole: false,
            whole_at: None,
            drain_noticed: None,
        }
    }

    /// Status of the response that began; 0 if none did.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether nothing came from the upstream.
    pub(super) fn is_untouched(&self) -> bool {
        self.status == 0 && self.interim == 0 && self.up.unread().is_empty()
    }

    /// Whether the request was read to its last byte.
    pub(super) fn is_request_whole(&self) -> bool {
        self.whole
    }

    /// Moves what can be moved: each direction until it must wait for a socket, never for the other.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match self.poll_request(cx).and_then(|sent| Ok(self.poll_response(cx)? | sent)) {
            Ok(true) if !self.fresh => (self.moved, self.fresh) = (Instant::now(), true),
            Ok(_) => {}
            Err(end) => return Poll::Ready(end),
        }
        // A client that sends more than its request is not read; one that closes is noticed. Asked
        // last, since most responses end before it matters.
        if self.whole && matches!(self.request, Request::Sent | Request::Stopped) && self.down.poll_gone(cx).is_ready()
        {
            return Poll::Ready(End::ClientGone);
        }
        if self.whole && self.whole_at.is_none() {
            self.whole_at = Some(self.moved);
        }
        self.poll_deadlines(cx)
    }

    /// Moves the request; true if something moved.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut moved = false;
        loop {
            match self.request {
                Request::Sending => match self.down.poll_request(cx) {
                    Poll::Ready(Ok(Ready::Data)) => match self.up.poll_send(cx, self.down.request_data()) {
                        Poll::Ready(Ok(taken)) => self.down.take_request(taken),
                        Poll::Ready(Err(Broken)) => self.request = Request::Stopped,
                        Poll::Pending => return Ok(moved),
                    },
                    Poll::Ready(Ok(Ready::End)) => {
                        self.up.end_request(self.down.request_trailers());
                        self.whole = true;
                        self.request = Request::Flushing;
                    }
                    Poll::Ready(Err(ReadError::Closed | ReadError::Reset | ReadError::Unprocessed)) => {
                        return Err(End::ClientGone);
                    }
                    Poll::Ready(Err(ReadError::Refused(refused))) => return Err(End::RequestRefused(refused)),
                    Poll::Pending => {
                        // Head and framing must not wait for a body that may wait for a 100.
                        return Ok(self.flush_upstream(cx) | moved);
                    }
                },
                Request::Flushing => {
                    if self.up.is_flushed() {
                        self.request = Request::Sent;
                    } else if !self.flush_upstream(cx) {
                        return Ok(moved);
                    }
                }
                Request::Sent | Request::Stopped => return Ok(moved),
            }
            moved = true;
        }
    }

    /// Writes what waits for the upstream; true if something moved.
    fn flush_upstream(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.up.is_flushed() {
            match self.up.poll_send(cx, &[]) {
                Poll::Ready(Ok(_)) => moved = true,
                Poll::Ready(Err(Broken)) => {
                    self.request = Request::Stopped;
                    return true;
                }
                Poll::Pending => break,
            }
        }
        moved
    }

    /// Moves the response; true if something moved.
    fn poll_response(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut moved = false;
        loop {
            match self.response {
                Response::Head => match self.up.poll_head(cx, MAX_HEAD) {
                    Poll::Ready(Ok(range)) => self.head(range)?,
                    Poll::Ready(Err(error)) => return Err(upstream_end(error)),
                    Poll::Pending => {
                        self.flush_client(cx)?;
                        return Ok(moved);
                    }
                },
                Response::Body => match self.up.poll_body(cx) {
                    Poll::Ready(Ok(Ready::Data)) => match self.down.poll_response(cx, self.up.data()) {
                        Poll::Ready(Ok(taken)) => self.up.consume(taken),
                        Poll::Ready(Err(_)) => return Err(End::ClientGone),
                        Poll::Pending => return Ok(moved),
                    },
                    Poll::Ready(Ok(Ready::End)) => {
                        self.down.end_response(self.up.trailers());
                        self.response = Response::Flushing;
                    }
                    Poll::Ready(Err(error)) => return Err(upstream_end(error)),
                    Poll::Pending => {
                        self.flush_client(cx)?;
                        return Ok(moved);
                    }
                },
                Response::Flushing | Response::Upgrading => {
                    if self.flush_client(cx)? {
                        let reusable = self.reusable && self.request == Request::Sent;
                        let upgrading = self.response == Response::Upgrading;
                        return Err(if upgrading { End::Upgraded } else { End::Complete { reusable } });
                    }
                    return Ok(moved);
                }
            }
            moved = true;
        }
    }

    /// Takes a response head.
    fn head(&mut self, range: std::ops::Range<usize>) -> Result<(), End> {
        let mut storage = Storage::default();
        let bytes = self.up.unread().get(range.clone()).unwrap_or_default();
        let head = ResponseHead::parse(bytes, &mut storage, self.down.is_head()).map_err(End::UpstreamRefused)?;
        let framing = match head.status {
            101 if self.down.wants_upgrade() && self.whole => {
                self.response = Response::Upgrading;
                self.down.respond(&head, self.plan, self.up.address());
                self.status = 101;
                Framing::None
            }
            101 => return Err(End::UpstreamRefused(Refused::malformed("unasked_upgrade"))),
            100..200 => {
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Err(End::UpstreamRefused(Refused::malformed("too_many_interim_responses")));
                }
                self.down.interim(&head);
                Framing::None
            }
            status => {
                if self.down.declines(status) {
                    return Err(End::Declined(status));
                }
                self.status = status;
                self.reusable = head.keep_alive;
                self.response = Response::Body;
                self.down.respond(&head, self.plan, self.up.address());
                head.body
            }
        };
        self.up.begin_body(range.end, framing);
        Ok(())
    }

    /// Writes what waits for the client; true if nothing is left.
    fn flush_client(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        match self.down.poll_flush(cx) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(_)) => Err(End::ClientGone),
            Poll::Pending => Ok(false),
        }
    }

    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let chain = self.around.chain;
        let mut first = (after(self.moved, chain.http.stream_idle_timeout), End::Idle);
        if let (Some(whole), Some(timeout)) = (self.whole_at, self.plan.route.as_ref().and_then(|r| r.timeout)) {
            let at = after(whole, timeout);
            if at < first.0 {
                first = (at, End::RouteTimeout);
            }
        }
        if let Some(timeout) = self.down.deadline() {
            let at = after(self.began, timeout);
            if at < first.0 {
                first = (at, End::ClientDeadline);
            }
        }
        if let Some(at) = drained_at(self.around.worker, chain, &mut self.drain_noticed)
            && at < first.0
        {
            first = (at, End::Drained);
        }
        // A wake in which nothing moved may be the timer's.
        let now = if std::mem::take(&mut self.fresh) { self.moved } else { Instant::now() };
        self.around.deadline.poll(cx, first.0, now).map(|()| first.1)
    }
}

fn upstream_end(error: ReadError) -> End {
    match error {
        ReadError::Closed => End::UpstreamClosed,
        ReadError::Reset => End::UpstreamReset,
        ReadError::Unprocessed => End::UpstreamUnprocessed,
        ReadError::Refused(refused) => End::UpstreamRefused(refused),
    }
}
