//! Whatever is sent, in whatever order and how often: hours and days are the sum of it, once.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use weir_config::testing::soak;

use super::*;
use crate::usage::span::floor;

type Sums = BTreeMap<(i64, String), Units>;

/// What three proxies logged: windows, some of them merged, that follow each other without a gap.
fn logged(random: &mut StdRng) -> Vec<Batch> {
    let names = ["-", "acme", "globex", "ü'\"", "initech", "outsider"];
    let mut batches = Vec::new();
    for epoch in 0..3 {
        let (mut sequence, mut started_ms) = (0, TEN - random.random_range(DAY_MS..2 * DAY_MS));
        for _ in 0..random.random_range(1..8) {
            let first_sequence = sequence + 1;
            sequence = if random.random_bool(0.2) { sequence + random.random_range(2..5) } else { first_sequence };
            let ended_ms = started_ms + random.random_range(1..2 * HOUR_MS);
            let amount = |random: &mut StdRng| match random.random_range(0..20) {
                0 => u64::MAX,
                1 => i64::MAX as u64,
                _ => random.random_range(0..1000),
            };
            let mut usage = BTreeMap::new();
            for name in names.iter().filter(|_| random.random_bool(0.5)).collect::<Vec<_>>() {
                let units = Units(std::array::from_fn(|_| amount(random)));
                if !units.is_zero() {
                    usage.insert((*name).to_owned(), units);
                }
            }
            batches.push(Batch { first_sequence, sequence, started_ms, ended_ms, usage, ..batch(epoch, 1, &[]) });
            started_ms = ended_ms;
        }
    }
    batches
}

/// The sums of what is in scope, and not beyond what a column holds.
fn naive(batches: &[Batch], scope: &Scope, length: i64) -> Sums {
    let mut sums = Sums::new();
    for batch in batches {
        for (tenant, units) in batch.usage.iter().filter(|(tenant, _)| scope.holds(tenant)) {
            let sum = sums.entry((floor(batch.started_ms, length), tenant.clone())).or_default();
            sum.add(units);
            sum.0 = sum.0.map(|amount| amount.min(i64::MAX as u64));
        }
    }
    sums
}

fn as_sums(rows: Vec<UsageRow>) -> Sums {
    rows.into_iter().map(|row| ((row.start_ms, row.tenant), row.units)).collect()
}

async fn hold(seed: u64, database: &Database) {
    let mut random = StdRng::seed_from_u64(seed);
    let batches = logged(&mut random);
    let scope = Scope::Tenants(["acme", "globex", "ü'\"", "initech"].map(str::to_owned).into());
    // Everything at least once, in no order, and in groups of any size.
    let mut sent: Vec<&Batch> = batches.iter().collect();
    sent.extend((0..random.random_range(0..20)).filter_map(|_| batches.choose(&mut random)).collect::<Vec<_>>());
    sent.shuffle(&mut random);
    let stores = [database.store(), database.store()];
    let mut rest = sent.as_slice();
    let mut new = BTreeSet::new();
    while !rest.is_empty() {
        let (group, after) = rest.split_at(random.random_range(1..=rest.len().min(6)));
        rest = after;
        let incoming: Vec<_> = group.iter().map(|batch| Incoming { batch, scope: &scope }).collect();
        let receipts = stores.choose(&mut random).unwrap().apply_all(&incoming, NOW).await.unwrap();
        for (batch, receipt) in group.iter().zip(receipts) {
            let first_time = new.insert((batch.epoch, batch.sequence));
            assert_eq!(receipt.applied, if first_time { Applied::New } else { Applied::Duplicate });
        }
    }
    for store in &stores {
        let all = Query { limit: u32::MAX, ..everything() };
        assert_eq!(as_sums(store.hours(&all).await.unwrap()), naive(&batches, &scope, HOUR_MS));
        assert_eq!(as_sums(store.days(&all).await.unwrap()), naive(&batches, &scope, DAY_MS));
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_any_order_gives_the_sum_on_sqlite() {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| soak::seeds(|seed| runtime.block_on(hold(seed, &Database::sqlite()))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_any_order_gives_the_sum_on_postgres() {
    let _server = Postgres::shared();
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| soak::seeds(|seed| runtime.block_on(hold(seed, &Database::postgres()))));
}
