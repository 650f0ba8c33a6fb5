use std::sync::Arc;

use proptest::prelude::*;
use weir_config::model::Domain;

use crate::meter::Lease;
use crate::request::table::{HostTable, VirtualHostTable};

fn host(name: &str, domains: &[Domain]) -> Arc<VirtualHostTable> {
    Arc::new(VirtualHostTable {
        name: name.into(),
        tenant: Lease::nobody(),
        domains: domains.into(),
        routes: Box::default(),
    })
}

fn found<'t>(table: &'t HostTable, name: &str) -> Option<&'t str> {
    table.find(name).map(|host| &*host.name)
}

/// Every rule written out: exact, then the longest suffix with something before it, then any.
fn reference<'d>(domains: &'d [Domain], name: &str) -> Option<&'d Domain> {
    let rank = |domain: &Domain| match domain {
        Domain::Exact(text) if text == name => Some(usize::MAX),
        Domain::Suffix(text) => {
            let end = format!(".{text}");
            (name.ends_with(&end) && name.len() > end.len()).then_some(1 + text.len())
        }
        Domain::Any => Some(0),
        Domain::Exact(_) => None,
    };
    domains.iter().filter_map(|d| Some((rank(d)?, d))).max_by_key(|(rank, _)| *rank).map(|(_, d)| d)
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", ""]), 1..5).prop_map(|labels| labels.join("."))
}

fn domain() -> impl Strategy<Value = Domain> {
    prop_oneof![
        4 => name().prop_map(Domain::Exact),
        4 => name().prop_map(Domain::Suffix),
        1 => Just(Domain::Any),
    ]
}

proptest! {
    #[test]
    fn the_most_specific_domain_wins(
        domains in prop::collection::btree_set(domain(), 0..20),
        gone in prop::collection::vec(any::<bool>(), 20),
        names in prop::collection::vec(name(), 1..20),
    ) {
        let mut table = HostTable::new(7);
        let hosts: Vec<_> = domains.iter().map(|d| host(&format!("{d:?}"), std::slice::from_ref(d))).collect();
        for host in &hosts {
            prop_assert!(table.insert(host));
        }
        let before = table.clone();
        let mut left = Vec::new();
        for ((host, domain), gone) in hosts.iter().zip(&domains).zip(gone) {
            if gone { table.remove(host) } else { left.push(domain.clone()) }
        }
        let all: Vec<_> = domains.into_iter().collect();
        for name in names {
            let expected = reference(&left, &name).map(|d| format!("{d:?}"));
            prop_assert_eq!(found(&table, &name), expected.as_deref());
            let expected = reference(&all, &name).map(|d| format!("{d:?}"));
            prop_assert_eq!(found(&before, &name), expected.as_deref(), "a clone stays as it was");
        }
        prop_assert_eq!(table.is_empty(), left.is_empty());
    }
}

#[test]
fn a_domain_stays_with_its_holder() {
    let mut table = HostTable::new(1);
    let (first, second) = (
        host("first", &[Domain::Exact("a".into())]),
        host("second", &[Domain::Exact("a".into()), Domain::Exact("b".into())]),
    );
    assert!(table.insert(&first));
    assert!(!table.insert(&second));
    assert_eq!((found(&table, "a"), found(&table, "b")), (Some("first"), Some("second")));
    table.remove(&first);
    assert!(table.insert(&second), "what it lacks is put in later");
    table.remove(&first);
    assert_eq!(found(&table, "a"), Some("second"), "removing what is not there removes nobody else");
}

#[test]
fn many_hosts_lie_in_small_shards() {
    let mut table = HostTable::new(3);
    for n in 0..100_000 {
        assert!(table.insert(&host(&n.to_string(), &[Domain::Exact(format!("h{n}.example"))])));
    }
    for n in (0..100_000).step_by(997) {
        assert_eq!(found(&table, &format!("h{n}.example")), Some(n.to_string().as_str()));
    }
    assert_eq!(found(&table, "h100000.example"), None);
    assert!(table.largest_shard() < 1000, "{}", table.largest_shard());
}
