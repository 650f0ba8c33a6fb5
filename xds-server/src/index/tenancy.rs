//! Which tenant a namespace belongs to.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use weir_config::kinds::TENANT_LABEL;

use super::selector::{Labels, matches};
use super::{Few, Reverse};

/// The label that an API server gives each namespace, so that selectors can name it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// To whom a namespace belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belongs {
    /// The platform: the bootstrap lists it.
    System,
    /// The platform, because nobody else has it and `--unassigned=system` says so.
    Unassigned,
    /// One tenant.
    Tenant(String),
    /// No tenant.
    Nobody,
    /// Several tenants select it, so none has it.
    Conflict(Vec<String>),
}

/// Namespaces, and the selectors of the Tenants.
#[derive(Debug, Default)]
pub struct Tenancy {
    system: BTreeSet<String>,
    unassigned_is_system: bool,
    labels: BTreeMap<String, Labels>,
    by_label: BTreeMap<(String, String), Few<String>>,
    selectors: BTreeMap<String, LabelSelector>,
    /// Tenants by the first label that they ask for, `None` for those that ask for none, so that a
    /// changed namespace is compared with few selectors.
    by_first_label: BTreeMap<Option<(String, String)>, Few<String>>,
    /// Namespaces to the tenants that select them, whether they have them alone or not.
    selected: Reverse<String, String>,
}

impl Tenancy {
    /// Nothing but the platform's namespaces.
    pub fn new(system: &[String], unassigned_is_system: bool) -> Self {
        Self { system: system.iter().cloned().collect(), unassigned_is_system, ..Self::default() }
    }

    /// To whom `namespace` belongs. The bootstrap's word goes before every selector.
    pub fn of(&self, namespace: &str) -> Belongs {
        if self.system.contains(namespace) {
            return Belongs::System;
        }
        let tenants: Vec<&String> = self.selected.owners(&namespace.to_owned()).collect();
        match tenants.as_slice() {
            [] if self.unassigned_is_system => Belongs::Unassigned,
            [] => Belongs::Nobody,
            [one] => Belongs::Tenant((*one).clone()),
            many => Belongs::Conflict(many.iter().map(|name| (*name).clone()).collect()),
        }
    }

    /// Tenants that select `namespace`.
    pub fn selecting(&self, namespace: &str) -> Vec<String> {
        self.selected.owners(&namespace.to_owned()).cloned().collect()
    }

    /// Namespaces that `tenant` selects, whether it has them alone or not.
    pub fn selected_by(&self, tenant: &str) -> impl Iterator<Item = &String> + use<'_> {
        self.selected.keys(&tenant.to_owned())
    }

    /// Namespaces that the bootstrap lists.
    pub fn system(&self) -> impl Iterator<Item = &String> {
        self.system.iter()
    }

    /// Labels of a namespace; none if there is no such Namespace.
    pub fn labels(&self, namespace: &str) -> Option<&Labels> {
        self.labels.get(namespace)
    }

    /// Takes a Namespace in, or out.
    pub fn set_namespace(&mut self, namespace: &str, labels: Option<Labels>) {
        for label in self.labels.remove(namespace).unwrap_or_default() {
            if let Some(set) = self.by_label.get_mut(&label) {
                set.remove(namespace);
                if set.is_empty() {
                    self.by_label.remove(&label);
                }
            }
        }
        let mut affected: BTreeSet<String> = self.selecting(namespace).into_iter().collect();
        if let Some(mut labels) = labels {
            labels.insert(NAME_LABEL.into(), namespace.into());
            for (key, value) in &labels {
                let label = (key.clone(), value.clone());
                affected.extend(self.by_first_label.get(&Some(label.clone())).into_iter().flatten().cloned());
                self.by_label.entry(label).or_default().insert(namespace.into());
            }
            affected.extend(self.by_first_label.get(&None).into_iter().flatten().cloned());
            self.labels.insert(namespace.into(), labels);
        }
        for tenant in affected {
            let selects = match (self.labels.get(namespace), self.selectors.get(&tenant)) {
                (Some(labels), Some(selector)) => matches(selector, labels),
                _ => false,
            };
            let mut namespaces = self.selected_by(&tenant).cloned().collect::<BTreeSet<_>>();
            if selects {
                namespaces.insert(namespace.into());
            } else {
                namespaces.remove(namespace);
            }
            self.selected.set(&tenant, namespaces);
        }
    }

    /// Takes a Tenant in, with its selector or the default one, or out. Answers with the
    /// namespaces that it gained or lost.
    pub fn set_tenant(&mut self, tenant: &str, selector: Option<Option<LabelSelector>>) -> Vec<String> {
        if let Some(old) = self.selectors.remove(tenant) {
            let first = first_label(&old);
            if let Some(set) = self.by_first_label.get_mut(&first) {
                set.remove(tenant);
                if set.is_empty() {
                    self.by_first_label.remove(&first);
                }
            }
        }
        let mut namespaces = BTreeSet::new();
        if let Some(selector) = selector {
            let selector = selector.unwrap_or_else(|| LabelSelector {
                match_labels: Some([(TENANT_LABEL.to_owned(), tenant.to_owned())].into()),
                ..LabelSelector::default()
            });
            let first = first_label(&selector);
            let selects = |namespace: &&String| self.labels.get(*namespace).is_some_and(|l| matches(&selector, l));
            namespaces = match &first {
                Some(label) => self.by_label.get(label).into_iter().flatten().filter(selects).cloned().collect(),
                None => self.labels.keys().filter(selects).cloned().collect(),
            };
            self.by_first_label.entry(first).or_default().insert(tenant.into());
            self.selectors.insert(tenant.into(), selector);
        }
        self.selected.set(&tenant.to_owned(), namespaces)
    }
}

fn first_label(selector: &LabelSelector) -> Option<(String, String)> {
    selector.match_labels.iter().flatten().next().map(|(key, value)| (key.clone(), value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Option<Labels> {
        Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn selector(text: &str) -> Option<Option<LabelSelector>> {
        Some(Some(serde_json::from_str(text).unwrap()))
    }

    #[test]
    fn a_namespace_belongs_to_the_one_tenant_that_selects_it() {
        let mut tenancy = Tenancy::new(&["weir-system".into()], false);
        tenancy.set_namespace("shop", labels(&[(TENANT_LABEL, "acme"), ("tier", "web")]));
        assert_eq!(tenancy.of("shop"), Belongs::Nobody);
        assert_eq!(tenancy.set_tenant("acme", Some(None)), ["shop"]);
        assert_eq!(tenancy.of("shop"), Belongs::Tenant("acme".into()));
        tenancy.set_tenant("web", selector(r#"{"matchExpressions":[{"key":"tier","operator":"Exists"}]}"#));
        assert_eq!(tenancy.of("shop"), Belongs::Conflict(vec!["acme".into(), "web".into()]));
        tenancy.set_namespace("shop", labels(&[("tier", "web")]));
        assert_eq!(tenancy.of("shop"), Belongs::Tenant("web".into()));
        tenancy.set_namespace("shop", None);
        assert_eq!(tenancy.of("shop"), Belongs::Nobody);
    }

    #[test]
    fn no_selector_takes_a_namespace_of_the_platform() {
        let mut tenancy = Tenancy::new(&["weir-system".into()], true);
        tenancy.set_tenant("greedy", selector("{}"));
        tenancy.set_namespace("weir-system", labels(&[]));
        tenancy.set_namespace("other", labels(&[]));
        assert_eq!(tenancy.of("weir-system"), Belongs::System);
        assert_eq!(tenancy.of("other"), Belongs::Tenant("greedy".into()));
        tenancy.set_tenant("greedy", selector(r#"{"matchLabels":{"kubernetes.io/metadata.name":"third"}}"#));
        assert_eq!(tenancy.of("other"), Belongs::Unassigned);
    }
}
