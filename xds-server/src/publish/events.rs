//! Kubernetes Events of what proxies refuse, on the objects that it comes of. They are for people who look at the
//! object; the condition stays, the Event does not.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use weir_config::kinds::ObjectKey;

use crate::apiserver::{ApiServer, Failure};
use crate::state::State;

/// The same is not said again within this time.
const AGAIN: Duration = Duration::from_secs(600);
/// Events in a minute.
const RATE: usize = 30;
/// Bytes of a note that the API takes.
const MAX_NOTE: usize = 1000;
/// Objects that are remembered.
const MAX_KNOWN: usize = 10_000;

/// What tells.
pub(super) struct Events {
    api: ApiServer,
    recorder: Recorder,
    said: Said,
    trouble: bool,
}

impl Events {
    /// Events of this replica.
    pub(super) fn new(api: &ApiServer, replica: &str) -> Self {
        let reporter =
            Reporter { controller: weir_config::kinds::CONTROLLER_NAME.into(), instance: Some(replica.to_owned()) };
        let recorder = Recorder::new(api.client().clone(), reporter);
        Self { api: api.clone(), recorder, said: Said::default(), trouble: false }
    }

    /// Tells what is refused.
    pub(super) async fn refused(&mut self, state: &State, refused: Vec<(ObjectKey, String)>) {
        for (key, mut note) in refused {
            if !self.said.may(&key, &note, Instant::now()) {
                continue;
            }
            note.truncate(note.floor_char_boundary(MAX_NOTE));
            let event = Event {
                type_: EventType::Warning,
                reason: "Refused".into(),
                note: Some(note),
                action: "Program".into(),
                secondary: None,
            };
            let reference = ObjectReference {
                api_version: Some(api_version(&key)),
                kind: Some(key.kind.name().into()),
                name: Some(key.name.clone()),
                namespace: Some(key.namespace.clone()).filter(|namespace| !namespace.is_empty()),
                uid: state.uid_of(&key),
                ..ObjectReference::default()
            };
            match self.api.ask(self.recorder.publish(&event, &reference)).await {
                Ok(()) => self.trouble = false,
                Err(failure) => self.note(&failure),
            }
        }
    }

    /// An Event that is not told is no loss: the condition says the same.
    fn note(&mut self, failure: &Failure) {
        if !std::mem::replace(&mut self.trouble, true) {
            tracing::warn!(problem = %failure, "an Event cannot be written");
        }
    }
}

fn api_version(key: &ObjectKey) -> String {
    let version = key.kind.versions()[0];
    if key.kind.group().is_empty() { version.to_owned() } else { format!("{}/{version}", key.kind.group()) }
}

/// What was said, and how often of late.
#[derive(Debug, Default)]
struct Said {
    notes: HashMap<ObjectKey, (String, Instant)>,
    recent: VecDeque<Instant>,
}

impl Said {
    fn may(&mut self, key: &ObjectKey, note: &str, now: Instant) -> bool {
        let same = |(old, at): &(String, Instant)| old == note && now < *at + AGAIN;
        if self.notes.get(key).is_some_and(same) {
            return false;
        }
        while self.recent.front().is_some_and(|at| *at + Duration::from_secs(60) <= now) {
            self.recent.pop_front();
        }
        if self.recent.len() >= RATE {
            return false;
        }
        self.notes.retain(|_, (_, at)| now < *at + AGAIN);
        if self.notes.len() < MAX_KNOWN {
            self.notes.insert(key.clone(), (note.to_owned(), now));
        }
        self.recent.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use weir_config::kinds::Kind;

    use super::*;

    #[test]
    fn the_same_is_said_now_and_then_and_a_flood_is_cut() {
        let (mut said, now) = (Said::default(), Instant::now());
        let key = |n: usize| ObjectKey::new(Kind::HTTPRoute, "shop", n.to_string());
        assert!(said.may(&key(0), "no", now));
        assert!(!said.may(&key(0), "no", now + AGAIN / 2));
        assert!(said.may(&key(0), "no, otherwise", now + AGAIN / 2));
        assert!(said.may(&key(0), "no", now + 2 * AGAIN));
        let told = (0..1000).filter(|n| said.may(&key(*n), "bad", now + 3 * AGAIN)).count();
        assert_eq!(told, RATE);
        assert!(said.may(&key(500), "bad", now + 3 * AGAIN + Duration::from_secs(60)));
    }
}
