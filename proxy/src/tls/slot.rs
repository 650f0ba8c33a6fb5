//! The place of one SDS secret, in which it is renewed, and waited for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::sync::oneshot;
use weir_config::model::Secret;

use super::certificate::Certificate;
use super::keys::Keys;
use super::wants::Wants;
use crate::clock;

/// The place of one SDS secret: empty until it arrives, and after it is removed or given up.
#[derive(Debug)]
pub struct SecretSlot {
    name: Box<str>,
    content: ArcSwapOption<Certificate>,
    wants: Arc<Wants>,
    /// When a handshake last used it, by the process's clock.
    used: AtomicU64,
    /// Whether it is among what is wanted already.
    asked: AtomicBool,
    /// Handshakes that wait for it.
    waiting: Mutex<Vec<oneshot::Sender<Arc<Certificate>>>>,
}

impl SecretSlot {
    /// The empty place of the secret of this name, for which handshakes wait by `wants`.
    pub fn new(name: &str, wants: Arc<Wants>) -> Self {
        Self {
            name: name.into(),
            content: ArcSwapOption::empty(),
            wants,
            used: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    /// Name of the secret.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a certificate in place of what was there. Handshakes from now on use it. One that takes the place of a
    /// certificate in use is parsed at once: the next handshake does not wait for it, and where it turns out to be of
    /// no use, the one before goes on serving.
    pub fn set(&self, secret: &Arc<Secret>, keys: &Arc<Keys>) {
        let new = Certificate::new(secret.clone(), keys.clone());
        let renews = self.content.load_full().is_some_and(|old| old.in_use());
        if renews && new.certified_key().is_none() {
            tracing::error!(secret = secret.name, "the certificate before it goes on serving");
            return;
        }
        let new = Arc::new(new);
        self.content.store(Some(new.clone()));
        for waiting in self.waiting().drain(..) {
            // Handed over, so that they have it even where it is given up for another at once.
            let _ = waiting.send(new.clone());
        }
    }

    /// Empties the slot. Handshakes from now on do without it, or wait for it.
    pub fn clear(&self) {
        self.content.store(None);
        self.waiting().clear();
    }

    /// What is there now, for a handshake.
    pub fn get(&self) -> Option<Arc<Certificate>> {
        let certificate = self.content.load_full()?;
        self.used.store(clock::now(), Relaxed);
        Some(certificate)
    }

    /// Whether a certificate is there.
    pub fn is_filled(&self) -> bool {
        self.content.load().is_some()
    }

    /// When a handshake last used it, by the process's clock; 0: none has.
    pub fn last_use(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// What is there, or what comes: none where too many wait, or where there is none. The caller bounds the time.
    pub async fn fetched(self: &Arc<Self>) -> Option<Arc<Certificate>> {
        if let Some(certificate) = self.get() {
            return Some(certificate);
        }
        let _place = self.wants.place()?;
        let (sender, arrival) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            waiting.retain(|other| !other.is_closed());
            waiting.push(sender);
        }
        // It may have come in between.
        if let Some(certificate) = self.get() {
            return Some(certificate);
        }
        if !self.asked.swap(true, Relaxed) {
            self.wants.ask(self);
        }
        let certificate = arrival.await.ok()?;
        self.used.store(clock::now(), Relaxed);
        Some(certificate)
    }

    /// A handshake fails because this is empty; how many have.
    pub(super) fn refuse(&self) -> u64 {
        self.wants.refuse()
    }

    /// It is taken from what is wanted; its name, if anybody still waits.
    pub(super) fn taken(&self) -> Option<String> {
        self.asked.store(false, Relaxed);
        self.waiting().iter().any(|waiting| !waiting.is_closed()).then(|| self.name.to_string())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<oneshot::Sender<Arc<Certificate>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
