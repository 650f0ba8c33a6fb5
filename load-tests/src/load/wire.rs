//! A connection of the generator, of either protocol.

use std::os::fd::{AsFd, BorrowedFd};

use std::time::Duration;

use anyhow::bail;

use super::http2::{Call, Session};
use super::link::Link;
use super::{Protocol, Target};
use crate::http::Progress;
use crate::poll::Poll;

/// A request, as its protocol has it.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Text(Vec<u8>),
    Call(Box<Call>),
}

/// A connection with places for requests: one in HTTP/1.1, many in HTTP/2.
pub(super) enum Wire {
    One(Link),
    Many(Box<Session>),
}

impl Wire {
    /// Connects.
    pub(super) fn connect(target: &Target) -> anyhow::Result<Self> {
        Ok(match target.protocol {
            Protocol::Http1 => Self::One(Link::connect(target)?),
            Protocol::Http2 { streams } => Self::Many(Box::new(Session::connect(target, streams)?)),
        })
    }

    /// Begins a request at a place that is free. In HTTP/2 it may wait for [`Self::flush`].
    pub(super) fn send(&mut self, place: usize, request: &Request) -> anyhow::Result<()> {
        match (self, request) {
            (Self::One(link), Request::Text(text)) => link.send(text),
            (Self::Many(session), Request::Call(call)) => session.send(place, call),
            (Self::One(_), Request::Call(_)) | (Self::Many(_), Request::Text(_)) => {
                bail!("a request of another protocol")
            }
        }
    }

    /// Writes what was begun.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Self::One(_) => Ok(()),
            Self::Many(session) => session.flush(),
        }
    }

    /// Takes what has come; places that have their responses are added to `done`.
    pub(super) fn receive(&mut self, scratch: &mut [u8], done: &mut Vec<usize>) -> anyhow::Result<()> {
        match self {
            Self::One(link) => {
                if link.receive(scratch)? == Progress::Done {
                    done.push(0);
                }
                Ok(())
            }
            Self::Many(session) => session.receive(done),
        }
    }

    /// Whether something has been read that [`Self::receive`] is still to take: whoever writes in HTTP/2 reads too, and
    /// the socket does not become ready for it again.
    fn heard(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Many(session) => session.heard(),
        }
    }

    /// Whether the handshake took up an earlier TLS session; HTTP/2 is measured on kept connections alone.
    pub(super) fn resumed(&self) -> bool {
        match self {
            Self::One(link) => link.resumed(),
            Self::Many(_) => false,
        }
    }
}

/// Waits until there is something to take at a wire, and says at which; `wires` are known to `poll` by their indices.
pub(super) fn wait(poll: &mut Poll, wires: &[Wire], longest: Duration, ready: &mut Vec<u64>) -> anyhow::Result<()> {
    let heard = wires.iter().any(Wire::heard);
    poll.wait(if heard { Duration::ZERO } else { longest }, ready)?;
    if heard {
        let more = (0..).zip(wires).filter(|(_, wire)| wire.heard()).map(|(key, _)| key);
        let more: Vec<u64> = more.filter(|key| !ready.contains(key)).collect();
        ready.extend(more);
    }
    Ok(())
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::One(link) => link.as_fd(),
            Self::Many(session) => session.as_fd(),
        }
    }
}
