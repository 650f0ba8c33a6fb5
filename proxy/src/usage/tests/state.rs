//! The state machine, step by step.

use std::time::{Duration, Instant};

use weir_config::usage::v1::UsageAck;

use super::super::state::{Flight, PATIENCE, WINDOW};
use super::{ack, batch, key};
use crate::meter::Outbox;

fn log(batches: std::ops::RangeInclusive<u64>) -> Outbox {
    let outbox = Outbox::default();
    batches.for_each(|sequence| outbox.push(batch(1, sequence)));
    outbox
}

/// Sequences of all that may be sent now.
fn sent(flight: &mut Flight, log: &Outbox, now: Instant) -> Vec<u64> {
    std::iter::from_fn(|| flight.next(log, now)).map(|batch| batch.sequence).collect()
}

fn open() -> Flight {
    let mut flight = Flight::default();
    flight.begin();
    flight.opened();
    flight
}

#[test]
fn one_batch_is_offered_until_the_server_answers_and_then_a_window() {
    let (log, now, mut flight) = (log(1..=40), Instant::now(), Flight::default());
    assert_eq!(sent(&mut flight, &log, now), [0; 0], "there is no stream");
    flight.begin();
    assert_eq!(sent(&mut flight, &log, now), [1]);
    flight.opened();
    assert_eq!(sent(&mut flight, &log, now), (2..=WINDOW as u64).collect::<Vec<_>>());
    flight.receive(&ack(key(1, 5)), &log, now);
    flight.receive(&ack(key(1, 1)), &log, now);
    assert_eq!(sent(&mut flight, &log, now), [17, 18], "each acknowledgement makes room, whatever its place");
    assert_eq!(flight.overview().under_way, WINDOW);
}

#[test]
fn an_acknowledgement_is_an_answer_too() {
    let (log, now, mut flight) = (log(1..=3), Instant::now(), Flight::default());
    flight.begin();
    assert_eq!(sent(&mut flight, &log, now), [1]);
    flight.receive(&ack(key(1, 1)), &log, now);
    assert_eq!(sent(&mut flight, &log, now), [2, 3]);
    flight.opened();
    assert_eq!(flight.overview().counts.streams, 1);
}

#[test]
fn a_new_stream_sends_all_that_was_not_acknowledged_from_the_oldest_on() {
    let (log, now, mut flight) = (log(1..=4), Instant::now(), open());
    assert_eq!(sent(&mut flight, &log, now), [1, 2, 3, 4]);
    flight.receive(&ack(key(1, 2)), &log, now);
    assert!(flight.was_served());
    flight.begin();
    assert!(!flight.was_served());
    flight.opened();
    assert_eq!(sent(&mut flight, &log, now), [1, 3, 4]);
}

#[test]
fn a_strange_acknowledgement_is_counted_and_drops_nothing() {
    let (log, now, mut flight) = (log(1..=2), Instant::now(), Flight::default());
    flight.begin();
    assert_eq!(sent(&mut flight, &log, now), [1]);
    for strange in [key(1, 2), key(1, 9), key(2, 1)].map(ack) {
        flight.receive(&strange, &log, now);
    }
    flight.receive(&UsageAck { epoch: vec![1; 15], sequence: 1 }, &log, now);
    flight.receive(&UsageAck::default(), &log, now);
    assert_eq!(log.state().unacknowledged, 2);
    assert_eq!(flight.overview().counts.strange_acks, 5);
    flight.receive(&ack(key(1, 1)), &log, now);
    flight.receive(&ack(key(1, 1)), &log, now);
    assert_eq!(log.state().unacknowledged, 1, "a second acknowledgement is a strange one");
    assert_eq!(flight.overview().counts.strange_acks, 6);
}

#[test]
fn the_oldest_batch_waits_for_its_acknowledgement_so_long_and_no_longer() {
    let (log, start, mut flight) = (log(1..=3), Instant::now(), open());
    assert_eq!(flight.deadline(), None);
    sent(&mut flight, &log, start);
    let later = start + Duration::from_secs(5);
    flight.receive(&ack(key(1, 2)), &log, later);
    assert_eq!(flight.deadline(), Some(start + PATIENCE), "what is acknowledged is not the oldest");
    flight.receive(&ack(key(1, 1)), &log, later);
    assert_eq!(flight.deadline(), Some(later + PATIENCE));
    flight.receive(&ack(key(1, 3)), &log, later);
    assert_eq!(flight.deadline(), None, "nothing is on its way");
    flight.give_up();
    assert_eq!((flight.overview().connected, flight.overview().counts.given_up), (false, 1));
}

#[test]
fn epochs_follow_each_other_and_one_that_is_wholly_acknowledged_is_not_missed() {
    let (log, now, mut flight) = (log(1..=2), Instant::now(), open());
    log.push(batch(2, 1));
    let all: Vec<_> = std::iter::from_fn(|| flight.next(&log, now)).map(|b| (b.epoch[0], b.sequence)).collect();
    assert_eq!(all, [(1, 1), (1, 2), (2, 1)]);
    flight.receive(&ack(key(2, 1)), &log, now);
    log.push(batch(3, 1));
    assert_eq!(flight.next(&log, now).map(|b| b.epoch[0]), Some(3), "what is on its way is passed over");
    assert!(flight.next(&log, now).is_none());
}
