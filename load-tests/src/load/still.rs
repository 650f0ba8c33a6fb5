//! Without a loop: requests one after another, and connections that wait for their next.

use super::link::Link;
use super::{READ, Target};

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

/// Asks `count` requests one after another on one connection.
///
/// # Errors
/// Any wrong answer, and a connection that fails.
pub(crate) fn one_by_one(target: &Target, count: u32) -> anyhow::Result<()> {
    let mut scratch = vec![0; READ];
    let mut link = Link::connect(target)?;
    for request in target.requests.iter().cycle().take(count as usize) {
        link.send(request)?;
        link.receive_whole(&mut scratch)?;
    }
    Ok(())
}
