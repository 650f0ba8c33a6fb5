//! A worker's thread: one runtime, its connections and its upstream pool. Nothing of a connection
//! leaves its thread, so no future need be `Send`.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::Poll;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::task::LocalSet;

use super::arrived::Arrived;
use super::deadline::Deadline;
use super::stats::Stats;
use super::timers::Timers;
use super::worker::{Registered, Worker};
use super::{Options, datagrams, handshake};
use crate::log::AccessLog;
use crate::meter::Meter;

/// Time between two sweeps of the pool.
const SWEEP: Duration = Duration::from_secs(2);
/// After the drain deadline exchanges end by themselves; what has not by then is dropped.
const GRACE: Duration = Duration::from_millis(500);
/// Pause before a worker that could not begin tries again.
const RETRY: Duration = Duration::from_secs(1);

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Command {
    /// A connection is its to serve.
    Connection(Arrived),
    /// A UDP listener's socket is its to serve.
    Datagrams(datagrams::Handed),
    /// Chains were removed: idle connections look whether theirs was.
    Look,
    /// Finish by then.
    Drain(Instant),
    /// Panic.
    #[cfg(test)]
    Panic,
}

/// What the accepting side holds of a worker.
#[derive(Debug)]
pub(super) struct Handle {
    /// Bounded by the limit of connections: each message but a few is one.
    pub(super) commands: mpsc::UnboundedSender<Command>,
    /// Connections that it serves.
    pub(super) load: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Starts a worker's thread.
    pub(super) fn start(
        index: usize,
        options: Arc<Options>,
        meter: Arc<Meter>,
        log: Option<Arc<AccessLog>>,
        ending: Arc<AtomicBool>,
        stats: Arc<Stats>,
    ) -> io::Result<Self> {
        let (commands, received) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let run = move || {
            let received = Rc::new(Mutex::new(received));
            // A panic within a connection ends that connection. One outside ends those of this worker, which
            // then begins anew: a worker that is gone would go on being handed connections.
            loop {
                let timers = match timers(&runtime) {
                    Ok(timers) => Rc::new(timers),
                    Err(error) => {
                        tracing::error!(worker = index, %error, "a worker cannot have its timers; it will try again");
                        std::thread::sleep(RETRY);
                        continue;
                    }
                };
                let worker = Rc::new(Worker::new(
                    index,
                    options.clone(),
                    meter.clone(),
                    log.clone(),
                    ending.clone(),
                    stats.clone(),
                    timers.clone(),
                ));
                // The set is dropped first: connections that are left end here. As a task of the set the
                // worker is polled when it was woken, not whenever a connection was.
                let serve = || {
                    let set = LocalSet::new();
                    set.spawn_local(async move { timers.run().await });
                    let run = set.spawn_local(run(worker, received.clone()));
                    set.block_on(&runtime, run)
                };
                match catch_unwind(AssertUnwindSafe(serve)) {
                    Ok(Ok(())) => return,
                    _ => {
                        tracing::error!(worker = index, "a worker panicked; its connections ended, and it begins anew")
                    }
                }
            }
        };
        let thread = Builder::new().name(format!("worker-{index}")).spawn(run)?;
        Ok(Self { commands, load: Arc::default(), thread })
    }

    /// Waits for the thread to end.
    pub(super) fn join(self) {
        drop(self.commands);
        if self.thread.join().is_err() {
            tracing::error!("a worker ended by a panic");
        }
    }
}

/// Timers on a worker's runtime.
fn timers(runtime: &tokio::runtime::Runtime) -> io::Result<Timers> {
    let _inside = runtime.enter();
    Timers::new()
}

/// A worker's loop, until it has drained.
async fn run(worker: Rc<Worker>, commands: Rc<Mutex<mpsc::UnboundedReceiver<Command>>>) {
    let mut commands = commands.lock().await;
    let mut told_all = false;
    let (mut sweep, mut sweep_at) = (Deadline::new(&worker.timers), Instant::now() + SWEEP);
    let mut end = Deadline::new(&worker.timers);
    loop {
        let deadline = worker.drain_deadline.get();
        if deadline.is_some() && worker.connections.borrow().is_empty() && commands.is_empty() {
            return;
        }
        let swept = poll_fn(|cx| sweep.poll(cx, sweep_at, Instant::now()));
        let ended = poll_fn(|cx| match deadline {
            Some(at) => end.poll(cx, at + GRACE, Instant::now()),
            None => Poll::Pending,
        });
        tokio::select! {
            command = commands.recv(), if !told_all => match command {
                Some(Command::Connection(arrived)) => serve(&worker, arrived),
                Some(Command::Datagrams(handed)) => serve_datagrams(&worker, handed),
                Some(Command::Look) => worker.wake(),
                #[cfg(test)]
                Some(Command::Panic) => panic!("a test asked for it"),
                Some(Command::Drain(at)) => {
                    worker.drain_deadline.set(Some(at));
                    worker.wake();
                }
                // The engine is gone. It has said by when to finish, unless it never ran.
                None => {
                    told_all = true;
                    worker.drain_deadline.set(worker.drain_deadline.get().or_else(|| Some(Instant::now())));
                }
            },
            () = swept => {
                let now = Instant::now();
                worker.upstreams.sweep(now);
                sweep_at = now + SWEEP;
            }
            () = worker.ended.notified() => {}
            () = ended => return,
        }
    }
}

fn serve(worker: &Rc<Worker>, arrived: Arrived) {
    worker.stats().connection();
    let entered = Entered { registered: worker.register(), worker: worker.clone() };
    tokio::task::spawn_local(async move {
        entered.registered.remember_waker().await;
        handshake::serve(arrived, &entered.worker).await;
    });
}

fn serve_datagrams(worker: &Rc<Worker>, handed: datagrams::Handed) {
    let (registered, worker) = (worker.register(), worker.clone());
    tokio::task::spawn_local(async move {
        registered.remember_waker().await;
        datagrams::serve(handed, worker).await;
    });
}

/// A connection that is counted; not as open any more when dropped.
struct Entered {
    registered: Registered,
    worker: Rc<Worker>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.worker.stats().connection_ended();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tokio::sync::Semaphore;

    use super::super::arrived::Place;
    use super::*;
    use crate::request::table::ListenerTable;

    /// Whoever comes after a panic is served: here, with the end of the connection that no chain takes.
    #[test]
    fn a_worker_that_panicked_begins_anew() {
        let meter = Arc::new(Meter::new(1));
        let worker = Handle::start(0, Arc::default(), meter, None, Arc::default(), Arc::new(Stats::new(1))).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let table = Arc::new(ListenerTable::new("l".into(), listener.local_addr().unwrap(), Vec::new()));
        let permits = Arc::new(Semaphore::new(1));
        for _ in 0..3 {
            worker.commands.send(Command::Panic).unwrap();
            let mut client = std::net::TcpStream::connect(table.address).unwrap();
            let (io, peer) = listener.accept().unwrap();
            let permit = permits.clone().try_acquire_owned().unwrap();
            worker.load.fetch_add(1, Ordering::Relaxed);
            let place = Place { _permit: permit, load: worker.load.clone() };
            let arrived = Arrived { io, peer, listener: table.clone(), _place: place };
            worker.commands.send(Command::Connection(arrived)).unwrap();
            assert_eq!(std::io::Read::read(&mut client, &mut [0]).unwrap(), 0, "it is closed");
            while permits.available_permits() == 0 {
                std::thread::yield_now();
            }
        }
        assert_eq!(worker.load.load(Ordering::Relaxed), 0);
        worker.commands.send(Command::Drain(Instant::now())).unwrap();
        worker.join();
    }
}
