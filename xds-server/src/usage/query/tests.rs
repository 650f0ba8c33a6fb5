//! Plans, tried on a small store whose exact answers are known.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use weir_config::usage::Units;

use super::*;

/// What was booked: (time, tenant, amount).
type Booked = Vec<(i64, u8, u64)>;
type Sums = BTreeMap<(i64, String), Units>;

/// What a store would read for one piece, in the order of time.
fn read(booked: &Booked, kept: &Kept, piece: &Piece) -> Vec<(i64, String, Units)> {
    let (unit, from) = match piece.source {
        Source::Batches => (1, kept.batches_from_ms),
        Source::Hours => (HOUR_MS, kept.hours_from_ms),
        Source::Days => (DAY_MS, kept.days_from_ms),
    };
    let mut sums = Sums::new();
    for (ms, tenant, amount) in booked {
        let start = floor(*ms, unit);
        // Sums of hours and days are there for all of the hour or day, or not at all.
        if piece.span.holds(start) && start >= floor(from, unit) {
            sums.entry((start, format!("t{tenant}"))).or_default().add(&Units([*amount; 8]));
        }
    }
    sums.into_iter().map(|((start, tenant), units)| (start, tenant, units)).collect()
}

fn answer(booked: &Booked, kept: &Kept, question: &Question) -> (Plan, Vec<Row>) {
    let plan = plan(question, kept);
    let mut fold = Fold::new(question.by, plan.span.since_ms);
    let mut rows = Vec::new();
    for piece in &plan.pieces {
        for (start, tenant, units) in read(booked, kept, piece) {
            rows.extend(fold.add(start, &tenant, &units));
        }
    }
    rows.extend(fold.finish());
    (plan, rows)
}

fn exact(booked: &Booked, span: Span) -> BTreeMap<String, Units> {
    let mut sums: BTreeMap<String, Units> = BTreeMap::new();
    for (_, tenant, amount) in booked.iter().filter(|(ms, ..)| span.holds(*ms)) {
        sums.entry(format!("t{tenant}")).or_default().add(&Units([*amount; 8]));
    }
    sums
}

fn totals<'a>(rows: impl IntoIterator<Item = &'a Row>) -> BTreeMap<String, Units> {
    let mut sums: BTreeMap<String, Units> = BTreeMap::new();
    for row in rows {
        sums.entry(row.tenant.clone()).or_default().add(&row.units);
    }
    sums
}

fn question(by: By, since_ms: i64, until_ms: i64) -> Question {
    Question { span: Span { since_ms, until_ms }, tenant: None, by }
}

fn moment() -> impl Strategy<Value = i64> {
    // A few days, often on a boundary.
    prop_oneof![0..4 * DAY_MS, (0i64..96).prop_map(|h| h * HOUR_MS), (0i64..4).prop_map(|d| d * DAY_MS)]
}

fn booked() -> impl Strategy<Value = Booked> {
    vec((moment(), 0u8..3, 1u64..100), 0..40)
}

fn by() -> impl Strategy<Value = By> {
    prop::sample::select(&By::ALL[..])
}

/// Each kept at least as long as the one before.
fn kept() -> impl Strategy<Value = Kept> {
    (moment(), moment(), moment()).prop_map(|times| {
        let mut times = [times.0, times.1, times.2];
        times.sort_unstable();
        let [days, hours, batches] = times;
        Kept { batches_from_ms: batches, hours_from_ms: ceil(hours, HOUR_MS).min(batches), days_from_ms: days }
    })
}

fn ends(a: i64, b: i64) -> (i64, i64) {
    (a.min(b), a.max(b))
}

proptest! {
    #[test]
    fn a_span_split_anywhere_sums_to_the_whole(
        booked in booked(), by in by(), a in moment(), b in moment(), split in 0.0..1.0f64
    ) {
        let (since, until) = ends(a, b);
        let middle = since + ((until - since) as f64 * split) as i64;
        let part = |since, until| answer(&booked, &Kept::ALL, &question(by, since, until));
        let (whole, left, right) = (part(since, until), part(since, middle), part(middle, until));
        prop_assert_eq!(totals(left.1.iter().chain(&right.1)), totals(&whole.1));
        prop_assert_eq!(totals(&whole.1), exact(&booked, Span { since_ms: since, until_ms: until }));
        prop_assert!(whole.0.notes.is_empty());
        prop_assert_eq!(whole.0.span, Span { since_ms: since, until_ms: until });
    }

    #[test]
    fn what_is_answered_is_exact_for_the_span_that_is_named(
        booked in booked(), by in by(), kept in kept(), a in moment(), b in moment()
    ) {
        let (since, until) = ends(a, b);
        prop_assume!(since >= ceil(kept.days_from_ms, DAY_MS));
        let (plan, rows) = answer(&booked, &kept, &question(by, since, until));
        prop_assert!(plan.span.since_ms <= since && plan.span.until_ms >= until);
        prop_assert_eq!(totals(&rows), exact(&booked, plan.span), "{:?}", plan);
        // Wider than asked for only with a word about it, and by less than a day at either end.
        let widened = (plan.span.since_ms != since) || (plan.span.until_ms != until);
        prop_assert!(!widened || !plan.notes.is_empty());
        prop_assert!(since - plan.span.since_ms < DAY_MS && plan.span.until_ms - until < DAY_MS);
        for pair in plan.pieces.windows(2) {
            prop_assert_eq!(pair[0].span.until_ms, pair[1].span.since_ms, "{:?}", plan);
        }
    }

    #[test]
    fn rows_are_in_order_and_each_group_has_a_tenant_once(
        booked in booked(), by in by(), kept in kept(), a in moment(), b in moment()
    ) {
        let (since, until) = ends(a, b);
        let (_, rows) = answer(&booked, &kept, &question(by, since, until));
        let keys: Vec<_> = rows.iter().map(|row| (row.start_ms, &row.tenant)).collect();
        prop_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", keys);
    }
}

const DAY: i64 = 10 * DAY_MS;

fn shown(plan: &Plan) -> Vec<(Source, i64, i64)> {
    plan.pieces.iter().map(|p| (p.source, p.span.since_ms - DAY, p.span.until_ms - DAY)).collect()
}

#[test]
fn only_the_hours_that_a_span_cuts_are_read_from_batches() {
    let minute = 60_000;
    let asked = question(By::Total, DAY - 90 * minute, DAY + 2 * DAY_MS + 30 * minute);
    assert_eq!(
        shown(&plan(&asked, &Kept::ALL)),
        [
            (Source::Batches, -90 * minute, -HOUR_MS),
            (Source::Hours, -HOUR_MS, 0),
            (Source::Days, 0, 2 * DAY_MS),
            (Source::Batches, 2 * DAY_MS, 2 * DAY_MS + 30 * minute),
        ]
    );
    let hours = plan(&question(By::Hour, DAY, DAY + 2 * DAY_MS), &Kept::ALL);
    assert_eq!(shown(&hours), [(Source::Hours, 0, 2 * DAY_MS)]);
    let all = plan(&Question { span: Span::ALL, tenant: None, by: By::Total }, &Kept::ALL);
    assert_eq!(all.pieces, [Piece { source: Source::Days, span: Span::ALL }]);
}

#[test]
fn a_span_that_cannot_be_answered_exactly_is_widened_and_says_so() {
    let kept = Kept { batches_from_ms: DAY, hours_from_ms: i64::MIN, days_from_ms: i64::MIN };
    let minute = 60_000;
    let plan = plan(&question(By::Hour, DAY - 90 * minute, DAY + 30 * minute), &kept);
    assert_eq!(shown(&plan), [(Source::Hours, -2 * HOUR_MS, 0), (Source::Batches, 0, 30 * minute)]);
    assert_eq!(
        plan.notes,
        ["since is 1970-01-10T22:00:00Z instead of 1970-01-10T22:30:00Z: windows of before 1970-01-11T00:00:00Z are \
             no longer kept"]
    );
}
