//! The place of one SDS secret, in which it is renewed.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use weir_config::model::Secret;

use super::certificate::Certificate;
use super::keys::Keys;

/// The place of one SDS secret: empty until it arrives, and after it is removed.
#[derive(Debug, Default)]
pub struct SecretSlot(ArcSwapOption<Certificate>);

impl SecretSlot {
    /// Puts a certificate in place of what was there. Handshakes from now on use it. One that takes the place of a
    /// certificate in use is parsed at once: the next handshake does not wait for it, and where it turns out to be of
    /// no use, the one before goes on serving.
    pub fn set(&self, secret: &Arc<Secret>, keys: &Arc<Keys>) {
        let new = Certificate::new(secret.clone(), keys.clone());
        let renews = self.get().is_some_and(|old| old.in_use());
        if renews && new.certified_key().is_none() {
            tracing::error!(secret = secret.name, "the certificate before it goes on serving");
            return;
        }
        self.0.store(Some(Arc::new(new)));
    }

    /// Empties the slot. Handshakes from now on do without it.
    pub fn clear(&self) {
        self.0.store(None);
    }

    /// What is there now.
    pub fn get(&self) -> Option<Arc<Certificate>> {
        self.0.load_full()
    }
}
