//! When the process is killed.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by all that a process touches: after its last step nothing has any effect.
#[derive(Clone, Debug)]
pub(super) struct Fate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    left: u32,
    dead: bool,
}

impl Fate {
    /// Dies at the step after `left` others.
    pub(super) fn new(left: u32) -> Self {
        Self(Arc::new(Mutex::new(State { left, dead: false })))
    }

    /// One step. False: this is where the process dies, or it has died before.
    pub(super) fn step(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.dead |= state.left == 0;
        state.left = state.left.saturating_sub(1);
        !state.dead
    }

    /// One step of something that may fail.
    pub(super) fn io(&self) -> io::Result<()> {
        if self.step() { Ok(()) } else { Err(io::Error::other("killed")) }
    }

    /// A signal comes.
    pub(super) fn kill(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).dead = true;
    }

    /// It dies within so many steps.
    pub(super) fn kill_after(&self, left: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).left = left;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).dead
    }
}
