//! How many files the process may have open, and what they are for: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Most connections of clients, and most UDP sessions. More would be memory that nobody planned for.
const MOST_CLIENTS: usize = 65_536;
/// Least and most idle upstream connections of a worker.
const IDLE: (usize, usize) = (256, 65_536);

/// What the files of a process are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Connections of clients.
    pub(super) clients: usize,
    /// Idle upstream connections of each worker.
    pub(super) idle: usize,
    /// UDP sessions.
    pub(super) sessions: usize,
}

/// Raises the soft limit of open files to the hard one, which needs no privilege: the soft one is often 1,024, for
/// the sake of programs that use `select`. Gives how many are allowed then.
pub(super) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return allowed(limit.current);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => allowed(limit.maximum),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            allowed(limit.current)
        }
    }
}

/// No limit is as good as the greatest.
fn allowed(limit: Option<u64>) -> u64 {
    limit.unwrap_or(u64::MAX)
}

/// An eighth for UDP sessions. Of the rest half for clients: each has an upstream connection while an exchange lasts.
/// Half for idle upstream connections, over all workers; where exchanges want those files, the oldest of them go.
pub(super) fn share(files: u64, workers: usize) -> Share {
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let sessions = (files / 8).clamp(1, MOST_CLIENTS);
    let half = (files - sessions.min(files)) / 2;
    let idle = (half / workers.max(1)).clamp(IDLE.0, IDLE.1);
    Share { clients: half.clamp(1, MOST_CLIENTS), idle, sessions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shared_by_clients_idle_connections_and_the_rest() {
        assert_eq!(share(20_000, 1), Share { clients: 8750, idle: 8750, sessions: 2500 });
        assert_eq!(share(80_000, 4), Share { clients: 35_000, idle: 8750, sessions: 10_000 });
    }

    #[test]
    fn a_share_has_bounds_whatever_the_limit() {
        assert_eq!(share(u64::MAX, 1), Share { clients: 65_536, idle: 65_536, sessions: 65_536 });
        assert_eq!(share(800, 2), Share { clients: 350, idle: 256, sessions: 100 });
        assert_eq!(share(0, 0), Share { clients: 1, idle: 256, sessions: 1 });
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        assert_eq!(raise(), allowed(getrlimit(Resource::Nofile).maximum));
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
    }
}
