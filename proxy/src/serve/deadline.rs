//! One timer a connection, set again only when it must ring earlier or has rung: most waits end
//! long before their deadline, and then cost no timer operation.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::timers::{Key, Timers};

/// Beyond any connection's life.
const FAR: Duration = Duration::from_secs(30 * 24 * 3600);

/// The timer, of one task.
#[derive(Debug)]
pub(crate) struct Deadline {
    timers: Rc<Timers>,
    set: Option<Key>,
}

impl Deadline {
    /// A timer that is not set.
    pub(crate) fn new(timers: &Rc<Timers>) -> Self {
        Self { timers: timers.clone(), set: None }
    }

    /// Ready once `at` has passed; else the task is woken when it has. `now` may be a little old,
    /// but not from before the wake that led here.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at: Instant, now: Instant) -> Poll<()> {
        if let Some(set) = self.set
            && set.0 <= at
            && now < set.0
        {
            return Poll::Pending;
        }
        if Instant::now() >= at {
            self.unset();
            return Poll::Ready(());
        }
        self.unset();
        self.set = Some(self.timers.set(at, cx.waker().clone()));
        Poll::Pending
    }

    /// Polls `work` until it is ready, or until `at`: then none.
    pub(crate) async fn limit<T>(
        &mut self,
        at: Instant,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        poll_fn(|cx| match work(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => self.poll(cx, at, Instant::now()).map(|()| None),
        })
        .await
    }

    fn unset(&mut self) {
        if let Some(key) = self.set.take() {
            self.timers.unset(key);
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.unset();
    }
}

/// `now` and `duration` later, or never.
pub(crate) fn after(now: Instant, duration: Duration) -> Instant {
    now.checked_add(duration.min(FAR)).unwrap_or(now)
}

/// `work`, if it ends within `time`. Pinned by the caller: a future that is moved into another takes its room twice.
pub(crate) async fn within<F: Future + Unpin>(timers: &Rc<Timers>, time: Duration, mut work: F) -> Option<F::Output> {
    Deadline::new(timers).limit(after(Instant::now(), time), |cx| Pin::new(&mut work).poll(cx)).await
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::task::{Wake, Waker};

    use tokio::task::LocalSet;

    use super::*;

    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: std::sync::Arc<Self>) {}
    }

    #[test]
    fn it_is_set_anew_only_when_it_must_ring_earlier_or_has_rung() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _inside = runtime.enter();
        let timers = Rc::new(Timers::new().unwrap());
        let mut deadline = Deadline::new(&timers);
        let waker: Waker = std::sync::Arc::new(Nobody).into();
        let mut cx = Context::from_waker(&waker);
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(deadline.poll(&mut cx, at(50), now).is_pending());
        let first = deadline.set;
        assert!(deadline.poll(&mut cx, at(90), now).is_pending());
        assert_eq!(deadline.set, first, "it rings early, is set again then, and nobody notices");
        assert!(deadline.poll(&mut cx, at(90), at(51)).is_pending());
        assert_eq!(deadline.set.unwrap().0, at(90), "it has rung");
        assert!(deadline.poll(&mut cx, at(10), now).is_pending());
        assert_eq!(deadline.set.unwrap().0, at(10));
        assert!(deadline.poll(&mut cx, now, Instant::now()).is_ready());
        assert_eq!(deadline.set, None);
    }

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
            assert!(timers.is_empty());
            rung.take()
        });
        assert_eq!(rung, [0, 20, 20, 40, 60]);
    }

    #[test]
    fn work_that_takes_too_long_is_given_up_and_leaves_no_timer() {
        with_timers(|timers| async move {
            let never = std::future::pending::<()>();
            assert_eq!(within(&timers, Duration::from_millis(5), never).await, None);
            assert_eq!(within(&timers, Duration::from_secs(3600), pin!(async { 7 })).await, Some(7));
            let quick = pin!(tokio::task::yield_now());
            assert_eq!(within(&timers, Duration::from_secs(3600), quick).await, Some(()));
            assert!(timers.is_empty());
            // One that was set for later does not hold back one that is set for sooner.
            let late = timers.set(Instant::now() + Duration::from_secs(3600), Waker::noop().clone());
            until(&timers, Instant::now() + Duration::from_millis(5)).await;
            timers.unset(late);
        });
    }
}
