//! The gate of the xDS port: every request passes it, whatever service it is for, and its stream ends when what its
//! caller proved no longer holds.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::{Layer, Service};

use super::door::{Admitted, Door};
use super::peer::Peer;
use super::proofs::Held;
use super::refusal::{Answer, Refusal};

/// What a caller hears, whatever is wrong.
const OPAQUE: &str = "not authenticated: the server's log has the reason";
/// What it hears when the server cannot find out.
const LATER: &str = "identities cannot be checked now: the server's log has the reason";

/// How long a service may take, after its caller's identity has ended, for what had come before.
const GRACE: Duration = Duration::from_secs(1);

/// As a layer around all services.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Door>);

/// A service behind the gate.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    service: S,
    door: Arc<Door>,
}

impl Gate {
    /// The gate of this door.
    pub fn new(door: Arc<Door>) -> Self {
        Self(door)
    }
}

impl<S> Layer<S> for Gate {
    type Service = Guarded<S>;

    fn layer(&self, service: S) -> Guarded<S> {
        Guarded { service, door: Arc::clone(&self.0) }
    }
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that was polled ready is the one that is called.
        let waiting = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, waiting);
        let door = Arc::clone(&self.door);
        Box::pin(async move {
            let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
            let admitted = match door.admit(request.headers(), &peer).await {
                Ok(admitted) => admitted,
                Err(refusal) => return Ok(status(&refusal).into_http()),
            };
            let request = admitted.mark(request, &peer);
            let Admitted { caller, held, by_certificate } = admitted;
            let certified = by_certificate.then_some(peer);
            let response = tokio::select! {
                response = service.call(request) => response?,
                () = after(caller.ended.clone()) => {
                    certified.iter().for_each(Peer::note_spent);
                    return Ok(Status::unauthenticated(OPAQUE).into_http());
                }
            };
            Ok(response.map(|body| Body::new(Leased::new(body, caller.ended, held, End::Trailers(certified)))))
        })
    }
}

impl Admitted {
    /// The request, with its caller, and with a body that ends when the caller's identity does.
    fn mark(&self, request: Request<Body>, peer: &Peer) -> Request<Body> {
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(self.caller.clone());
        // Where tonic looks for an address.
        parts.extensions.insert(TcpConnectInfo { local_addr: None, remote_addr: peer.address });
        // The credential has done its work; no service shall log it or hand it on.
        parts.headers.remove(http::header::AUTHORIZATION);
        let body = Leased::new(body, self.caller.ended.clone(), self.held.clone(), End::Error);
        Request::from_parts(parts, Body::new(body))
    }
}

fn status(refusal: &Refusal) -> Status {
    match refusal.answer() {
        Answer::Unauthenticated => Status::unauthenticated(OPAQUE),
        Answer::Denied => Status::permission_denied(OPAQUE),
        Answer::Unavailable => Status::unavailable(LATER),
    }
}

/// When a call ends that has not answered yet: the service has a moment to take what had come, and to say so itself.
async fn after(ended: CancellationToken) {
    ended.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

/// One direction of a stream, which lasts as long as its caller's identity.
struct Leased {
    body: Body,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    end: End,
    /// When the identity ended.
    since: Option<Instant>,
    over: bool,
    _held: Option<Held>,
}

/// How it ends when the identity does.
enum End {
    /// Towards the caller: with the status of a response. The connection ends too, where it is this one's
    /// certificate that did.
    Trailers(Option<Peer>),
    /// Towards the service: as a stream that broke.
    Error,
}

impl Leased {
    fn new(body: Body, ended: CancellationToken, held: Option<Held>, end: End) -> Self {
        Self { body, ended: Box::pin(ended.cancelled_owned()), end, since: None, over: false, _held: held }
    }
}

impl http_body::Body for Leased {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.since.is_none() && self.ended.as_mut().poll(cx).is_ready() {
            self.since = Some(Instant::now());
        }
        let Some(since) = self.since else { return Pin::new(&mut self.body).poll_frame(cx) };
        // What had come before is the service's; it shall not wait for more.
        if matches!(self.end, End::Error)
            && since.elapsed() < GRACE
            && let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx)
        {
            return Poll::Ready(frame);
        }
        self.over = true;
        // Whoever writes into it learns that nobody reads.
        self.body = Body::empty();
        let status = Status::unauthenticated(OPAQUE);
        Poll::Ready(Some(match &self.end {
            End::Error => Err(status),
            End::Trailers(certified) => {
                certified.iter().for_each(Peer::note_spent);
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased").field("over", &self.over).finish_non_exhaustive()
    }
}
