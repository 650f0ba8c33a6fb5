//! Copies of a request to other clusters (Envoy's `request_mirror_policies`). A copy is a task of its own, whose
//! response is read and dropped. It follows the request by a queue: one that cannot keep up is given up, so that no
//! request waits for a copy.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::{Answer, Downstream, Plan, Surroundings};
use crate::balance::Tries;
use crate::meter::{Metric, TenantId};
use crate::request::cluster::ClusterSlot;
use crate::request::mirror::MirrorTable;
use crate::request::table::ChainTable;
use crate::serve::deadline::Deadline;
use crate::serve::h1::Framing;
use crate::serve::h1::reader::{ReadError, Ready};
use crate::serve::h1::response_head::ResponseHead;
use crate::serve::stats::Cells;
use crate::serve::worker::Worker;

/// Most bytes of a body that wait for a copy.
const MOST_WAITING: usize = 64 * 1024;
/// Most copies that a worker has under way; beyond them none begins.
const MOST_COPIES: usize = 256;

/// What feeds the copies of one request.
#[derive(Debug, Default)]
pub(super) struct Copies(Vec<Rc<RefCell<Queue>>>);

/// What waits for a copy.
#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    state: State,
    trailers: Vec<u8>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// More may come.
    #[default]
    Open,
    /// All is here.
    Whole,
    /// No more comes: it did not keep up, or the request itself broke off.
    Cut,
}

impl Queue {
    fn set(&mut self, state: State) {
        if self.state == State::Open {
            self.state = state;
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Copies {
    /// Begins a copy for each mirror whose turn it is. The outgoing head is in `down`.
    pub(super) fn start<D: Downstream>(
        down: &mut D,
        plan: &Plan,
        mirrors: &[MirrorTable],
        around: &Surroundings<'_>,
    ) -> Self {
        // What is to become another protocol has no copy.
        let mirrors = if down.wants_upgrade() { &[] } else { mirrors };
        let mut queues = Vec::new();
        for mirror in mirrors.iter().filter(|mirror| mirror.wants(around.worker.random())) {
            let Some(place) = Place::take(around.worker) else {
                around.worker.stats().copy_dropped();
                continue;
            };
            let queue = Rc::<RefCell<Queue>>::default();
            queues.push(queue.clone());
            let copy = Copy {
                head: down.request_head().clone(),
                framing: down.request_framing(),
                is_head: down.is_head(),
                queue,
                data: Vec::new(),
                at: 0,
                trailers: Vec::new(),
                place,
            };
            let (worker, chain) = (around.worker.clone(), around.chain.clone());
            let plan = plan.copied(&mirror.cluster);
            let cluster = mirror.cluster.clone();
            tokio::task::spawn_local(run(copy, plan, cluster, worker, chain));
        }
        Self(queues)
    }

    /// More of the body.
    pub(super) fn push(&self, data: &[u8], stats: &Cells) {
        for queue in &self.0 {
            let mut queue = queue.borrow_mut();
            if queue.state != State::Open {
                continue;
            }
            if queue.bytes.len() + data.len() > MOST_WAITING {
                queue.bytes = Vec::new();
                queue.set(State::Cut);
                stats.copy_dropped();
                continue;
            }
            queue.bytes.extend_from_slice(data);
            queue.wake();
        }
    }

    /// The body is over.
    pub(super) fn end(&self, trailers: &[u8]) {
        for queue in &self.0 {
            let mut queue = queue.borrow_mut();
            queue.trailers.extend_from_slice(trailers);
            queue.set(State::Whole);
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        for queue in &self.0 {
            queue.borrow_mut().set(State::Cut);
        }
    }
}

/// A copy's place among those under way.
struct Place(Rc<Worker>);

impl Place {
    fn take(worker: &Rc<Worker>) -> Option<Self> {
        let copies = worker.copies.get();
        (copies < MOST_COPIES).then(|| {
            worker.copies.set(copies + 1);
            Self(worker.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.copies.set(self.0.copies.get() - 1);
    }
}

async fn run(mut copy: Copy, plan: Plan, cluster: Arc<ClusterSlot>, worker: Rc<Worker>, chain: Arc<ChainTable>) {
    // It is the platform's: no tenant asked for a second request.
    worker.count(TenantId::NONE, Metric::Requests, 1);
    worker.count(TenantId::NONE, Metric::RequestBytes, copy.head.len() as u64);
    worker.stats().copy();
    let mut deadline = Deadline::new(&worker.timers);
    let mut around =
        Surroundings { worker: &worker, chain: &chain, deadline: &mut deadline, now: Instant::now(), ended: None };
    let outcome = super::forward(&mut copy, &plan, &cluster, &mut Tries::default(), &mut around).await;
    if !outcome.complete {
        tracing::debug!(cluster = %cluster.name, flag = outcome.flag.as_str(), "a copy of a request was not answered");
    }
}

/// The client's side of a copy: there is no client.
struct Copy {
    head: Vec<u8>,
    framing: Framing,
    is_head: bool,
    queue: Rc<RefCell<Queue>>,
    /// What was taken from the queue.
    data: Vec<u8>,
    at: usize,
    trailers: Vec<u8>,
    place: Place,
}

impl Copy {
    fn count(&self, metric: Metric, n: usize) {
        self.place.0.count(TenantId::NONE, metric, n as u64);
    }
}

impl Downstream for Copy {
    fn request_head(&mut self) -> &mut Vec<u8> {
        &mut self.head
    }

    fn request_framing(&self) -> Framing {
        self.framing
    }

    fn is_head(&self) -> bool {
        self.is_head
    }

    fn is_idempotent(&self) -> bool {
        // It is sent once, whatever it is.
        false
    }

    fn wants_upgrade(&self) -> bool {
        false
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ready, ReadError>> {
        if self.at < self.data.len() {
            return Poll::Ready(Ok(Ready::Data));
        }
        let mut queue = self.queue.borrow_mut();
        if !queue.bytes.is_empty() {
            (self.data, self.at) = (std::mem::take(&mut queue.bytes), 0);
            return Poll::Ready(Ok(Ready::Data));
        }
        match queue.state {
            State::Whole => {
                self.trailers.append(&mut queue.trailers);
                Poll::Ready(Ok(Ready::End))
            }
            State::Cut => Poll::Ready(Err(ReadError::Closed)),
            State::Open => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn request_data(&self) -> &[u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    fn take_request(&mut self, n: usize) {
        self.at += n;
        self.count(Metric::RequestBytes, n);
    }

    fn request_trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn rewind(&mut self, _: &Plan) -> bool {
        false
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn interim(&mut self, _: &ResponseHead<'_, '_>) {}

    fn respond(&mut self, head: &ResponseHead<'_, '_>, _: &Plan, _: SocketAddr) {
        let fields: usize = head.headers.iter().map(|field| field.name.len() + field.value.len() + 4).sum();
        self.count(Metric::ResponseBytes, "HTTP/1.1 200 \r\n\r\n".len() + head.reason.len() + fields);
    }

    fn poll_response(&mut self, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.count(Metric::ResponseBytes, data.len());
        Poll::Ready(Ok(data.len()))
    }

    fn end_response(&mut self, _: &[u8]) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn answer(&mut self, _: Answer<'_>) {}
}
