use std::collections::HashMap;
use std::time::Duration;

use weir_config::usage::{Metric, Units};

use super::*;
use crate::meter::file::Old;
use crate::meter::log::Past;
use crate::meter::{Counted, Epoch, TenantId};

const WINDOW: i64 = 10_000;
const SPAN: Span = Span { started_ms: 20_000, ended_ms: 30_000 };

fn sender() -> Sender {
    Sender { epoch: Epoch([7; 16]), proxy: "edge-1".into() }
}

fn units(requests: u64) -> Units {
    let mut units = Units::ZERO;
    units[Metric::Requests] = requests;
    units
}

fn counted(incarnation: u64, tenant: &str, total: u64, logged: u64) -> Counted {
    Counted {
        incarnation,
        place: TenantId(incarnation as u32),
        tenant: tenant.into(),
        total: units(total),
        logged: units(logged),
        leaving: false,
    }
}

/// `(tenant, requests)` of each batch.
fn usage(pieces: &[Piece]) -> Vec<Vec<(String, u64)>> {
    let of = |piece: &Piece| {
        let entries = piece.logged.batch.usage.iter();
        entries.map(|e| (e.tenant.clone(), e.units.as_ref().unwrap().requests)).collect()
    };
    pieces.iter().map(of).collect()
}

#[test]
fn a_window_is_what_totals_have_beyond_what_is_logged() {
    let pieces = window(&[counted(1, "acme", 9, 4), counted(2, "globex", 3, 3)], &sender(), 5, SPAN, false);
    assert_eq!(usage(&pieces), [[("acme".to_string(), 5)]]);
    let batch = &pieces[0].logged.batch;
    assert_eq!((batch.first_sequence, batch.sequence, batch.started_ms, batch.ended_ms), (5, 5, 20_000, 30_000));
    assert_eq!(pieces[0].marks, [Mark { place: TenantId(1), incarnation: 1, totals: units(9) }]);
}

#[test]
fn an_empty_window_is_no_batch_but_the_end_of_an_epoch_that_spoke_is() {
    let idle = [counted(1, "acme", 4, 4)];
    assert_eq!(window(&idle, &sender(), 5, SPAN, false), []);
    assert_eq!(window(&idle, &sender(), 1, SPAN, true), [], "it never said anything");
    let end = window(&idle, &sender(), 5, SPAN, true);
    assert!(end[0].logged.batch.last && end[0].logged.batch.usage.is_empty());
}

#[test]
fn a_tenant_that_left_and_came_back_is_one_entry() {
    let pieces = window(&[counted(1, "acme", 9, 4), counted(8, "acme", 2, 0)], &sender(), 1, SPAN, false);
    assert_eq!(usage(&pieces), [[("acme".to_string(), 7)]]);
    assert_eq!(pieces[0].marks.len(), 2);
}

#[test]
fn many_tenants_are_several_batches_and_only_the_last_ends_the_epoch() {
    let all: Vec<_> = (1..=9000).map(|n| counted(n, &format!("t{n}"), n, 0)).collect();
    let pieces = window(&all, &sender(), 3, SPAN, true);
    let told: Vec<_> = pieces.iter().map(|p| (p.logged.batch.sequence, p.marks.len(), p.logged.batch.last)).collect();
    assert_eq!(told, [(3, 4096, false), (4, 4096, false), (5, 808, true)]);
}

fn old(believable: bool) -> Old {
    let counted = vec![counted(1, "acme", 9, 4), counted(2, "globex", 3, 3)];
    Old { epoch: [7; 16], believable, logged_sequence: 2, sent_sequence: 1, counted }
}

fn past(last_logged: u64, reached: &[(u64, u64)]) -> Past {
    let reached = reached.iter().map(|(incarnation, n)| (*incarnation, units(*n))).collect::<HashMap<_, _>>();
    Past {
        epoch: Epoch([7; 16]),
        last_logged,
        ended_ms: Some(40_000),
        ended: false,
        sent: 0,
        held_after: None,
        reached,
    }
}

#[test]
fn a_kill_between_append_and_mark_is_not_counted_again() {
    let not_marked = recover(&old(true), Some(&past(3, &[(1, 7)])), &sender(), 47_000, WINDOW);
    assert_eq!(usage(&not_marked), [[("acme".to_string(), 2)]]);
    let batch = &not_marked[0].logged.batch;
    assert_eq!((batch.sequence, batch.started_ms, batch.ended_ms, batch.last), (4, 40_000, 50_000, true));
    let marked = recover(&old(true), None, &sender(), 47_000, WINDOW);
    assert_eq!(usage(&marked), [[("acme".to_string(), 5)]], "the log may be gone: all of it was acknowledged");
    assert_eq!(marked[0].logged.batch.sequence, 3);
}

#[test]
fn recovery_that_was_done_is_not_done_again() {
    let ended = Past { ended: true, ..past(3, &[]) };
    assert_eq!(recover(&old(true), Some(&ended), &sender(), 47_000, WINDOW), []);
    assert_eq!(recover(&old(false), Some(&ended), &sender(), 47_000, WINDOW), []);
}

#[test]
fn counters_that_are_not_believed_say_that_and_no_amount() {
    let said = recover(&old(false), Some(&past(3, &[])), &sender(), 47_000, WINDOW);
    let batch = &said[0].logged.batch;
    assert!(batch.last && batch.lost_open_window && batch.usage.is_empty());
    assert!(batch.first_sequence > 1 << 32, "no batch of the epoch itself can have this key");
}

fn at(wall_ms: i64, monotonic_ms: u64) -> Now {
    Now { wall_ms, monotonic: Duration::from_millis(monotonic_ms) }
}

/// Closes windows at these times; `(started, ended)` of each.
fn spans(first: Now, closes: &[Now]) -> (Vec<(i64, i64)>, u64) {
    let mut spans = Spans::new(Duration::from_secs(10), first);
    let mut told = Vec::new();
    for now in closes {
        spans.observe(*now);
        let span = spans.span(*now, false);
        spans.commit(span);
        told.push((span.started_ms, span.ended_ms));
    }
    (told, spans.steps())
}

#[test]
fn spans_follow_each_other_on_multiples_of_the_window() {
    let (told, steps) = spans(at(103_000, 0), &[at(110_001, 7_001), at(120_002, 17_002), at(129_999, 26_999)]);
    assert_eq!(told, [(100_000, 110_000), (110_000, 120_000), (120_000, 130_000)]);
    assert_eq!(steps, 0);
}

#[test]
fn a_step_of_the_clock_moves_the_label_and_not_the_length() {
    let hour = 3_600_000;
    let (back, steps) = spans(at(hour, 0), &[at(hour + 10_000, 10_000), at(20_000, 20_000), at(30_000, 30_000)]);
    assert_eq!(back, [(hour, hour + 10_000), (10_000, 20_000), (20_000, 30_000)]);
    assert_eq!(steps, 1);
    let (forward, steps) = spans(at(0, 0), &[at(10_000, 10_000), at(hour + 20_000, 20_000)]);
    assert_eq!(forward, [(0, 10_000), (hour + 10_000, hour + 20_000)]);
    assert_eq!(steps, 1);
}

#[test]
fn windows_that_could_not_be_logged_are_one_long_one() {
    let mut spans = Spans::new(Duration::from_secs(10), at(0, 0));
    for n in 1..=5 {
        spans.observe(at(n * 10_000, n as u64 * 10_000));
    }
    assert_eq!(spans.span(at(50_000, 50_000), false), Span { started_ms: 0, ended_ms: 50_000 });
}

#[test]
fn the_last_span_ends_at_the_next_multiple() {
    let spans = Spans::new(Duration::from_secs(10), at(101_000, 0));
    assert_eq!(spans.span(at(102_000, 1_000), true), Span { started_ms: 100_000, ended_ms: 110_000 });
    assert_eq!(spans.wait(at(102_000, 0)), Duration::from_secs(8));
}

#[test]
fn small_steps_that_add_up_never_carry_the_label_away() {
    let closes: Vec<_> = (1..=50).map(|n| at(1_000_000 - n * 4_000, n as u64)).collect();
    let (told, _) = spans(at(1_000_000, 0), &closes);
    for ((started, ended), now) in told.iter().zip(&closes) {
        assert!(ended > started && (ended - now.wall_ms).abs() <= 2 * WINDOW, "{started}..{ended} at {}", now.wall_ms);
    }
}
