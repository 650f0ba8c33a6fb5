//! What proxies make of Gateways: `Programmed` holds once one of them has acknowledged the listener as it is now.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weir_config::kinds::ObjectKey;

use super::{Condition, ObjectStatus, ROUTE_PROGRAMMED};
use crate::ads::Acknowledged;

/// For how long a listener still counts as served though no proxy has its newest form: proxies that take a change in
/// or connect anew make no status flap.
pub const HOLD: Duration = Duration::from_secs(10);

/// Versions of each xDS Listener as it is now: one for each form that it has.
pub type Current = BTreeMap<String, Vec<String>>;

/// What proxies make of one xDS Listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// A proxy serves it.
    Served,
    /// None has it yet: a sentence.
    Pending(String),
    /// None has it, for proxies refuse it: a sentence.
    Refused(String),
}

/// What proxies make of each Listener at this moment.
pub fn serving(listener: &str, heard: &Acknowledged, current: &Current) -> Serving {
    let versions = current.get(listener).map_or(&[][..], Vec::as_slice);
    let have = |version: &String| heard.listeners.get(listener).and_then(|counts| counts.get(version));
    if versions.iter().any(|version| have(version).is_some_and(|count| *count > 0)) {
        return Serving::Served;
    }
    if let Some(refused) =
        heard.refused.iter().find(|refused| refused.name == listener && refused.type_name == "Listener")
    {
        let others =
            if refused.proxies == 1 { "a proxy refuses".into() } else { format!("{} proxies refuse", refused.proxies) };
        return Serving::Refused(format!("{others} it: {}", refused.message));
    }
    Serving::Pending(match heard.proxies {
        0 => "no proxy is connected".into(),
        1 => "the one proxy that is connected has not acknowledged it yet".into(),
        proxies => format!("none of the {proxies} proxies that are connected has acknowledged it yet"),
    })
}

/// What is shown of Listeners: [`serving`], without the moments in which proxies change over.
#[derive(Debug)]
pub struct Board {
    began: Instant,
    shown: BTreeMap<String, Shown>,
}

#[derive(Debug)]
struct Shown {
    serving: Serving,
    /// Since when no proxy has it, while it is shown as served.
    lacking: Option<Instant>,
}

impl Board {
    /// Of a replica that leads since `now`, and has heard of nobody yet.
    pub fn new(now: Instant) -> Self {
        Self { began: now, shown: BTreeMap::new() }
    }

    /// What is shown of a Listener; none: it is too early to say.
    pub fn serving(&self, listener: &str) -> Option<&Serving> {
        self.shown.get(listener).map(|shown| &shown.serving)
    }

    /// Takes in what proxies say and answers whether anything is shown differently since.
    pub fn update(&mut self, heard: &Acknowledged, current: &Current, now: Instant) -> bool {
        let mut changed = false;
        self.shown.retain(|name, _| current.contains_key(name));
        for name in current.keys() {
            let fresh = serving(name, heard, current);
            let Some(shown) = self.shown.get_mut(name) else {
                // A new leader hears of proxies one after the other.
                if fresh == Serving::Served || now >= self.began + HOLD {
                    self.shown.insert(name.clone(), Shown { serving: fresh, lacking: None });
                    changed = true;
                }
                continue;
            };
            let holds = shown.serving == Serving::Served && matches!(fresh, Serving::Pending(_));
            if holds {
                let since = *shown.lacking.get_or_insert(now);
                if now < since + HOLD {
                    continue;
                }
            }
            shown.lacking = None;
            if shown.serving != fresh {
                shown.serving = fresh;
                changed = true;
            }
        }
        changed
    }
}

/// What proxies refuse, by the object that it comes of; of a Gateway, by listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals(pub BTreeMap<(ObjectKey, Option<String>), String>);

impl Refusals {
    fn of(&self, key: &ObjectKey, section: Option<&str>) -> Option<&String> {
        self.0.get(&(key.clone(), section.map(ToOwned::to_owned)))
    }
}

/// Adds to a status what proxies say. False: it is too early to say.
pub fn overlay<'a>(
    key: &ObjectKey,
    status: &mut ObjectStatus,
    serving: impl Fn(&str) -> Option<&'a Serving>,
    refusals: &Refusals,
) -> bool {
    for parent in &mut status.parents {
        if let Some(problem) = refusals.of(key, None) {
            parent.conditions.retain(|condition| condition.type_ != ROUTE_PROGRAMMED);
            parent.conditions.push(Condition::fails(ROUTE_PROGRAMMED, "Refused", problem.clone()));
        }
    }
    let mut pending = None;
    for listener in &mut status.listeners {
        let refused = refusals.of(key, Some(&listener.name));
        let Some(programmed) = listener.conditions.iter_mut().find(|c| c.type_ == "Programmed" && c.status) else {
            continue;
        };
        for place in &listener.served_by {
            let Some(serving) = serving(&place.listener) else { return false };
            match serving {
                Serving::Served => {}
                Serving::Pending(why) => {
                    *programmed = Condition::fails("Programmed", "Pending", why.clone());
                    pending = Some(why.clone());
                }
                Serving::Refused(why) => *programmed = Condition::fails("Programmed", "Invalid", why.clone()),
            }
        }
        if let Some(problem) = refused.filter(|_| programmed.status) {
            *programmed = Condition::fails("Programmed", "Invalid", problem.clone());
        }
    }
    let served = |c: &Condition| c.type_ == "Programmed" && c.status;
    let any = status.listeners.iter().any(|listener| listener.conditions.iter().any(served));
    let own = status.conditions.iter_mut().find(|c| c.type_ == "Programmed" && c.status);
    if let Some(own) = own.filter(|_| !any) {
        *own = match pending {
            Some(why) => Condition::fails("Programmed", "Pending", why),
            None => Condition::fails("Programmed", "Invalid", "proxies refuse every listener"),
        };
    }
    true
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
