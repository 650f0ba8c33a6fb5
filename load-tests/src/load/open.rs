//! An open loop: requests are sent when they are due, whether or not earlier ones were answered.
//!
//! A latency counts from when the request was due, so that a proxy that stalls pays for every request
//! that was due meanwhile (no coordinated omission).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::schedule::Schedule;
use super::wire::{self, Wire};
use super::{Costs, PATIENCE, READ, Span, Target};
use crate::histogram::Histogram;
use crate::poll::{Interest, Poll};

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// From due to answered.
    pub(crate) latency: Histogram,
    /// From due to sent, where a connection was free: what the generator itself was late.
    pub(crate) late: Histogram,
    pub(crate) costs: Costs,
}

/// Offers `rate` requests a second over `connections`, and as many places as each of them has.
///
/// # Errors
/// Any wrong answer, and any connection that fails.
pub(crate) fn open(
    target: &Target,
    rate: f64,
    connections: usize,
    span: Span,
    costs: &dyn Fn() -> anyhow::Result<Costs>,
) -> anyhow::Result<Open> {
    ensure!(rate > 0.0, "a rate above zero");
    // A sleep ends by default up to 50 µs late.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let mut poll = Poll::new()?;
    let mut wires = Vec::with_capacity(connections);
    for key in 0..connections as u64 {
        let wire = Wire::connect(target)?;
        poll.add(&wire, key, Interest::Read)?;
        wires.push(wire);
    }
    // A place's number is its connection's, then its own there, so that connections take turns.
    let each = target.protocol.places();
    let places = connections * each;
    let mut since = vec![Instant::now(); places];
    let mut requests = target.requests.iter().cycle();
    let mut free: Vec<usize> =
        (0..each).flat_map(|at| (0..connections).map(move |key| key * each + at)).rev().collect();
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    let mut schedule = Schedule::new(rate);
    let mut result = Open { latency: Histogram::default(), late: Histogram::default(), costs: Costs::default() };
    let (mut ready, mut done, mut scratch) = (Vec::new(), Vec::new(), vec![0; READ]);
    let begun = Instant::now();
    let (from, to) = (begun + span.warm, begun + span.warm + span.measured);
    let mut before = None;
    let mut due = begun + schedule.next().context("a schedule ends")?;
    loop {
        let now = Instant::now();
        if before.is_none() && now >= from {
            before = Some(costs()?);
        }
        while due <= now && due < to {
            if !free.is_empty() && due >= from {
                result.late.record(now - due);
            }
            waiting.push_back(due);
            due = begun + schedule.next().context("a schedule ends")?;
        }
        while let Some(place) = if waiting.is_empty() { None } else { free.pop() } {
            since[place] = waiting.pop_front().context("a request waits")?;
            let wire = &mut wires[place / each];
            wire.send(place % each, requests.next().context("a request to send")?)?;
            wire.flush()?;
        }
        if due >= to && waiting.is_empty() && free.len() == places {
            result.costs = costs()?.since(before.unwrap_or_default());
            return Ok(result);
        }
        ensure!(now < to + PATIENCE, "{} requests not answered {PATIENCE:?} after the end", places - free.len());
        let pause = if due < to { due.saturating_duration_since(Instant::now()) } else { Duration::from_millis(100) };
        wire::wait(&mut poll, &wires, pause, &mut ready)?;
        for key in ready.iter().copied() {
            let key = usize::try_from(key)?;
            wires[key].receive(&mut scratch, &mut done)?;
            for place in done.drain(..).map(|at| key * each + at) {
                if since[place] >= from {
                    result.latency.record(since[place].elapsed());
                }
                free.push(place);
            }
        }
    }
}
