//! A closed loop: each connection sends its next request when it has its answer.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::link::Link;
use super::{Costs, PATIENCE, READ, Span, Target};
use crate::http::Progress;
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
    let mut next = || requests.next().map(Vec::as_slice).unwrap_or_default();
    let mut links = Vec::with_capacity(connections);
    for key in 0..connections as u64 {
        let mut link = Link::connect(target)?;
        poll.add(&link, key, Interest::Read)?;
        link.send(next())?;
        links.push(link);
    }
    let (mut ready, mut scratch) = (Vec::new(), vec![0; READ]);
    let (mut answered, mut resumed) = (0_u64, 0_u64);
    let begun = Instant::now();
    // Begin of the measured time: when, costs, answers.
    let mut from: Option<(Instant, Costs, u64, u64)> = None;
    let mut heard = begun;
    loop {
        poll.wait(Duration::from_millis(100), &mut ready)?;
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
            let link = &mut links[usize::try_from(key)?];
            if link.receive(&mut scratch)? == Progress::More {
                continue;
            }
            answered += 1;
            if sessions != Sessions::Kept {
                resumed += u64::from(link.resumed());
                *link = Link::connect(target)?;
                poll.add(&*link, key, Interest::Read)?;
            }
            link.send(next())?;
        }
    }
}
