//! Whether an endpoint's settings have come, for those who must know what it can before they send. Nobody else waits
//! for them, and they are asked for only where somebody waits.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use crate::serve::h2::pulse::{Pulse, Silent};

/// Who wait are woken when they are so many: those that went away in the meantime do not come back.
const WAITING: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Whether the settings have come; false: they will not.
    known: Cell<Option<bool>>,
    wanted: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
    /// The task that moves the connection's frames.
    driver: RefCell<Option<Waker>>,
}

impl Settled {
    /// Whether the settings have come (true), or never will because the connection has ended.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<bool> {
        if let Some(known) = self.known.get() {
            return Poll::Ready(known);
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= WAITING {
            waiting.drain(..).for_each(Waker::wake);
        }
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        if !self.wanted.replace(true)
            && let Some(driver) = &*self.driver.borrow()
        {
            driver.wake_by_ref();
        }
        Poll::Pending
    }

    /// The driver's part, whenever it is woken. Ready if the endpoint is gone.
    pub(super) fn drive(&self, pulse: &mut Pulse, cx: &mut Context<'_>) -> Poll<Silent> {
        if self.known.get().is_none() {
            self.driver.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        }
        let silent = pulse.poll(cx, self.wanted.get());
        if pulse.is_answered() && self.known.get().is_none() {
            self.settle(true);
        }
        silent
    }

    /// Nothing further is to be waited for: the settings have come, or the connection has ended.
    pub(super) fn settle(&self, came: bool) {
        self.known.set(Some(came));
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}
