//! What the engine counts of itself: connections, and responses by class and flag. Each worker has
//! cells of its own, which no other thread writes; a scrape adds them up.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::ended::{End, Refusal};
use super::flag::Flag;

/// Classes of status codes, by their first digit; the first is for exchanges that got no answer.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counters of a process.
#[derive(Debug)]
pub struct Stats(Box<[Cells]>);

/// Counters of a worker. Aligned, so that no two workers write to one cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Cells {
    connections: AtomicU64,
    ended: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    http2_ended: [AtomicU64; End::ALL.len()],
    sessions_refused: AtomicU64,
    sessions_shed: AtomicU64,
    connects: AtomicU64,
    connect_failures: AtomicU64,
    retries: AtomicU64,
    retries_refused: AtomicU64,
    copies: AtomicU64,
    copies_dropped: AtomicU64,
    responses: [[AtomicU64; CLASSES.len()]; Flag::ALL.len()],
}

/// Sums over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections of clients that were accepted.
    pub connections: u64,
    /// Those of them that are open.
    pub active: u64,
    /// Those that got no further than their TLS handshake, or that no filter chain takes, by the reason.
    pub refused: Vec<(&'static str, u64)>,
    /// Connections of HTTP/2 that ended, by the reason.
    pub http2_ended: Vec<(&'static str, u64)>,
    /// Datagrams of new clients of UDP that were lost, because there were too many sessions.
    pub sessions_refused: u64,
    /// Sessions of UDP that ended so that a new client could have one.
    pub sessions_shed: u64,
    /// Connections to endpoints that were opened.
    pub upstream_connections: u64,
    /// Connects to endpoints that failed.
    pub upstream_connect_failures: u64,
    /// Requests that were sent again by a retry policy.
    pub retries: u64,
    /// Those that were not, because their cluster had too many retries under way.
    pub retries_refused: u64,
    /// Copies of requests that were sent to mirrors.
    pub copies: u64,
    /// Those that were not begun, or given up, because they could not keep up.
    pub copies_dropped: u64,
    /// Exchanges by class of their status (`2xx`) and Envoy's response flag (`-` for none).
    pub responses: Vec<(&'static str, &'static str, u64)>,
}

impl Totals {
    /// Connections that were refused for this reason, a value of its label.
    pub fn refused(&self, reason: &str) -> u64 {
        of(&self.refused, reason)
    }

    /// Connections of HTTP/2 that ended for this reason, a value of its label.
    pub fn http2_ended(&self, reason: &str) -> u64 {
        of(&self.http2_ended, reason)
    }
}

fn of(counts: &[(&str, u64)], reason: &str) -> u64 {
    counts.iter().filter(|(name, _)| *name == reason).map(|(_, count)| count).sum()
}

impl Stats {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Cells::new()).collect())
    }

    /// A worker's cells.
    pub(crate) fn of(&self, worker: usize) -> &Cells {
        &self.0[worker]
    }

    /// Sums over all workers.
    pub fn totals(&self) -> Totals {
        let each = |cell: &dyn Fn(&Cells) -> &AtomicU64| self.0.iter().map(|cells| cell(cells).load(Relaxed)).sum();
        let sum = |cell: fn(&Cells) -> &AtomicU64| -> u64 { each(&cell) };
        let mut responses = Vec::new();
        for (flag, name) in Flag::ALL.iter().enumerate() {
            for (class, class_name) in CLASSES.iter().enumerate() {
                let count = self.0.iter().map(|cells| cells.responses[flag][class].load(Relaxed)).sum();
                if count > 0 {
                    responses.push((*class_name, name.as_str(), count));
                }
            }
        }
        // Ended first: a connection that ends meanwhile is then still counted as open, never twice as ended.
        let ended = sum(|cells| &cells.ended);
        let connections = sum(|cells| &cells.connections);
        Totals {
            connections,
            active: connections.saturating_sub(ended),
            refused: Refusal::ALL
                .map(|reason| (reason.as_str(), each(&|cells| &cells.refused[reason as usize])))
                .into(),
            http2_ended: End::ALL.map(|end| (end.as_str(), each(&|cells| &cells.http2_ended[end as usize]))).into(),
            sessions_refused: sum(|cells| &cells.sessions_refused),
            sessions_shed: sum(|cells| &cells.sessions_shed),
            upstream_connections: sum(|cells| &cells.connects),
            upstream_connect_failures: sum(|cells| &cells.connect_failures),
            retries: sum(|cells| &cells.retries),
            retries_refused: sum(|cells| &cells.retries_refused),
            copies: sum(|cells| &cells.copies),
            copies_dropped: sum(|cells| &cells.copies_dropped),
            responses,
        }
    }
}

impl Cells {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            connections: zero(),
            ended: zero(),
            refused: array::from_fn(|_| zero()),
            http2_ended: array::from_fn(|_| zero()),
            sessions_refused: zero(),
            sessions_shed: zero(),
            connects: zero(),
            connect_failures: zero(),
            retries: zero(),
            retries_refused: zero(),
            copies: zero(),
            copies_dropped: zero(),
            responses: array::from_fn(|_| array::from_fn(|_| zero())),
        }
    }

    /// One more, by the only thread that writes.
    fn add(cell: &AtomicU64) {
        cell.store(cell.load(Relaxed) + 1, Relaxed);
    }

    pub(crate) fn connection(&self) {
        Self::add(&self.connections);
    }

    pub(crate) fn connection_ended(&self) {
        Self::add(&self.ended);
    }

    pub(crate) fn connection_refused(&self, why: Refusal) {
        Self::add(&self.refused[why as usize]);
    }

    pub(crate) fn http2_ended(&self, why: End) {
        Self::add(&self.http2_ended[why as usize]);
    }

    pub(crate) fn session_refused(&self) {
        Self::add(&self.sessions_refused);
    }

    pub(crate) fn session_shed(&self) {
        Self::add(&self.sessions_shed);
    }

    pub(crate) fn upstream_connect(&self, well: bool) {
        Self::add(if well { &self.connects } else { &self.connect_failures });
    }

    pub(crate) fn retry(&self) {
        Self::add(&self.retries);
    }

    pub(crate) fn retry_refused(&self) {
        Self::add(&self.retries_refused);
    }

    pub(crate) fn copy(&self) {
        Self::add(&self.copies);
    }

    pub(crate) fn copy_dropped(&self) {
        Self::add(&self.copies_dropped);
    }

    pub(crate) fn response(&self, status: u16, flag: Flag) {
        let class = usize::from(status / 100).min(CLASSES.len() - 1);
        Self::add(&self.responses[flag as usize][class]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_added_up() {
        let stats = Stats::new(2);
        stats.of(0).connection();
        stats.of(1).connection();
        stats.of(1).connection_ended();
        stats.of(0).response(200, Flag::None);
        stats.of(1).response(204, Flag::None);
        stats.of(1).response(429, Flag::RateLimited);
        stats.of(1).response(0, Flag::DownstreamConnectionTermination);
        let totals = stats.totals();
        assert_eq!((totals.connections, totals.active), (2, 1));
        assert_eq!(totals.responses, [("2xx", "-", 2), ("4xx", "RL", 1), ("none", "DC", 1)]);
    }
}
