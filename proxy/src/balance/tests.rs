use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::{Tries, pick};
use crate::request::cluster::{ClusterSlot, ClusterTable, EndpointTable};

fn address(n: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], n))
}

fn cluster(weights: &[u32]) -> ClusterSlot {
    let endpoints =
        (1..).zip(weights).map(|(n, weight)| EndpointTable { address: address(n), weight: *weight }).collect();
    let slot = ClusterSlot::new(1, "c", 0);
    slot.state.store(ClusterTable::new(Duration::from_secs(1), endpoints).into());
    slot
}

fn choose(slot: &ClusterSlot, tried: &[SocketAddr]) -> Option<SocketAddr> {
    let tries = Tries { failed: tried.to_vec(), ..Tries::default() };
    pick(slot, &slot.state.load(), &tries).map(|e| e.address)
}

#[test]
fn whoever_served_a_client_serves_it_again_and_takes_no_turn() {
    let slot = cluster(&[1, 1, 1]);
    let prefer = |n: u16, failed: &[SocketAddr]| {
        let tries = Tries { failed: failed.to_vec(), prefer: Some(address(n)), ..Tries::default() };
        pick(&slot, &slot.state.load(), &tries).map(|e| e.address)
    };
    for _ in 0..5 {
        assert_eq!(prefer(2, &[]), Some(address(2)));
    }
    assert_eq!(choose(&slot, &[]), Some(address(1)), "turns are as they were");
    assert_ne!(prefer(2, &[address(2)]), Some(address(2)), "it has failed");
    assert!(prefer(9, &[]).is_some(), "it is gone: another serves");
}

#[test]
fn an_unknown_cluster_and_an_empty_one_have_no_endpoint() {
    assert_eq!(choose(&ClusterSlot::new(1, "c", 0), &[]), None);
    assert_eq!(choose(&cluster(&[]), &[]), None);
}

#[test]
fn what_failed_is_not_chosen_again() {
    let slot = cluster(&[1, 1, 1]);
    let first = choose(&slot, &[]).unwrap();
    let second = choose(&slot, &[first]).unwrap();
    let third = choose(&slot, &[first, second]).unwrap();
    assert_ne!(first, second);
    assert!(![first, second].contains(&third));
    assert_eq!(choose(&slot, &[first, second, third]), None);
}

#[test]
fn another_try_goes_to_another_endpoint_where_there_is_one() {
    let slot = cluster(&[1, 1]);
    let mut tries = Tries { prefer: Some(address(1)), ..Tries::default() };
    let pick = |tries: &Tries| pick(&slot, &slot.state.load(), tries).map(|e| e.address);
    assert_eq!(pick(&tries), Some(address(1)));
    for _ in 0..3 {
        tries.next_try(Some(address(1)));
        assert_eq!(pick(&tries), Some(address(2)));
    }
    tries.next_try(Some(address(2)));
    assert!(pick(&tries).is_some(), "where all failed once, one has another chance");
    tries.failed = vec![address(1), address(2)];
    assert_eq!(pick(&tries), None);
}

#[test]
fn turns_go_on_when_endpoints_swap() {
    let slot = cluster(&[1, 1]);
    let first = choose(&slot, &[]).unwrap();
    let same = slot.state.load_full();
    slot.state.store(ClusterTable::new(same.connect_timeout, same.endpoints.clone()).into());
    assert_ne!(choose(&slot, &[]).unwrap(), first);
}

#[test]
fn shares_are_exact_across_threads() {
    let slot = cluster(&[3, 1]);
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..1000).filter(|_| choose(&slot, &[]) == Some(address(1))).count()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), 3000);
}

proptest! {
    #[test]
    fn shares_are_exact_over_a_period(weights in prop::collection::vec(1u32..9, 1..7), start in 0usize..50) {
        let slot = cluster(&weights);
        for _ in 0..start {
            choose(&slot, &[]);
        }
        let sum: u32 = weights.iter().sum();
        let mut counts = BTreeMap::new();
        for _ in 0..sum {
            *counts.entry(choose(&slot, &[]).unwrap()).or_insert(0u32) += 1;
        }
        for (n, weight) in (1..).zip(&weights) {
            prop_assert_eq!(counts.get(&address(n)), Some(weight));
        }
    }
}
