//! One open stream: its subscriptions, and what it may see. Shared by the task that serves it and by those who
//! look at it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use weir_config::model::ResourceType;

use super::form::Form;
use super::report::TypeReport;
use super::store::{Interest, Store};
use super::subscription::{Mode, ResourceStatus, Response, Subscriptions};
use super::view::View;
use crate::scope::Scope;

/// The stream.
#[derive(Debug)]
pub struct Live {
    store: Arc<Store>,
    interest: Interest,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    subscriptions: Subscriptions,
    /// Newest change that the subscriptions heard of.
    seen: u64,
}

impl Live {
    /// A stream on which nothing was asked yet.
    pub fn new(store: Arc<Store>, form: Form, scope: Scope, mode: Mode, now: Instant) -> Self {
        let interest = store.enter(form, scope);
        let seen = store.read().sequence();
        let state = State { subscriptions: Subscriptions::new(mode, now), seen };
        Self { store, interest, state: Mutex::new(state) }
    }

    /// What it gets of resources that have several forms.
    pub fn form(&self) -> Form {
        self.interest.form()
    }

    /// Takes something in that its client said.
    pub(super) fn hear<T>(&self, hear: impl FnOnce(&mut Subscriptions, &View<'_>) -> T) -> T {
        let resources = self.store.read();
        hear(&mut self.lock().subscriptions, &self.interest.view(&resources))
    }

    /// Catches up with the store and says what to send next.
    pub(super) fn next(&self, now: Instant) -> Option<Response> {
        let resources = self.store.read();
        let view = self.interest.view(&resources);
        let state = &mut *self.lock();
        match view.changes_since(state.seen) {
            Some(changes) => changes.iter().for_each(|changes| state.subscriptions.changed(changes, &view, now)),
            None => state.subscriptions.compare(&view, now),
        }
        state.seen = view.sequence();
        state.subscriptions.poll(&view, now)
    }

    /// When to ask [`Live::next`] again though nothing happens.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.lock().subscriptions.deadline(now)
    }

    /// What its client has and said, by type.
    pub fn report(&self) -> Vec<TypeReport> {
        self.lock().subscriptions.report()
    }

    /// Up to `limit` resources that its client has or asked for, of these types (none: of all), by type and name,
    /// after `after`.
    pub fn statuses(
        &self,
        kinds: &[ResourceType],
        after: Option<(ResourceType, &str)>,
        limit: usize,
    ) -> Vec<ResourceStatus> {
        let resources = self.store.read();
        self.lock().subscriptions.statuses(&self.interest.view(&resources), kinds, after, limit)
    }

    /// Its changes leave it whole at every point where they could end early.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
