//! A closed loop: each connection, or stream of one, sends its next request when it has its answer.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::wire::{self, Wire};
use super::{Costs, PATIENCE, READ, Span, Target};
use crate::poll::{Interest, Poll};

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    /// Requests answered in the measured time, each rightly.
    pub(crate) answered: u64,
    /// Of them, on a connection that took up a TLS session.
    pub(crate) resumed: u64,
    pub(crate) elapsed: Duration,
    pub(crate) costs: Costs,
}

/// How long a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// To the end.
    Kept,
    /// For one request; whether it is to take up an earlier TLS session.
    One { resumed: bool },
}

/// Runs `connections` at once.
///
/// # Errors
/// Any wrong answer, and any connection that fails: a proxy that does so is not measured.
pub(crate) fn closed(
    target: &Target,
    connections: usize,
    sessions: Sessions,
    span: Span,
    costs: &dyn Fn() -> anyhow::Result<Costs>,
) -> anyhow::Result<Closed> {
    let mut poll = Poll::new()?;
    let mut requests = target.requests.iter().cycle();
    let mut next = || requests.next().context("a request to send");
    let mut wires = Vec::with_capacity(connections);
    for key in 0..connections as u64 {
        let mut wire = Wire::connect(target)?;
        poll.add(&wire, key, Interest::Read)?;
        for place in 0..target.protocol.places() {
            wire.send(place, next()?)?;
        }
        wire.flush()?;
        wires.push(wire);
    }
    let (mut ready, mut done, mut scratch) = (Vec::new(), Vec::new(), vec![0; READ]);
    let (mut answered, mut resumed) = (0_u64, 0_u64);
    let begun = Instant::now();
    // Begin of the measured time: when, costs, answers.
    let mut from: Option<(Instant, Costs, u64, u64)> = None;
    let mut heard = begun;
    loop {
        wire::wait(&mut poll, &wires, Duration::from_millis(100), &mut ready)?;
        let now = Instant::now();
        if ready.is_empty() {
            ensure!(now - heard < PATIENCE, "no answer for {PATIENCE:?}");
        } else {
            heard = now;
        }
        match from {
            None if now - begun >= span.warm && answered >= target.requests.len() as u64 => {
                from = Some((now, costs()?, answered, resumed));
            }
            Some((since, before, first, first_resumed)) if now - since >= span.measured => {
                let costs = costs()?.since(before);
                let (answered, resumed) = (answered - first, resumed - first_resumed);
                return Ok(Closed { answered, resumed, elapsed: now - since, costs });
            }
            _ => {}
        }
        for key in ready.iter().copied() {
            let wire = &mut wires[usize::try_from(key)?];
            wire.receive(&mut scratch, &mut done)?;
            for place in done.drain(..) {
                answered += 1;
                if sessions != Sessions::Kept {
                    resumed += u64::from(wire.resumed());
                    *wire = Wire::connect(target)?;
                    poll.add(&*wire, key, Interest::Read)?;
                }
                wire.send(place, next()?)?;
            }
            wire.flush()?;
        }
    }
}
