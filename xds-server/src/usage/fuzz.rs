//! Whatever comes over a usage stream is read without a panic, and what is taken of it is bounded: a proxy need not be
//! Weir's, nor a friend.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use prost::Message;
use weir_config::testing::soak;
use weir_config::usage::{MAX_BATCH_ENTRIES, MAX_TENANT_BYTES, Units, v1};

use super::batch::{Batch, MAX_PROXY_BYTES};
use super::book::{Applied, Entry, Plan, Taken};
use super::scope::Scope;

/// Some time in 2026.
const NOW: i64 = 1_772_359_200_000;
/// What is at the edge of what times and numbers can be.
const TIMES: &[i64] = &[i64::MIN, i64::MIN + 1, -1, 0, NOW - 1, NOW, NOW + 600_000, i64::MAX - 1, i64::MAX];
const NUMBERS: &[u64] = &[0, 1, 2, 3, 7, (1 << 63) - 2, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX];
const RETENTIONS: &[Duration] = &[Duration::ZERO, Duration::from_secs(604_800), Duration::from_secs(315_360_000)];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(&["acme", "globex", "initech", "-", "system"][..]).prop_map(str::to_owned),
        1 => select(&["", "a\0b", "a\nb", "\u{7f}", "ü漢🦀"][..]).prop_map(str::to_owned),
        1 => (250..260_usize).prop_map(|length| "x".repeat(length)),
        1 => ".{0,12}",
    ]
}

fn row() -> impl Strategy<Value = v1::TenantUsage> {
    let units = prop::option::weighted(0.9, prop::array::uniform8(select(NUMBERS)));
    (name(), units).prop_map(|(tenant, units)| v1::TenantUsage { tenant, units: units.map(|all| (&Units(all)).into()) })
}

fn message() -> impl Strategy<Value = v1::UsageBatch> {
    let epoch = prop_oneof![9 => Just(vec![7; 16]), 1 => prop::collection::vec(any::<u8>(), 0..20)];
    let proxy = prop_oneof![8 => name(), 1 => (0..4_000_usize).prop_map(|length| "p".repeat(length))];
    let rows =
        prop_oneof![20 => prop::collection::vec(row(), 0..6), 1 => Just(vec![v1::TenantUsage::default(); 5_000])];
    let numbers = (select(NUMBERS), select(NUMBERS), select(TIMES), select(TIMES));
    (epoch, proxy, rows, numbers, any::<(bool, bool)>()).prop_map(|(epoch, proxy, usage, numbers, flags)| {
        let (first_sequence, sequence, started_ms, ended_ms) = numbers;
        let (last, lost_open_window) = flags;
        v1::UsageBatch { epoch, sequence, first_sequence, proxy, started_ms, ended_ms, last, lost_open_window, usage }
    })
}

/// Messages as bytes, damaged.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<Index>(), any::<u8>(), 0..4u8);
    (message(), prop::collection::vec(edit, 1..6)).prop_map(|(message, edits)| {
        let mut bytes = message.encode_to_vec();
        for (place, byte, how) in edits {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match how {
                0 => bytes.insert(place, byte),
                1 => bytes[place] = byte,
                2 => drop(bytes.remove(place)),
                _ => bytes.truncate(place.max(1)),
            }
        }
        bytes
    })
}

/// What holds for any message.
fn check(message: &v1::UsageBatch) -> Result<Option<Batch>, TestCaseError> {
    let batch = match Batch::try_from(message) {
        Ok(batch) => batch,
        Err(error) => {
            // It is kept with the message, and logged: it repeats nothing of any length.
            let told = error.to_string();
            prop_assert!(!told.is_empty() && told.len() < 120 && !told.contains(char::is_control), "{}", told);
            return Ok(None);
        }
    };
    prop_assert!(batch.usage.len() <= MAX_BATCH_ENTRIES && batch.proxy.len() <= MAX_PROXY_BYTES);
    prop_assert!(!batch.proxy.contains(char::is_control));
    prop_assert!((1..=batch.sequence).contains(&batch.first_sequence) && i64::try_from(batch.sequence).is_ok());
    prop_assert!(batch.started_ms <= batch.ended_ms);
    for (tenant, units) in &batch.usage {
        prop_assert!((1..=MAX_TENANT_BYTES).contains(&tenant.len()) && !tenant.contains(char::is_control));
        prop_assert!(!units.is_zero());
    }
    let again = Batch::try_from(&v1::UsageBatch::from(&batch));
    prop_assert_eq!(again.as_ref(), Ok(&batch));
    Ok(Some(batch))
}

/// What several batches come to together, some of them known before, is all of what is new and nothing twice.
fn book(batches: &[Batch], known: Option<(u64, u64)>, now_ms: i64, retention: Duration) -> Result<(), TestCaseError> {
    let scope = Scope::Tenants(["acme".to_owned(), "-".to_owned()].into());
    let entries: Vec<Entry<'_>> = batches.iter().map(|batch| Entry::new(batch, &scope, now_ms, retention)).collect();
    let known = known.map(|(first, last)| Taken {
        first: i64::try_from(first).unwrap_or(i64::MAX),
        last: i64::try_from(last).unwrap_or(i64::MAX),
        digest: None,
    });
    let plan = Plan::new(&entries, &vec![known.into_iter().collect::<Vec<_>>(); entries.len()]);
    prop_assert_eq!(plan.receipts.len(), batches.len());
    let mut taken: Vec<(u64, u64)> = Vec::new();
    let mut expected: BTreeMap<&str, Units> = BTreeMap::new();
    for (n, (batch, receipt)) in batches.iter().zip(&plan.receipts).enumerate() {
        prop_assert_eq!(plan.new.contains(&n), receipt.applied == Applied::New);
        if receipt.applied != Applied::New {
            continue;
        }
        let (first, last) = (batch.first_sequence, batch.sequence);
        prop_assert!(taken.iter().all(|(from, to)| last < *from || *to < first), "{first}..{last} beside {taken:?}");
        taken.push((first, last));
        let own = batch.usage.iter().filter(|(tenant, _)| scope.holds(tenant));
        prop_assert_eq!(receipt.refused, batch.usage.len() - own.clone().count());
        own.for_each(|(tenant, units)| expected.entry(tenant.as_str()).or_default().add(units));
    }
    for sums in [&plan.hours, &plan.days] {
        let mut found: BTreeMap<&str, Units> = BTreeMap::new();
        sums.iter().for_each(|((_, tenant), units)| found.entry(tenant).or_default().add(units));
        prop_assert_eq!(&found, &expected);
    }
    Ok(())
}

#[test]
fn soak_whatever_a_proxy_reports_is_read_and_booked_without_panic() {
    let known = prop::option::of((select(NUMBERS), select(NUMBERS)));
    let all = (prop::collection::vec(message(), 1..6), known, select(&[0, NOW, NOW + 600_000][..]), select(RETENTIONS));
    soak::property(&all, |(messages, known, now_ms, retention)| {
        let mut batches = Vec::new();
        for message in &messages {
            // One epoch, so that they have to do with each other.
            batches.extend(check(message)?.filter(|batch| batch.epoch.0 == [7; 16]));
        }
        book(&batches, known.filter(|(first, last)| first <= last), now_ms, retention)
    });
}

#[test]
fn soak_no_bytes_of_a_usage_stream_make_reading_panic() {
    let bytes = prop_oneof![6 => damaged(), 1 => prop::collection::vec(any::<u8>(), 0..64)];
    soak::property(&bytes, |bytes| match v1::UsageBatch::decode(bytes.as_slice()) {
        Ok(message) => check(&message).map(drop),
        Err(_) => Ok(()),
    });
}
