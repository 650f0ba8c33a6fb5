//! One timer a connection, armed again only when it must ring earlier or has rung: most waits end
//! long before their deadline, and then cost no timer operation.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Duration, Instant, Sleep};

/// Beyond any connection's life.
const FAR: Duration = Duration::from_secs(30 * 24 * 3600);

/// The timer, of one task.
#[derive(Debug)]
pub(crate) struct Deadline {
    sleep: Pin<Box<Sleep>>,
    armed: Instant,
    /// The task will be woken at `armed`.
    registered: bool,
}

impl Deadline {
    /// A timer that is not armed.
    pub(crate) fn new() -> Self {
        let armed = Instant::now() + FAR;
        Self { sleep: Box::pin(tokio::time::sleep_until(armed)), armed, registered: false }
    }

    /// Ready once `at` has passed; else the task is woken when it has. `now` may be a little old,
    /// but not from before the wake that led here.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at: Instant, now: Instant) -> Poll<()> {
        if at < self.armed {
            self.arm(at);
        }
        if self.registered && now < self.armed {
            return Poll::Pending;
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= at {
                self.registered = false;
                return Poll::Ready(());
            }
            self.arm(at);
        }
        self.registered = true;
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

    fn arm(&mut self, at: Instant) {
        (self.armed, self.registered) = (at, false);
        self.sleep.as_mut().reset(at);
    }
}

/// `now` and `duration` later, or never.
pub(crate) fn after(now: Instant, duration: Duration) -> Instant {
    now.checked_add(duration.min(FAR)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rings_at_the_last_time_given() {
        let start = Instant::now();
        let mut deadline = Deadline::new();
        let ring = |seconds| start + Duration::from_secs(seconds);
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx, ring(5), start))).await.is_pending());
        // Later than armed: the timer rings early, is armed again, and nobody notices.
        poll_fn(|cx| deadline.poll(cx, ring(9), Instant::now())).await;
        assert_eq!(start.elapsed().as_secs(), 9);
        assert_eq!(deadline.limit(ring(11), |_| Poll::<()>::Pending).await, None);
        assert_eq!(start.elapsed().as_secs(), 11);
    }
}
