//! From who a caller is to what it is to this server. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_config::bootstrap::{ServerBootstrap, ServiceAccount};

use super::identity::Principal;
use crate::scope::Role;

/// The accounts that have a part here, as the bootstrap lists them.
#[derive(Clone, Debug)]
pub struct Roles {
    listed: BTreeMap<ServiceAccount, Role>,
    sidecars: bool,
    /// Namespaces of the platform itself: an account there is listed, or has no part.
    system: Vec<String>,
}

impl Roles {
    /// Those of a bootstrap.
    pub fn new(bootstrap: &ServerBootstrap) -> Self {
        let operators = bootstrap.operators.iter().map(|account| (account.clone(), Role::Operator));
        let classes = bootstrap.classes().into_iter();
        let classes = classes.map(|class| (class.service_account, Role::Edge(Arc::from(class.name))));
        Self {
            listed: operators.chain(classes).collect(),
            sidecars: bootstrap.sidecars,
            system: bootstrap.system_namespaces.clone(),
        }
    }

    /// What `principal` is; none: it has no part here.
    ///
    /// A service account that is not listed is a sidecar of its namespace, and sees what that namespace's tenant
    /// may: nothing, as long as the namespace has none.
    pub fn of(&self, principal: &Principal) -> Option<Role> {
        let Principal::ServiceAccount(account) = principal else { return Some(Role::Anyone) };
        if let Some(role) = self.listed.get(account) {
            return Some(role.clone());
        }
        let sidecar = self.sidecars && !self.system.contains(&account.namespace);
        sidecar.then(|| Role::Sidecar(Arc::from(account.namespace.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(more: &str) -> Roles {
        let text = format!("source: {{kubernetes: {{}}}}\n{more}");
        Roles::new(&ServerBootstrap::parse(&text).unwrap())
    }

    fn of(roles: &Roles, account: &str) -> Option<Role> {
        roles.of(&Principal::ServiceAccount(account.parse().unwrap()))
    }

    const CLASSES: &str = "operators: [weir-system/oncall]\nproxyClasses:\n- {name: edge, serviceAccount: weir-system/weir-edge}\n\
                           - {name: silo, serviceAccount: acme-edge/weir-edge, gateways: ['acme-edge/*']}\n";

    #[test]
    fn a_listed_account_is_what_the_list_says() {
        let roles = roles(CLASSES);
        assert_eq!(of(&roles, "weir-system/weir-edge"), Some(Role::Edge("edge".into())));
        assert_eq!(of(&roles, "acme-edge/weir-edge"), Some(Role::Edge("silo".into())));
        assert_eq!(of(&roles, "weir-system/oncall"), Some(Role::Operator));
    }

    #[test]
    fn others_are_sidecars_of_their_namespace_and_never_of_the_platforms() {
        let roles = roles(CLASSES);
        assert_eq!(of(&roles, "acme-shop/default"), Some(Role::Sidecar("acme-shop".into())));
        assert_eq!(of(&roles, "acme-edge/other"), Some(Role::Sidecar("acme-edge".into())));
        assert_eq!(of(&roles, "weir-system/other"), None, "an unknown class");
    }

    #[test]
    fn without_sidecars_only_the_list_counts() {
        let roles = roles("sidecars: false\n");
        assert_eq!(of(&roles, "acme-shop/default"), None);
        assert_eq!(of(&roles, "weir-system/weir-edge"), Some(Role::Edge("edge".into())));
    }
}
