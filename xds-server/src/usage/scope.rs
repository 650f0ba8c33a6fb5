//! Whose usage a proxy may report: what it was given to serve.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use weir_config::usage::NO_TENANT;

/// Tenants that a sender of batches may report. Pure; who the sender is was found out before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them: a caller on this machine, as long as callers are not authenticated.
    Everything,
    /// Those that it was given within the retention time of batches.
    Tenants(BTreeSet<String>),
}

impl Scope {
    /// What the caller at `peer` may report; none is a Unix socket. Callers do not prove who they are yet, so
    /// whoever can reach the loopback address is trusted, and nobody else.
    pub fn of_caller(peer: Option<SocketAddr>) -> Self {
        match peer {
            Some(address) if !address.ip().to_canonical().is_loopback() => Self::Tenants(BTreeSet::new()),
            _ => Self::Everything,
        }
    }

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

    #[test]
    fn callers_of_this_machine_report_everything_and_others_nothing() {
        for near in [None, Some("127.0.0.1:4"), Some("[::1]:4"), Some("[::ffff:127.0.0.1]:4")] {
            let peer = near.map(|address| address.parse().unwrap());
            assert_eq!(Scope::of_caller(peer), Scope::Everything, "{near:?}");
        }
        let other = Scope::of_caller(Some("192.0.2.7:4".parse().unwrap()));
        assert!(!other.holds("acme") && other.holds("-"));
    }
}
