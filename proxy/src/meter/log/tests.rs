use proptest::prelude::*;
use weir_config::usage::v1::{TenantUsage, UsageBatch};
use weir_config::usage::{MAX_BATCH_ENTRIES, Units};

use super::*;
use crate::meter::{Epoch, Key};

const EPOCH: Epoch = Epoch([7; 16]);

fn batch(first: u64, last: u64, started_ms: i64, tenants: std::ops::Range<u64>) -> UsageBatch {
    let entry = |n| TenantUsage { tenant: format!("t{n:06}"), units: Some((&Units([1; 8])).into()) };
    UsageBatch {
        epoch: EPOCH.0.to_vec(),
        sequence: last,
        first_sequence: first,
        started_ms,
        ended_ms: started_ms + 10_000,
        usage: tenants.map(entry).collect(),
        ..UsageBatch::default()
    }
}

fn frame(batches: Vec<UsageBatch>) -> Frame {
    let logged = batches.into_iter().map(|batch| Logged { batch, reached: Vec::new() }).collect();
    Frame { logged, ..Frame::default() }
}

fn frames(n: u64) -> (Vec<Frame>, Vec<u8>) {
    let frames: Vec<_> = (1..=n).map(|n| frame(vec![batch(n, n, 0, 0..n)])).collect();
    let bytes = frames.iter().flat_map(encode).collect();
    (frames, bytes)
}

fn found(bytes: &[u8]) -> Vec<Frame> {
    scan(bytes).frames.into_iter().map(|(_, frame)| frame).collect()
}

#[test]
fn a_tail_that_was_cut_anywhere_is_torn_and_what_is_before_it_is_whole() {
    let (all, bytes) = frames(3);
    let before = bytes.len() - encode(&all[2]).len();
    for len in before + 1..bytes.len() {
        let scan = scan(&bytes[..len]);
        assert_eq!(scan.end, End::Torn(before as u64));
        assert_eq!(scan.good(), before as u64);
        assert_eq!(scan.damage, []);
        assert_eq!(scan.frames.len(), 2);
    }
    assert_eq!(scan(&bytes).end, End::Whole);
}

#[test]
fn every_flipped_bit_costs_its_frame_and_no_other() {
    let (all, bytes) = frames(3);
    let first = encode(&all[0]).len();
    let second = first + encode(&all[1]).len();
    for bit in first * 8..second * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let scan = scan(&bytes);
        assert!(matches!(&scan.damage[..], [damage] if *damage == (first as u64..second as u64)), "bit {bit}");
        assert_eq!(scan.end, End::Whole, "a frame behind it: this is no torn tail");
        assert_eq!(found(&bytes), [all[0].clone(), all[2].clone()]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_scanned_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = scan(&bytes);
    }

    #[test]
    fn garbage_before_and_behind_hides_no_frame(before in prop::collection::vec(any::<u8>(), 0..40), behind in prop::collection::vec(any::<u8>(), 0..40)) {
        let (all, bytes) = frames(2);
        prop_assert_eq!(found(&[before, bytes, behind].concat()), all);
    }
}

fn index(batches: &[UsageBatch]) -> Index {
    let mut index = Index::default();
    for (n, batch) in batches.iter().enumerate() {
        index.take(place(n as u64 + 1), &frame(vec![batch.clone()]), &|_| None);
    }
    index.set_sent(EPOCH, 0);
    index
}

fn place(segment: u64) -> Place {
    Place { segment, offset: 0, len: 100 }
}

fn waiting(index: &Index) -> Vec<(u64, u64)> {
    index.live().map(|(key, entry)| (entry.first, key.sequence)).collect()
}

fn key(sequence: u64) -> Key {
    Key { epoch: EPOCH, sequence }
}

#[test]
fn a_merged_batch_takes_the_place_of_what_it_was_merged_from_in_any_order_of_scanning() {
    let single: Vec<_> = (1..=4).map(|n| batch(n, n, 0, 0..1)).collect();
    let mut index = index(&single);
    index.take(place(9), &frame(vec![batch(1, 3, 0, 0..1)]), &|_| None);
    assert_eq!(waiting(&index), [(1, 3), (4, 4)]);
    assert_eq!(index.dead(Some(9)), [1, 2, 3]);
    // And again, as one of several batches.
    index.take(place(10), &frame(vec![batch(1, 1, 0, 0..1), batch(2, 4, 0, 0..1)]), &|_| None);
    assert_eq!(waiting(&index), [(1, 1), (2, 4)]);
}

#[test]
fn what_may_have_been_sent_is_in_no_run() {
    let mut index = index(&[batch(1, 1, 0, 0..1), batch(2, 2, 10_000, 0..1), batch(3, 3, 20_000, 0..1)]);
    index.sending(key(1));
    let runs = index.runs();
    assert!(runs.iter().all(|run| *run.range.start() == 2), "{runs:?}");
    index.sending(key(2));
    assert_eq!(index.runs(), [], "one alone is not merged");
    let mut found = Index::default();
    found.take(place(1), &frame(vec![batch(1, 1, 0, 0..1), batch(2, 2, 10_000, 0..1)]), &|_| None);
    assert_eq!(found.runs(), [], "what an earlier process logged may have been sent");
}

#[test]
fn an_hour_is_merged_before_a_day() {
    let hour = 3_600_000;
    let index = index(&[batch(1, 1, 0, 0..1), batch(2, 2, hour, 0..1), batch(3, 3, hour + 10_000, 0..1)]);
    let ranges: Vec<_> = index.runs().into_iter().map(|run| run.range).collect();
    assert_eq!(ranges, [2..=3, 1..=3, 1..=3]);
}

#[test]
fn nothing_is_given_out_while_it_is_merged() {
    let mut index = index(&[batch(1, 1, 0, 0..1), batch(2, 2, 0, 0..1), batch(3, 3, 0, 0..1)]);
    index.begin_merge(EPOCH, 2..=3);
    assert_eq!(index.next(None).unwrap().0, key(1));
    assert_eq!(index.next(Some(key(1))), None);
    assert_eq!(index.get(key(2)), None);
    index.end_merge();
    assert_eq!(index.next(Some(key(1))).unwrap().0, key(2));
}

#[test]
fn merging_adds_up_and_shares_the_sequences_out() {
    let most = MAX_BATCH_ENTRIES as u64;
    let mut merging = Merging::default();
    // Two windows of two batches each.
    for (n, (started, tenants)) in
        [(0, 0..most), (0, most..most + 5), (10_000, 0..most), (10_000, most..most + 5)].into_iter().enumerate()
    {
        merging.add(&batch(n as u64 + 1, n as u64 + 1, started, tenants));
    }
    let merged = merging.finish();
    let told: Vec<_> =
        merged.iter().map(|b| (b.first_sequence, b.sequence, b.usage.len(), b.started_ms, b.ended_ms)).collect();
    assert_eq!(told, [(1, 1, MAX_BATCH_ENTRIES, 0, 20_000), (2, 4, 5, 0, 20_000)]);
    assert!(
        merged.iter().flat_map(|b| &b.usage).all(|entry| Units::from(entry.units.as_ref().unwrap()) == Units([2; 8]))
    );
}

#[test]
fn acknowledged_segments_are_dead_and_the_one_that_is_written_is_not() {
    let mut index = index(&[batch(1, 1, 0, 0..1), batch(2, 2, 0, 0..1)]);
    index.acknowledge(key(1));
    index.acknowledge(key(2));
    index.acknowledge(key(2));
    assert_eq!(index.dead(Some(2)), [1]);
    assert_eq!(index.acknowledged(), [key(1), key(2)]);
}

#[test]
fn what_took_the_place_of_others_goes_after_them() {
    let mut index = index(&[batch(1, 1, 0, 0..1), batch(2, 2, 0, 0..1)]);
    let both = Frame {
        logged: [frame(vec![batch(3, 3, 0, 0..1)]).logged, frame(vec![batch(4, 4, 0, 0..1)]).logged].concat(),
        ..Frame::default()
    };
    index.take(place(3), &both, &|_| None);
    index.take(place(4), &frame(vec![batch(2, 3, 0, 0..1)]), &|_| None);
    index.acknowledge(key(1));
    index.acknowledge(key(3));
    assert_eq!(index.dead(None), [1, 2], "the third segment still holds a batch that waits, and one that was merged");
    index.acknowledge(key(4));
    index.forget_segment(1);
    index.forget_segment(2);
    assert_eq!(index.dead(None), [3]);
    index.forget_segment(3);
    assert_eq!(index.dead(None), [4]);
}

#[test]
fn the_end_of_an_epoch_outlives_its_batches() {
    let last = UsageBatch { last: true, ..batch(2, 2, 0, 0..1) };
    let mut index = index(&[batch(1, 1, 0, 0..1), last, batch(3, 3, 0, 0..1)]);
    index.acknowledge(key(2));
    assert_eq!(index.dead(None), [] as [u64; 0]);
    index.acknowledge(key(1));
    assert_eq!(index.dead(None), [1, 2]);
}
