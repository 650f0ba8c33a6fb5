//! Which secrets are asked for, of those that accepted resources refer to: as many as the bound says. Pure: moments
//! are numbers that grow.
//!
//! Up to the bound all are asked for as soon as something refers to them, by name. Beyond it, those that handshakes
//! demand take the places of those that no handshake has used for longest. What clusters refer to is always asked
//! for, and takes no place: a connection to an endpoint does not wait for its certificate.

use std::collections::{BTreeMap, BTreeSet};

/// Why a secret is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing refers to it.
    None,
    /// Listeners do: it can wait for a handshake.
    OnDemand,
    /// A cluster does.
    Always,
}

/// What became of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It is asked for.
    Asked,
    /// All places are taken by secrets that are on their way.
    Later,
    /// Nothing refers to it.
    Unknown,
}

/// A change of what is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// To be asked for from now on.
    pub more: Vec<String>,
    /// No longer.
    pub less: Vec<String>,
}

/// The secrets.
#[derive(Debug)]
pub struct Held {
    most: usize,
    always: BTreeSet<String>,
    /// Those with a place, and the last use that is known of each. The true one may be later.
    held: BTreeMap<String, u64>,
    /// The same by use.
    by_use: BTreeSet<(u64, String)>,
    left_out: BTreeSet<String>,
    /// As the server was told.
    asked: BTreeSet<String>,
    changed: BTreeSet<String>,
    /// Demands that took a place.
    pub(super) fetched: u64,
    /// Places that were taken for them.
    pub(super) evicted: u64,
}

impl Held {
    /// Places for so many; at least one.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            always: BTreeSet::new(),
            held: BTreeMap::new(),
            by_use: BTreeSet::new(),
            left_out: BTreeSet::new(),
            asked: BTreeSet::new(),
            changed: BTreeSet::new(),
            fetched: 0,
            evicted: 0,
        }
    }

    /// Why a secret is wanted from now on.
    pub fn need(&mut self, name: &str, need: Need) {
        if need != Need::OnDemand {
            self.left_out.remove(name);
            self.give_up(name);
        }
        if need != Need::Always {
            self.always.remove(name);
        }
        match need {
            Need::None => {}
            Need::OnDemand => {
                if !self.held.contains_key(name) {
                    self.left_out.insert(name.to_owned());
                }
            }
            Need::Always => {
                self.always.insert(name.to_owned());
            }
        }
        self.changed.insert(name.to_owned());
    }

    /// Gives a secret one of the places that are free, before others.
    pub fn prefer(&mut self, name: &str) {
        if self.held.len() < self.most && self.left_out.remove(name) {
            self.take_place(name.to_owned(), 0);
        }
    }

    /// A handshake needs a secret. `last_use` knows when each was last used; `under_way` those that were asked for and
    /// have not come, whose places are not taken from them.
    pub fn demand(
        &mut self,
        name: &str,
        now: u64,
        last_use: &dyn Fn(&str) -> u64,
        under_way: &dyn Fn(&str) -> bool,
    ) -> Demand {
        if self.always.contains(name) || self.held.contains_key(name) {
            return Demand::Asked;
        }
        if !self.left_out.contains(name) {
            return Demand::Unknown;
        }
        if self.held.len() >= self.most {
            let Some(oldest) = self.oldest(last_use, under_way) else { return Demand::Later };
            self.give_up(&oldest);
            self.left_out.insert(oldest);
            self.evicted += 1;
        }
        self.left_out.remove(name);
        self.take_place(name.to_owned(), now);
        self.fetched += 1;
        Demand::Asked
    }

    /// Whether it is asked for.
    pub fn asked(&self, name: &str) -> bool {
        self.asked.contains(name)
    }

    /// Whether it is referred to, and waits for a handshake to need it.
    pub fn left_out(&self, name: &str) -> bool {
        self.left_out.contains(name)
    }

    /// All that are asked for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.asked.iter().map(String::as_str)
    }

    /// Gives places that are free to those that have none, by name, and says what is to be told to the server.
    pub fn settle(&mut self) -> Asking {
        while self.held.len() < self.most
            && let Some(name) = self.left_out.pop_first()
        {
            self.take_place(name, 0);
        }
        let mut asking = Asking::default();
        for name in std::mem::take(&mut self.changed) {
            if self.always.contains(&name) || self.held.contains_key(&name) {
                if self.asked.insert(name.clone()) {
                    asking.more.push(name);
                }
            } else if self.asked.remove(&name) {
                asking.less.push(name);
            }
        }
        asking
    }

    /// The one that was not used for longest. What is known of uses is brought up to date on the way, only as far as
    /// it may matter.
    fn oldest(&mut self, last_use: &dyn Fn(&str) -> u64, under_way: &dyn Fn(&str) -> bool) -> Option<String> {
        let mut waits = Vec::new();
        let found = loop {
            let Some((known, name)) = self.by_use.pop_first() else { break None };
            let used = last_use(&name);
            if used > known {
                self.held.insert(name.clone(), used);
                self.by_use.insert((used, name));
            } else if under_way(&name) {
                waits.push((known, name));
            } else {
                self.by_use.insert((known, name.clone()));
                break Some(name);
            }
        };
        self.by_use.extend(waits);
        found
    }

    fn take_place(&mut self, name: String, now: u64) {
        self.by_use.insert((now, name.clone()));
        self.changed.insert(name.clone());
        self.held.insert(name, now);
    }

    fn give_up(&mut self, name: &str) {
        if let Some((name, used)) = self.held.remove_entry(name) {
            self.changed.insert(name.clone());
            self.by_use.remove(&(used, name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(most: usize, names: &[&str]) -> (Held, Asking) {
        let mut held = Held::new(most);
        names.iter().for_each(|name| held.need(name, Need::OnDemand));
        let asking = held.settle();
        (held, asking)
    }

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn demand(held: &mut Held, name: &str, now: u64, uses: &[(&str, u64)]) -> Demand {
        let last_use = |name: &str| uses.iter().find(|(used, _)| *used == name).map_or(0, |(_, at)| *at);
        held.demand(name, now, &last_use, &|_| false)
    }

    #[test]
    fn within_the_bound_all_are_asked_for_and_beyond_it_the_first_by_name() {
        assert_eq!(held(3, &["b", "c", "a"]).1, Asking { more: texts(&["a", "b", "c"]), less: vec![] });
        let (held, asking) = held(2, &["b", "c", "a"]);
        assert_eq!(asking, Asking { more: texts(&["a", "b"]), less: vec![] });
        assert!(held.left_out("c") && !held.asked("c"));
    }

    #[test]
    fn a_demand_takes_the_place_of_what_was_not_used_for_longest() {
        let (mut held, _) = held(2, &["a", "b", "c", "d"]);
        assert_eq!(demand(&mut held, "c", 5, &[("a", 3), ("b", 2)]), Demand::Asked);
        assert_eq!(held.settle(), Asking { more: texts(&["c"]), less: texts(&["b"]) });
        // `a` was used again meanwhile, which is found out only now.
        assert_eq!(demand(&mut held, "d", 9, &[("a", 8), ("c", 6)]), Demand::Asked);
        assert_eq!(held.settle(), Asking { more: texts(&["d"]), less: texts(&["c"]) });
        assert_eq!((held.fetched, held.evicted), (2, 2));
        assert_eq!(demand(&mut held, "a", 10, &[]), Demand::Asked);
        assert_eq!(demand(&mut held, "nobody", 10, &[]), Demand::Unknown);
        assert_eq!(held.settle(), Asking::default());
    }

    #[test]
    fn what_is_on_its_way_keeps_its_place() {
        let (mut held, _) = held(1, &["a", "b"]);
        assert_eq!(held.demand("b", 1, &|_| 0, &|name| name == "a"), Demand::Later);
        assert_eq!(held.settle(), Asking::default());
        assert_eq!(held.demand("b", 2, &|_| 0, &|_| false), Demand::Asked);
    }

    #[test]
    fn a_place_that_is_free_is_given_to_the_next() {
        let (mut held, _) = held(1, &["a", "b"]);
        held.need("a", Need::None);
        assert_eq!(held.settle(), Asking { more: texts(&["b"]), less: texts(&["a"]) });
    }

    #[test]
    fn what_a_cluster_needs_takes_no_place() {
        let (mut held, _) = held(1, &["a", "b"]);
        held.need("b", Need::Always);
        held.need("z", Need::Always);
        assert_eq!(held.settle(), Asking { more: texts(&["b", "z"]), less: vec![] });
        assert!(held.asked("a"));
        held.need("b", Need::OnDemand);
        assert_eq!(held.settle(), Asking { more: vec![], less: texts(&["b"]) });
    }

    #[test]
    fn what_is_preferred_comes_before_the_first_by_name() {
        let mut held = Held::new(1);
        held.need("a", Need::OnDemand);
        held.need("b", Need::OnDemand);
        held.prefer("b");
        assert_eq!(held.settle(), Asking { more: texts(&["b"]), less: vec![] });
    }
}
