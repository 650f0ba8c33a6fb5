//! Which objects a report shows: of ten thousand tenants nobody reads all, and what is wrong comes first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_config::kinds::ObjectKey;

use super::report::{Count, ObjectReport};
use super::{ObjectStatus, unmet};

/// Objects, and proxies, that a report shows where nothing else is said.
pub const USUAL: usize = 500;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Only this tenant's objects.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Only this kind, by its name.
    #[serde(default)]
    pub kind: Option<String>,
    /// So many objects of each kind, and so many proxies; default: [`USUAL`].
    #[serde(default)]
    pub limit: Option<usize>,
}

impl Selection {
    /// All there is.
    pub fn all() -> Self {
        Self { limit: Some(usize::MAX), ..Self::default() }
    }

    /// So many of each.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(USUAL)
    }

    /// The objects to show, those first of which something is wrong, in order of their keys; and how many there
    /// are of each kind. `tenant_of` says whose an object is.
    pub fn select<'a>(
        &self,
        objects: impl Iterator<Item = (&'a ObjectKey, &'a ObjectStatus)> + Clone,
        tenant_of: impl Fn(&ObjectKey) -> Option<String>,
    ) -> (Vec<ObjectReport>, BTreeMap<String, Count>) {
        let asked = objects.filter(|(key, _)| {
            self.kind.as_deref().is_none_or(|kind| kind == key.kind.name())
                && self.tenant.as_ref().is_none_or(|tenant| tenant_of(key).as_ref() == Some(tenant))
        });
        let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
        let mut chosen: BTreeMap<&ObjectKey, &ObjectStatus> = BTreeMap::new();
        let mut rest = Vec::new();
        for (key, status) in asked {
            let count = counts.entry(key.kind.name()).or_default();
            count.total += 1;
            let wrong = !unmet(status).is_empty();
            count.wrong += usize::from(wrong);
            if !wrong {
                // Of those that are well no more can be shown.
                if count.total - count.wrong <= self.limit() {
                    rest.push((key, status));
                }
            } else if count.shown < self.limit() {
                count.shown += 1;
                chosen.insert(key, status);
            }
        }
        for (key, status) in rest {
            let count = counts.entry(key.kind.name()).or_default();
            if count.shown < self.limit() {
                count.shown += 1;
                chosen.insert(key, status);
            }
        }
        let reports = chosen.into_iter().map(|(key, status)| ObjectReport::new(key, status)).collect();
        (reports, counts.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect())
    }
}

#[cfg(test)]
mod tests {
    use weir_config::kinds::Kind;

    use super::*;
    use crate::status::Condition;

    fn world() -> BTreeMap<ObjectKey, ObjectStatus> {
        let status = |well: bool| {
            let condition = if well { Condition::holds } else { Condition::fails };
            ObjectStatus { conditions: vec![condition("Accepted", "Why", String::new())], ..ObjectStatus::default() }
        };
        let tenants = (0..10).map(|n| (ObjectKey::new(Kind::Tenant, "", format!("t{n}")), status(n != 7)));
        let plans = (0..3).map(|n| (ObjectKey::new(Kind::Plan, "", format!("p{n}")), status(true)));
        tenants.chain(plans).collect()
    }

    fn names(selection: &Selection) -> (Vec<String>, BTreeMap<String, Count>) {
        let world = world();
        let (reports, counts) = selection.select(world.iter(), |key| Some(key.name.clone()));
        (reports.into_iter().map(|report| report.name).collect(), counts)
    }

    #[test]
    fn what_is_wrong_is_shown_before_what_is_well_and_the_rest_is_counted() {
        let (shown, counts) = names(&Selection { limit: Some(2), ..Selection::default() });
        assert_eq!(shown, ["p0", "p1", "t0", "t7"]);
        assert_eq!(counts["Tenant"], Count { total: 10, wrong: 1, shown: 2 });
        assert_eq!(counts["Plan"], Count { total: 3, wrong: 0, shown: 2 });
        assert_eq!(names(&Selection::all()).0.len(), 13);
    }

    #[test]
    fn a_kind_and_a_tenant_are_asked_for() {
        let asked = Selection { kind: Some("Tenant".into()), tenant: Some("t3".into()), limit: None };
        assert_eq!(names(&asked).0, ["t3"]);
        assert_eq!(names(&Selection { kind: Some("Gateway".into()), ..asked }).0, [""; 0]);
    }
}
