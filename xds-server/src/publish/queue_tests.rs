use serde_json::json;
use weir_config::kinds::Kind;

use super::*;
use crate::seen::digest_of;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Plan, "", name)
}

fn digest(tenants: u64) -> Digest {
    digest_of(Kind::Plan, &json!({ "tenants": tenants }))
}

#[test]
fn an_object_is_due_once_and_no_sooner_than_it_has_settled() {
    let now = Instant::now();
    let mut queue = Queue::new(now);
    queue.add(key("a"), now);
    queue.add(key("a"), now + SETTLE / 2);
    assert_eq!((queue.next(now), queue.deadline(now)), (None, Some(now + SETTLE)));
    assert_eq!(queue.next(now + SETTLE), Some(key("a")));
    assert_eq!((queue.next(now + SETTLE), queue.len()), (None, 1));
    queue.add(key("a"), now + SETTLE);
    assert_eq!(queue.next(now + 2 * SETTLE), None, "it is being looked at");
    queue.done(key("a"), Outcome::Fine, now + 2 * SETTLE);
    assert_eq!(queue.next(now + 3 * SETTLE), Some(key("a")), "it changed meanwhile");
}

#[test]
fn what_changes_all_the_time_is_written_at_a_pace() {
    let start = Instant::now();
    let mut queue = Queue::new(start);
    let mut writes = 0;
    for tick in 0..1000u32 {
        let now = start + Duration::from_millis(10) * tick;
        queue.add(key("a"), now);
        if let Some(next) = queue.next(now) {
            writes += 1;
            queue.done(next, Outcome::Wrote(digest(u64::from(tick))), now);
        }
    }
    assert!((9..=11).contains(&writes), "{writes} in ten seconds");
}

#[test]
fn who_writes_the_same_over_and_over_slows_down_and_is_told() {
    let mut now = Instant::now();
    let mut queue = Queue::new(now);
    let (mut writes, mut told) = (0, 0);
    let end = now + Duration::from_secs(600);
    while now < end {
        queue.add(key("a"), now);
        if let Some(next) = queue.next(now) {
            writes += 1;
            told += u32::from(queue.done(next, Outcome::Wrote(digest(1)), now));
        }
        now += Duration::from_millis(100);
    }
    assert!(writes < 12, "{writes} in ten minutes");
    assert_eq!(told, 1);
}

#[test]
fn one_that_somebody_else_writes_too_never_rests_for_long() {
    let mut now = Instant::now();
    let mut queue = Queue::new(now);
    queue.add(key("a"), now);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let due = queue.deadline(now).unwrap();
        waits.push((due - now).as_secs());
        now = due;
        let next = queue.next(now).unwrap();
        queue.done(next, Outcome::Conflict, now);
    }
    assert_eq!(waits, [0, 1, 2, 4, 4, 4, 4, 4]);
}

#[test]
fn failures_wait_ever_longer_and_as_long_as_the_api_server_asks() {
    let mut now = Instant::now();
    let mut queue = Queue::new(now);
    queue.add(key("a"), now);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let due = queue.deadline(now).unwrap();
        waits.push((due - now).as_secs());
        now = due;
        let next = queue.next(now).unwrap();
        queue.done(next, Outcome::Again(Duration::from_secs(3)), now);
    }
    assert_eq!(waits[..8], [0, 3, 3, 4, 8, 16, 32, 64]);
    assert_eq!(waits[11], 300);
}

#[test]
fn a_fleet_is_written_at_a_rate() {
    let start = Instant::now();
    let mut queue = Queue::new(start);
    (0..2000).for_each(|n| queue.add_to_fill(key(&n.to_string()), start));
    let took = drain(&mut queue, start, |_, _, _| {}).as_secs_f64();
    assert!((9.5..10.0).contains(&took), "{took}");
}

#[test]
fn an_edit_does_not_wait_for_a_fleet_nor_a_fleet_for_edits() {
    let start = Instant::now();
    let mut queue = Queue::new(start);
    (0..12_003).for_each(|n| queue.add_to_fill(key(&n.to_string()), start));
    // One edit a second of something that the fleet has, and one of something new.
    let (mut made, mut waited) = (HashMap::new(), Vec::new());
    let took = drain(&mut queue, start, |queue, looked, now| {
        if let Some(at) = looked.and_then(|key| made.remove(key)) {
            waited.push(now.saturating_duration_since(at));
        }
        if made.is_empty() && waited.len() < 100 {
            for name in [format!("new-{}", waited.len()), (12_002 - waited.len()).to_string()] {
                queue.add(key(&name), now);
                made.insert(key(&name), now);
            }
        }
    });
    assert!(waited.len() >= 100 && waited.iter().all(|time| *time < 2 * SETTLE), "{waited:?}");
    assert!(took < Duration::from_secs(62), "{took:?}");
    // Edits that alone are more than the rate allows leave the fleet its share.
    (0..100).for_each(|n| queue.add_to_fill(key(&n.to_string()), start + took));
    let (mut edits, mut fleet) = (0, 0);
    drain(&mut queue, start + took, |queue, looked, now| {
        match looked {
            Some(looked) if looked.name.starts_with("edit") => edits += 1,
            _ => fleet += 1,
        }
        if fleet < 100 {
            (0..2).for_each(|_| queue.put(key(&format!("edit-{edits}-{now:?}")), Line::Changed, now));
        }
    });
    assert!(fleet >= 100 && edits > 500, "{fleet} of the fleet beside {edits} edits");
}

/// A failure does not bring what a new leader looks at before what has changed.
#[test]
fn a_failure_leaves_an_object_in_its_line() {
    let now = Instant::now();
    let mut queue = Queue::new(now);
    queue.add_to_fill(key("fleet"), now);
    let taken = queue.next(now + SETTLE).unwrap();
    queue.done(taken, Outcome::Again(Duration::ZERO), now + SETTLE);
    let later = now + Duration::from_secs(10);
    queue.add(key("edit"), later);
    assert_eq!(queue.next(later + SETTLE), Some(key("edit")));
    assert_eq!(queue.next(later + SETTLE), Some(key("fleet")));
    queue.add(key("fleet"), later);
    queue.done(key("fleet"), Outcome::Again(Duration::ZERO), later);
    assert_eq!(queue.when[&key("fleet")].0, Line::Changed, "it changed meanwhile");
}

#[test]
fn an_api_server_that_is_busy_is_asked_more_slowly_for_a_while() {
    let start = Instant::now();
    let mut queue = Queue::new(start);
    (0..100_000).for_each(|n| queue.add_to_fill(key(&n.to_string()), start));
    let mut looks = [0_u32; 60];
    for tick in 0..6000_u32 {
        let passed = Duration::from_millis(10) * tick;
        let now = start + SETTLE + passed;
        while let Some(next) = queue.next(now) {
            queue.spend();
            // For ten seconds every answer is a 429.
            let busy = (10..20).contains(&passed.as_secs());
            if busy {
                queue.press(now);
            }
            let outcome = if busy { Outcome::Again(Duration::from_secs(1)) } else { Outcome::Wrote(digest(0)) };
            queue.done(next, outcome, now);
            looks[usize::try_from(passed.as_secs()).unwrap()] += 1;
        }
    }
    assert!((195..=205).contains(&looks[9]), "{looks:?}");
    assert!(looks[15..20].iter().all(|looks| *looks < 30), "{looks:?}");
    assert!(looks[22] < 100 && (195..=205).contains(&looks[55]), "{looks:?}");
}

/// Looks at all there is, as a writer does whose API server answers at once, and says how long that took. `each`
/// hears of every look, and of every moment without one.
fn drain(queue: &mut Queue, start: Instant, mut each: impl FnMut(&mut Queue, Option<&ObjectKey>, Instant)) -> Duration {
    let mut now = start + SETTLE;
    while let Some(due) = queue.deadline(now) {
        now = due.max(now);
        while let Some(next) = queue.next(now) {
            queue.spend();
            queue.done(next.clone(), Outcome::Wrote(digest(0)), now);
            each(queue, Some(&next), now);
        }
    }
    now - start
}
