//! Word of statuses that may have to be written: what changed in the world, and what was seen in the cluster.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use weir_config::kinds::ObjectKey;

use super::{Digest, has_status};

/// What the writer of statuses has not looked at yet. It holds each object once, however often it changes.
#[derive(Debug, Default)]
pub struct News {
    told: Mutex<Told>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Told {
    /// Whether there is a writer at all, and whether it writes now.
    kept: bool,
    heard: bool,
    seen: HashMap<ObjectKey, Digest>,
    changed: BTreeSet<ObjectKey>,
}

impl News {
    /// From now on what is seen is kept: somebody may come to write statuses.
    pub fn keep(&self) {
        self.told().kept = true;
    }

    /// Whether a writer listens now. One that begins must look at everything.
    pub fn hear(&self, heard: bool) {
        let mut told = self.told();
        told.heard = heard;
        told.changed.clear();
    }

    /// Takes in which statuses changed in the world.
    pub fn changed<'a>(&self, keys: impl IntoIterator<Item = &'a ObjectKey>) {
        let mut told = self.told();
        if told.heard {
            told.changed.extend(keys.into_iter().cloned());
            drop(told);
            self.wake.notify_one();
        }
    }

    /// Takes in what the cluster's objects have, and which objects are gone.
    pub fn seen<'a>(&self, statuses: &[(ObjectKey, Digest)], gone: impl IntoIterator<Item = &'a ObjectKey>) {
        let mut told = self.told();
        if !told.kept {
            return;
        }
        for key in gone {
            told.seen.remove(key);
        }
        for (key, digest) in statuses.iter().filter(|(key, _)| has_status(key.kind)) {
            if told.seen.insert(key.clone(), *digest) != Some(*digest) && told.heard {
                told.changed.insert(key.clone());
            }
        }
        drop(told);
        self.wake.notify_one();
    }

    /// What an object has now, as this server wrote it.
    pub fn wrote(&self, key: &ObjectKey, digest: Digest) {
        self.told().seen.insert(key.clone(), digest);
    }

    /// What an object has, as far as is known.
    pub fn has(&self, key: &ObjectKey) -> Option<Digest> {
        self.told().seen.get(key).copied()
    }

    /// Objects of which a status was seen.
    pub fn known(&self) -> Vec<ObjectKey> {
        self.told().seen.keys().cloned().collect()
    }

    /// What changed since it was asked last.
    pub fn take(&self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.told().changed)
    }

    /// Waits until there may be something to take. It may also return early.
    pub async fn wait(&self) {
        self.wake.notified().await;
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_config::kinds::Kind;

    use super::*;
    use crate::seen::digest_of;

    #[test]
    fn what_is_seen_again_as_it_was_is_no_news() {
        let news = News::default();
        let key = ObjectKey::new(Kind::Plan, "", "pro");
        let status = |tenants: u64| (key.clone(), digest_of(Kind::Plan, &json!({ "tenants": tenants })));
        news.seen(&[status(0)], []);
        assert_eq!(news.has(&key), None, "nobody will ever ask");
        news.keep();
        news.seen(&[status(1)], []);
        assert!(news.take().is_empty(), "nobody listens");
        news.hear(true);
        news.seen(&[status(1)], []);
        assert!(news.take().is_empty());
        news.seen(&[status(2)], []);
        assert_eq!(news.take(), BTreeSet::from([key.clone()]));
        news.wrote(&key, status(3).1);
        news.seen(&[status(3)], []);
        assert!(news.take().is_empty(), "it is what this server wrote");
        news.seen(&[], [&key]);
        assert_eq!(news.has(&key), None);
    }

    #[test]
    fn changes_of_one_object_are_one() {
        let news = News::default();
        let key = ObjectKey::new(Kind::Plan, "", "pro");
        news.changed([&key]);
        news.hear(true);
        assert!(news.take().is_empty(), "who begins looks at everything anyway");
        news.changed([&key]);
        news.changed([&key]);
        assert_eq!(news.take().len(), 1);
        assert!(news.take().is_empty());
    }
}
