//! When a process ends, and why; and its services in pingora-core's form.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use pingora::services::{Service as PingoraService, ServiceWithDependents};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How much longer than the drain timeout the engine may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// A service's work. It is given a signal that turns true when the process is asked to end.
type Work = Box<dyn FnOnce(watch::Receiver<bool>) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> + Send>;

/// The life of a process, shared by its parts.
#[derive(Clone)]
pub struct Life {
    /// Turns true when the process is asked to end.
    stop: watch::Sender<bool>,
    /// Turns true when listeners are to be drained.
    drain: watch::Sender<bool>,
    /// Turns true when the last exchange has ended.
    drained: watch::Sender<bool>,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
}

impl Life {
    /// A life that has just begun.
    pub(super) fn new() -> Self {
        Self {
            stop: watch::Sender::new(false),
            drain: watch::Sender::new(false),
            drained: watch::Sender::new(false),
            failure: Arc::default(),
        }
    }

    /// Asks the process to end, as SIGTERM does.
    pub fn end(&self) {
        self.stop.send_replace(true);
    }

    /// Turns true when the process is asked to end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Makes listeners drain.
    pub(super) fn draining(&self) -> watch::Sender<bool> {
        self.drain.clone()
    }

    /// Says that nothing is under way any more.
    pub(super) fn drained(&self) -> watch::Sender<bool> {
        self.drained.clone()
    }

    /// Why the process ended, if not because it was asked to.
    pub(super) fn failure(&self) -> anyhow::Result<()> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// A service failed: everything ends.
    fn fail(&self, error: anyhow::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.end();
    }

    /// What pingora-core waits for.
    pub(super) fn signals(&self, drain_timeout: Duration) -> Signals {
        Signals { life: self.clone(), drain_timeout }
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("stop", &*self.stop.borrow()).finish_non_exhaustive()
    }
}

/// Tells pingora-core to end when everything has.
pub(super) struct Signals {
    life: Life,
    drain_timeout: Duration,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let mut terminate = signal(SignalKind::terminate()).ok();
        let mut quit = signal(SignalKind::quit()).ok();
        let mut interrupt = signal(SignalKind::interrupt()).ok();
        let mut stop = self.life.stopping();
        tokio::select! {
            // Whoever sits at the terminal does not want to wait.
            () = next(&mut interrupt) => return ShutdownSignal::FastShutdown,
            () = next(&mut terminate) => {}
            () = next(&mut quit) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        tracing::info!(at_most = ?self.drain_timeout, "ending when the exchanges under way have ended");
        self.life.end();
        let mut drained = self.life.drained.subscribe();
        tokio::select! {
            _ = drained.wait_for(|drained| *drained) => {}
            () = tokio::time::sleep(self.drain_timeout + GRACE) => tracing::warn!("the drain timeout has passed"),
            () = next(&mut terminate) => tracing::warn!("a second signal: ending at once"),
            () = next(&mut quit) => tracing::warn!("a second signal: ending at once"),
            () = next(&mut interrupt) => tracing::warn!("a second signal: ending at once"),
        }
        // Everything has ended, so pingora-core has nothing to wait for.
        ShutdownSignal::FastShutdown
    }
}

/// The next signal of a kind; never where the system does not give it.
async fn next(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// Something that runs as long as the process does, on a thread of its own.
pub struct Service {
    name: String,
    work: Work,
}

/// A service. Its work is given a signal that turns true when the process is asked to end, and may
/// go on until the last exchange has ended. An error ends the process.
pub fn service<F>(name: &str, work: impl FnOnce(watch::Receiver<bool>) -> F + Send + 'static) -> Service
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    Service { name: name.to_owned(), work: Box::new(move |stop| Box::pin(work(stop))) }
}

impl Service {
    /// The service in pingora-core's form.
    pub(super) fn on(self, life: &Life) -> Box<dyn ServiceWithDependents> {
        Box::new(Running { name: self.name, work: Mutex::new(Some(self.work)), life: life.clone() })
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}

struct Running {
    name: String,
    work: Mutex<Option<Work>>,
    life: Life,
}

#[async_trait]
impl PingoraService for Running {
    async fn start_service(&mut self, _fds: Option<ListenFds>, _shutdown: ShutdownWatch, _listeners_per_fd: usize) {
        let work = self.work.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work
            && let Err(error) = work(self.life.stopping()).await
        {
            tracing::error!(service = self.name, error = format!("{error:#}"), "a service failed");
            self.life.fail(error);
        }
    }

    fn name(&self) -> &str {
        &self.name
    }
}
