//! Without a loop: requests one after another, and connections that wait for their next.

use super::link::Link;
use super::{READ, Target};

/// Open connections; dropped, they close.
pub(crate) struct Held {
    _links: Vec<Link>,
}

/// Opens `count` connections, one after another, and asks one request on each.
///
/// # Errors
/// Any wrong answer, and any connection that fails.
pub(crate) fn hold(target: &Target, count: usize) -> anyhow::Result<Held> {
    let mut scratch = vec![0; READ];
    let mut links = Vec::with_capacity(count);
    for request in target.requests.iter().cycle().take(count) {
        let mut link = Link::connect(target)?;
        link.send(request)?;
        link.receive_whole(&mut scratch)?;
        links.push(link);
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
