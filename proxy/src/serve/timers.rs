//! The timers of one worker: a queue in order of time and one timerfd that rings for the earliest.
//!
//! A worker's runtime has no time driver. Tokio's reads the clock four times and walks its wheel
//! whenever the thread is about to wait, which is more than all of routing costs; here a wait costs
//! nothing, and setting a timer is a system call only where it is the earliest.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer that is set: when it rings, and which of those that ring then.
pub(crate) type Key = (Instant, u64);

/// See the module. [`Timers::run`] must run for any of them to ring.
#[derive(Debug)]
pub(crate) struct Timers {
    fd: AsyncFd<OwnedFd>,
    queue: RefCell<BTreeMap<Key, Waker>>,
    /// When the descriptor rings.
    set: Cell<Option<Instant>>,
    next: Cell<u64>,
}

impl Timers {
    /// No timer is set. To be called within the worker's runtime.
    ///
    /// # Errors
    /// No descriptor can be had.
    pub(crate) fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: an OwnedFd names the same open descriptor until it is dropped, and AsyncFd, which owns it,
        // takes it out of the reactor before that: what `register` asks for.
        #[expect(unsafe_code, reason = "the one way to register a descriptor that is not deprecated")]
        let fd = unsafe { AsyncFd::register(fd) }?;
        Ok(Self { fd, queue: RefCell::default(), set: Cell::new(None), next: Cell::new(0) })
    }

    /// Wakes `waker` at `at`, once.
    pub(crate) fn set(&self, at: Instant, waker: Waker) -> Key {
        let key = (at, self.next.get());
        self.next.set(key.1 + 1);
        self.queue.borrow_mut().insert(key, waker);
        if self.set.get().is_none_or(|set| at < set) {
            self.ring_at(at);
        }
        key
    }

    /// Forgets a timer.
    pub(crate) fn unset(&self, key: Key) {
        self.queue.borrow_mut().remove(&key);
    }

    /// Whether none is set.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Lets timers ring, for ever.
    pub(crate) async fn run(&self) {
        loop {
            match self.fd.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime is ending.
                Err(_) => return std::future::pending().await,
            }
            self.ring();
        }
    }

    /// Wakes all that is due, and sets the descriptor for what is next.
    fn ring(&self) {
        let now = Instant::now();
        let mut queue = self.queue.borrow_mut();
        while let Some(entry) = queue.first_entry().filter(|entry| entry.key().0 <= now) {
            entry.remove().wake();
        }
        match queue.first_key_value() {
            Some(((at, _), _)) => self.ring_at(*at),
            None => self.set.set(None),
        }
    }

    fn ring_at(&self, at: Instant) {
        // Zero would switch it off.
        let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let it_value =
            Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        // Setting it anew also takes back a ring that nobody has read.
        match timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &spec) {
            Ok(_) => self.set.set(Some(at)),
            Err(error) => tracing::error!(%error, "a timer cannot be set"),
        }
    }
}
