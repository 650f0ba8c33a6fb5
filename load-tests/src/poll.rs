//! Readiness of many sockets on one thread, level-triggered.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;

/// Most events that one wait gives.
const EVENTS: usize = 256;

/// A set of sockets.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    ReadWrite,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN,
            Self::ReadWrite => EventFlags::IN | EventFlags::OUT,
        }
    }
}

impl Poll {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: vec![none; EVENTS] })
    }

    /// Adds a socket; events about it carry `key`. A socket leaves by being closed.
    pub(crate) fn add(&self, socket: impl AsFd, key: u64, interest: Interest) -> std::io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(key), interest.flags())?)
    }

    /// Changes what is waited for.
    pub(crate) fn change(&self, socket: impl AsFd, key: u64, interest: Interest) -> std::io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(key), interest.flags())?)
    }

    /// Waits at most `timeout` and puts the keys of sockets that are ready into `ready`.
    pub(crate) fn wait(&mut self, timeout: Duration, ready: &mut Vec<u64>) -> std::io::Result<()> {
        ready.clear();
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match epoll::wait(&self.epoll, self.events.as_mut_slice(), Some(&timeout)) {
            Ok(count) => {
                ready.extend(self.events.iter().take(count).map(|event| event.data.u64()));
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
