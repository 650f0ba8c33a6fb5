//! The timers of one worker: a queue in order of time and one timerfd that rings for the earliest.
//!
//! A worker's runtime has no time driver. Tokio's reads the clock four times and walks its wheel
//! whenever the thread is about to wait, which is more than all of routing costs; here a wait costs
//! nothing, and setting a timer is a system call only where it is the earliest.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::deadline::{Deadline, after};

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

/// `work`, if it ends within `time`.
pub(crate) async fn within<F: Future>(timers: &Rc<Timers>, time: Duration, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    Deadline::new(timers).limit(after(Instant::now(), time), |cx| work.as_mut().poll(cx)).await
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use tokio::task::LocalSet;

    use super::*;

    async fn until(timers: &Rc<Timers>, at: Instant) {
        assert_eq!(Deadline::new(timers).limit(at, |_| Poll::<()>::Pending).await, None);
    }

    /// Runs `work` with timers, on a runtime without a time driver.
    fn with_timers<F: Future>(work: impl FnOnce(Rc<Timers>) -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let timers = Rc::new(Timers::new().unwrap());
            let running = timers.clone();
            tokio::task::spawn_local(async move { running.run().await });
            work(timers).await
        })
    }

    #[test]
    fn timers_ring_in_order_and_never_early() {
        let rung = with_timers(|timers| async move {
            let start = Instant::now();
            let (rung, mut tasks) = (Rc::new(RefCell::new(Vec::new())), Vec::new());
            for millis in [60, 20, 40, 0, 20] {
                let (timers, rung) = (timers.clone(), rung.clone());
                tasks.push(tokio::task::spawn_local(async move {
                    let at = start + Duration::from_millis(millis);
                    until(&timers, at).await;
                    assert!(Instant::now() >= at);
                    rung.borrow_mut().push(millis);
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
            assert!(timers.queue.borrow().is_empty());
            rung.take()
        });
        assert_eq!(rung, [0, 20, 20, 40, 60]);
    }

    #[test]
    fn work_that_takes_too_long_is_given_up_and_leaves_no_timer() {
        with_timers(|timers| async move {
            let never = std::future::pending::<()>();
            assert_eq!(within(&timers, Duration::from_millis(5), never).await, None);
            assert_eq!(within(&timers, Duration::from_secs(3600), async { 7 }).await, Some(7));
            let quick = tokio::task::yield_now();
            assert_eq!(within(&timers, Duration::from_secs(3600), quick).await, Some(()));
            assert!(timers.queue.borrow().is_empty());
            // One that was set for later does not hold back one that is set for sooner.
            let late = timers.set(Instant::now() + Duration::from_secs(3600), Waker::noop().clone());
            until(&timers, Instant::now() + Duration::from_millis(5)).await;
            timers.unset(late);
        });
    }
}
