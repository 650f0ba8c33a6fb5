//! Whose usage a proxy may report: what it was given to serve.

use std::collections::BTreeSet;

use weir_config::usage::NO_TENANT;

/// Tenants that a sender of batches may report. Pure; who the sender is was found out before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them: a caller that is trusted with everything.
    Everything,
    /// Those that it was given within the retention time of batches.
    Tenants(BTreeSet<String>),
}

impl Scope {
    /// Whether a row of `tenant` is taken. Traffic of no tenant (`-`) always is.
    pub fn holds(&self, tenant: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Tenants(tenants) => tenant == NO_TENANT || tenants.contains(tenant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scope;

    #[test]
    fn a_row_is_taken_for_a_tenant_that_was_given_and_for_none() {
        let scope = Scope::Tenants(["acme".to_owned()].into());
        assert!(scope.holds("acme") && scope.holds("-"));
        assert!(!scope.holds("globex") && !scope.holds("acme2") && !scope.holds(""));
        assert!(Scope::Everything.holds("globex"));
    }
}
