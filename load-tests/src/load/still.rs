//! Without a loop: requests one after another, and connections that wait for their next.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::link::Link;
use super::wire::{Request, Wire};
use super::{PATIENCE, READ, Target};
use crate::poll::{Interest, Poll};

/// Open connections; dropped, they close.
pub(crate) struct Held {
    _links: Vec<Link>,
}

/// Connections that are opened at once.
pub(crate) const AT_ONCE: usize = 64;

/// Opens `count` connections, some at once, and asks one request on each.
///
/// # Errors
/// Any wrong answer, and any connection that fails.
pub(crate) fn hold(target: &Target, count: usize) -> anyhow::Result<Held> {
    let mut scratch = vec![0; READ];
    let mut links: Vec<Link> = Vec::with_capacity(count);
    let mut requests = target.requests.iter().cycle();
    while links.len() < count {
        let from = links.len();
        for request in requests.by_ref().take(AT_ONCE.min(count - from)) {
            let Request::Text(request) = request else { anyhow::bail!("only connections of HTTP/1.1 wait") };
            let mut link = Link::connect(target)?;
            link.send(request)?;
            links.push(link);
        }
        for link in &mut links[from..] {
            link.receive_whole(&mut scratch)?;
        }
    }
    Ok(Held { _links: links })
}

/// Asks requests one after another on one connection: `warm` of them, then `counted` between two calls of `count`.
///
/// # Errors
/// Any wrong answer, and a connection that fails.
pub(crate) fn one_by_one(
    target: &Target,
    warm: u32,
    counted: u32,
    count: &mut dyn FnMut(bool) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut ready, mut done, mut scratch) = (Vec::new(), Vec::new(), vec![0; READ]);
    let mut wire = Wire::connect(target)?;
    let mut poll = Poll::new()?;
    poll.add(&wire, 0, Interest::Read)?;
    let requests = target.requests.iter().cycle().take((warm + counted) as usize);
    for (n, request) in requests.enumerate() {
        if n == warm as usize {
            count(true)?;
        }
        wire.send(0, request)?;
        wire.flush()?;
        let deadline = Instant::now() + PATIENCE;
        while done.pop().is_none() {
            ensure!(Instant::now() < deadline, "no answer for {PATIENCE:?}");
            poll.wait(Duration::from_millis(100), &mut ready)?;
            wire.receive(&mut scratch, &mut done).context("one request after another")?;
        }
    }
    count(false)
}
