//! Kubernetes Events of what proxies refuse and of conflicts between objects, on the objects that it comes of. They are
//! for people who look at the object; the condition stays, the Event does not.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use weir_config::kinds::ObjectKey;

use crate::apiserver::{ApiServer, Failure};
use crate::state::State;
use crate::status::{ObjectStatus, unmet};

/// The same is not said again within this time.
const AGAIN: Duration = Duration::from_secs(600);
/// Events in a minute.
const RATE: usize = 30;
/// Bytes of a note that the API takes.
const MAX_NOTE: usize = 1000;
/// Objects that are remembered.
const MAX_KNOWN: usize = 10_000;

/// What an Event is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    about: ObjectKey,
    /// One word, in CamelCase.
    reason: String,
    /// What Weir did when it found that.
    action: &'static str,
    note: String,
}

impl Word {
    /// Proxies refuse what an object became.
    pub(super) fn refused(about: ObjectKey, note: String) -> Self {
        Self { about, reason: "Refused".into(), action: "Program", note }
    }

    /// Conflicts with other objects of which a status speaks: the reasons are those of its conditions
    /// (`HostnameConflict`, `ProtocolConflict`, `RouteConflict`, `TenantConflict`). Several of one reason are one word.
    pub(super) fn conflicts(about: &ObjectKey, status: &ObjectStatus) -> Vec<Self> {
        let mut notes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (place, condition) in unmet(status).into_iter().filter(|(_, c)| c.reason.ends_with("Conflict")) {
            let place = if place.is_empty() { place } else { format!("{}: ", place.trim_start()) };
            let note = format!("{place}{}", condition.message);
            let of_reason = notes.entry(&condition.reason).or_default();
            // A listener says it in several conditions.
            if !of_reason.contains(&note) {
                of_reason.push(note);
            }
        }
        let word = |(reason, notes): (&str, Vec<String>)| Self {
            about: about.clone(),
            reason: reason.to_owned(),
            action: "Accept",
            note: notes.join("; "),
        };
        notes.into_iter().map(word).collect()
    }
}

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

    /// Tells what comes, for as long as something may come.
    pub(super) async fn tell(&mut self, state: &State, words: &mut mpsc::Receiver<Word>) {
        while let Some(word) = words.recv().await {
            if self.said.may(&word, Instant::now()) {
                self.write(state, word).await;
            }
        }
    }

    async fn write(&mut self, state: &State, word: Word) {
        let Word { about: key, reason, action, mut note } = word;
        note.truncate(note.floor_char_boundary(MAX_NOTE));
        let event =
            Event { type_: EventType::Warning, reason, note: Some(note), action: action.into(), secondary: None };
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

/// What was said, by object and reason, and how often of late.
#[derive(Debug, Default)]
struct Said {
    notes: HashMap<(ObjectKey, String), (String, Instant)>,
    recent: VecDeque<Instant>,
}

impl Said {
    fn may(&mut self, word: &Word, now: Instant) -> bool {
        let place = (word.about.clone(), word.reason.clone());
        let same = |(old, at): &(String, Instant)| *old == word.note && now < *at + AGAIN;
        if self.notes.get(&place).is_some_and(same) {
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
            self.notes.insert(place, (word.note.clone(), now));
        }
        self.recent.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use weir_config::kinds::Kind;

    use super::*;
    use crate::status::{Condition, ListenerStatus};

    fn key(n: usize) -> ObjectKey {
        ObjectKey::new(Kind::HTTPRoute, "shop", n.to_string())
    }

    #[test]
    fn the_same_is_said_now_and_then_and_a_flood_is_cut() {
        let (mut said, now) = (Said::default(), Instant::now());
        let mut may = |n: usize, note: &str, at: Instant| said.may(&Word::refused(key(n), note.into()), at);
        assert!(may(0, "no", now));
        assert!(!may(0, "no", now + AGAIN / 2));
        assert!(may(0, "no, otherwise", now + AGAIN / 2));
        assert!(may(0, "no", now + 2 * AGAIN));
        let told = (0..1000).filter(|n| may(*n, "bad", now + 3 * AGAIN)).count();
        assert_eq!(told, RATE);
        assert!(may(500, "bad", now + 3 * AGAIN + Duration::from_secs(60)));
        let other = Word { reason: "HostnameConflict".into(), ..Word::refused(key(500), "bad".into()) };
        assert!(said.may(&other, now + 3 * AGAIN + Duration::from_secs(60)), "it is another reason");
    }

    #[test]
    fn each_reason_of_a_conflict_is_one_word() {
        let conflict = |type_: &str, holds: bool, reason: &str, message: &str| Condition {
            status: holds,
            ..Condition::fails(type_, reason, message)
        };
        let listener = |name: &str, conditions: Vec<Condition>| ListenerStatus {
            name: name.into(),
            conditions,
            ..ListenerStatus::default()
        };
        let lost = [
            conflict("Accepted", false, "HostnameConflict", "an older one has a.test"),
            conflict("Conflicted", true, "HostnameConflict", "an older one has a.test"),
            conflict("Programmed", false, "Invalid", "it is not accepted"),
        ];
        let status = ObjectStatus {
            conditions: vec![conflict("Accepted", false, "TenantConflict", "two tenants select it")],
            listeners: vec![
                listener("a", lost.to_vec()),
                listener("b", vec![conflict("Conflicted", false, "NoConflicts", "none")]),
            ],
            ..ObjectStatus::default()
        };
        let words = Word::conflicts(&key(0), &status);
        let told: Vec<_> = words.iter().map(|word| (&*word.reason, &*word.note)).collect();
        let expected =
            [("HostnameConflict", "listener a: an older one has a.test"), ("TenantConflict", "two tenants select it")];
        assert_eq!(told, expected);
        assert!(Word::conflicts(&key(0), &ObjectStatus::default()).is_empty());
    }
}
