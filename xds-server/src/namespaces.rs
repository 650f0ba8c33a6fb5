//! The tenant of each namespace, as open streams ask for it: what a sidecar may see follows from it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::scope::{Role, Scope};

/// Namespaces with their tenants, and word of those that moved.
#[derive(Debug)]
pub struct Namespaces {
    tenants: RwLock<HashMap<Arc<str>, Arc<str>>>,
    moves: watch::Sender<u64>,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self { tenants: RwLock::default(), moves: watch::Sender::new(0) }
    }
}

impl Namespaces {
    /// No namespace.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tenant that a namespace belongs to; none: no tenant has it, or several claim it.
    pub fn tenant(&self, namespace: &str) -> Option<Arc<str>> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned()
    }

    /// What a caller of this role may see; none: nothing of what is served, not even that it is empty.
    pub fn scope(&self, role: &Role) -> Option<Scope> {
        match role {
            Role::Anyone => Some(Scope::Everything),
            Role::Edge(edge) => Some(Scope::Edge(Arc::clone(edge))),
            Role::Sidecar(namespace) => Some(self.tenant(namespace).map_or(Scope::Nothing, Scope::Tenant)),
            Role::Operator => None,
        }
    }

    /// Takes in whose these namespaces are now.
    pub fn set(&self, moved: impl IntoIterator<Item = (String, Option<String>)>) {
        let mut changed = false;
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        for (namespace, tenant) in moved {
            if tenants.get(namespace.as_str()).map(|tenant| &**tenant) == tenant.as_deref() {
                continue;
            }
            changed = true;
            match tenant {
                Some(tenant) => tenants.insert(namespace.into(), tenant.into()),
                None => tenants.remove(namespace.as_str()),
            };
        }
        drop(tenants);
        if changed {
            self.moves.send_modify(|moves| *moves += 1);
        }
    }

    /// Tells when some namespace has moved.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(namespace: &str, tenant: Option<&str>) -> [(String, Option<String>); 1] {
        [(namespace.to_owned(), tenant.map(ToOwned::to_owned))]
    }

    #[test]
    fn a_sidecar_sees_its_namespaces_tenant_and_nothing_without_one() {
        let namespaces = Namespaces::new();
        let sidecar = Role::Sidecar("shop".into());
        assert_eq!(namespaces.scope(&sidecar), Some(Scope::Nothing));
        namespaces.set(moved("shop", Some("acme")));
        assert_eq!(namespaces.scope(&sidecar), Some(Scope::Tenant("acme".into())));
        assert_eq!(namespaces.scope(&Role::Sidecar("shop2".into())), Some(Scope::Nothing));
        namespaces.set(moved("shop", None));
        assert_eq!(namespaces.scope(&sidecar), Some(Scope::Nothing));
    }

    #[test]
    fn other_roles_need_no_namespace_and_an_operator_sees_nothing_of_what_is_served() {
        let namespaces = Namespaces::new();
        assert_eq!(namespaces.scope(&Role::Anyone), Some(Scope::Everything));
        assert_eq!(namespaces.scope(&Role::Edge("edge".into())), Some(Scope::Edge("edge".into())));
        assert_eq!(namespaces.scope(&Role::Operator), None);
    }

    #[test]
    fn only_a_move_is_told() {
        let namespaces = Namespaces::new();
        let mut moves = namespaces.watch();
        let mut told = move || {
            let told = moves.has_changed().unwrap();
            moves.mark_unchanged();
            told
        };
        namespaces.set(moved("shop", None));
        assert!(!told());
        namespaces.set(moved("shop", Some("acme")));
        assert!(told());
        namespaces.set(moved("shop", Some("acme")));
        assert!(!told());
        namespaces.set(moved("shop", Some("globex")));
        assert!(told());
    }
}
