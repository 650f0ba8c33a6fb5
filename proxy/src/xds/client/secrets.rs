//! Secrets, of which no more are held than the bound says.

use std::collections::BTreeSet;

use weir_config::model::ResourceType;

use super::{Client, Step};
use crate::xds::change::Change;
use crate::xds::held::{Asking, Demand};
use crate::xds::refs::Key;

impl Client {
    /// Gives up secrets that are not asked for any more.
    pub(super) fn ask_for_secrets(&mut self, change: &mut Change) -> Asking {
        let asking = self.held.settle();
        for name in &asking.less {
            let key = (ResourceType::Secret, name.clone());
            self.answered.remove(&key);
            if self.drop_accepted(key.0, name, &mut BTreeSet::new()) {
                change.released.push(key);
            }
        }
        asking
    }

    /// Handshakes need these secrets, at this moment; `last_use` knows when others were last used, by the same clock.
    /// Those of which there is none are `absent`; those that must wait for others are handed back.
    pub fn demand(&mut self, names: Vec<String>, now: u64, last_use: &dyn Fn(&str) -> u64) -> (Step, Vec<String>) {
        let (mut step, mut later) = (Step::default(), Vec::new());
        let (world, answered) = (&self.world.secrets, &self.answered);
        let answered = |name: &str| answered.contains(&(ResourceType::Secret, name.to_owned()));
        let under_way = |name: &str| !world.contains_key(name) && !answered(name);
        for name in names {
            match self.held.demand(&name, now, last_use, &under_way) {
                Demand::Asked if world.contains_key(&name) || under_way(&name) => {}
                Demand::Later => later.push(name),
                Demand::Asked | Demand::Unknown => step.change.absent.push(name),
            }
        }
        let asking = self.ask_for_secrets(&mut step.change);
        if asking != Asking::default() {
            step.replies.extend(self.request(ResourceType::Secret, asking.more, asking.less));
        }
        (step, later)
    }

    /// How many secrets were fetched for handshakes, and given up for others.
    pub fn fetched(&self) -> (u64, u64) {
        (self.held.fetched, self.held.evicted)
    }

    /// Of those that were stored, keeps as many as have a place; `touched`: what stored resources refer to.
    pub(super) fn restore_secrets(&mut self, touched: BTreeSet<Key>) {
        let secrets: BTreeSet<String> =
            touched.into_iter().filter(|(kind, _)| *kind == ResourceType::Secret).map(|(_, name)| name).collect();
        secrets.iter().for_each(|name| self.held.need(name, self.refs.need(name)));
        // Those that are here keep their places, whatever their names.
        self.world.secrets.keys().for_each(|name| self.held.prefer(name));
        self.held.settle();
        let beyond: Vec<String> = self.world.secrets.keys().filter(|name| self.held.left_out(name)).cloned().collect();
        beyond.iter().for_each(|name| {
            self.drop_accepted(ResourceType::Secret, name, &mut BTreeSet::new());
        });
    }
}
