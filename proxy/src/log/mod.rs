//! Access log: one JSON line an exchange, in the words that operators know from Envoy.
//!
//! A worker formats into a buffer of its own; one thread takes the buffers and writes them. A
//! worker never waits for the sink: when its buffer is full, lines are dropped and counted.

mod format;
mod json;
#[cfg(test)]
mod tests;
mod time;

pub use format::Entry;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What a worker may hold that is not written yet; beyond it lines are dropped.
const BUFFER_BYTES: usize = 1024 * 1024;
/// From here on the writer is woken at once.
const HURRY_BYTES: usize = 128 * 1024;
/// Otherwise lines wait this long for company.
const GATHER: Duration = Duration::from_millis(250);

/// The access log of a process.
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
}

struct Shared {
    workers: Box<[Mutex<Vec<u8>>]>,
    dropped: AtomicU64,
    /// A buffer is filling up: do not gather.
    hurry: AtomicBool,
    stop: AtomicBool,
    /// Rounds of the writer: begun, and ended with all that lay in the buffers written.
    rounds: Mutex<Rounds>,
    round_ended: Condvar,
}

#[derive(Default)]
struct Rounds {
    begun: u64,
    ended: u64,
}

impl AccessLog {
    /// To standard output, for worker threads `0..workers`.
    ///
    /// # Errors
    /// The writer's thread cannot be started.
    pub fn stdout(workers: usize) -> io::Result<Self> {
        Self::to(workers, Box::new(io::stdout()))
    }

    /// Appended to a file, which is made if it is not there.
    ///
    /// # Errors
    /// The file cannot be opened, or the writer's thread not be started.
    pub fn file(workers: usize, path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Self::to(workers, Box::new(file))
    }

    /// To any sink. It may block: the workers do not wait for it.
    ///
    /// # Errors
    /// The writer's thread cannot be started.
    pub fn to(workers: usize, sink: Box<dyn Write + Send>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            workers: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            dropped: AtomicU64::new(0),
            hurry: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            rounds: Mutex::default(),
            round_ended: Condvar::new(),
        });
        let theirs = shared.clone();
        let writer = thread::Builder::new().name("access-log".into()).spawn(move || theirs.run(sink))?;
        Ok(Self { shared, writer })
    }

    /// Writes an exchange down. Its line is in the sink within about a quarter of a second, unless
    /// the sink stalls.
    pub fn write(&self, worker: usize, entry: &Entry<'_>) {
        let Some(buffer) = self.shared.workers.get(worker) else { return };
        // The worker's own: only the writer takes it besides, for as long as a swap lasts.
        let mut buffer = lock(buffer);
        if buffer.len() >= BUFFER_BYTES {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("weir_access_log_dropped_lines").increment(1);
            return;
        }
        let before = buffer.len();
        entry.format(&mut buffer);
        let after = buffer.len();
        drop(buffer);
        if before < HURRY_BYTES && after >= HURRY_BYTES {
            self.shared.hurry.store(true, Ordering::Release);
            self.writer.thread().unpark();
        } else if before == 0 {
            self.writer.thread().unpark();
        }
    }

    /// Lines dropped because the sink stalled.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all that was written before is in the sink, at most `limit`; true if it is.
    pub fn flush(&self, limit: Duration) -> bool {
        let shared = &self.shared;
        let rounds = lock(&shared.rounds);
        // The round under way may have passed a buffer already: the next one has not.
        let wanted = rounds.begun + 1;
        shared.hurry.store(true, Ordering::Release);
        self.writer.thread().unpark();
        let waited = shared.round_ended.wait_timeout_while(rounds, limit, |r| r.ended < wanted);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for AccessLog {
    /// Writes what is left. A sink that stalls does not hold the process: its thread is left behind.
    fn drop(&mut self) {
        self.flush(Duration::from_secs(2));
        self.shared.stop.store(true, Ordering::Release);
        self.writer.thread().unpark();
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl Shared {
    /// The writer's thread: sleeps until there is something, gathers, writes.
    fn run(&self, mut sink: Box<dyn Write + Send>) {
        let mut spare = Vec::with_capacity(HURRY_BYTES);
        while !self.stop.load(Ordering::Acquire) {
            self.gather();
            let round = {
                let mut rounds = lock(&self.rounds);
                rounds.begun += 1;
                rounds.begun
            };
            let mut wrote = false;
            for buffer in &self.workers {
                std::mem::swap(&mut *lock(buffer), &mut spare);
                wrote |= !spare.is_empty();
                if !spare.is_empty() && sink.write_all(&spare).and_then(|()| sink.flush()).is_err() {
                    let lines = spare.iter().filter(|b| **b == b'\n').count() as u64;
                    self.dropped.fetch_add(lines, Ordering::Relaxed);
                    metrics::counter!("weir_access_log_dropped_lines").increment(lines);
                }
                spare.clear();
            }
            lock(&self.rounds).ended = round;
            self.round_ended.notify_all();
            if !wrote && !self.stop.load(Ordering::Acquire) && !self.hurry.load(Ordering::Acquire) {
                thread::park();
            }
        }
    }

    /// Waits for company, unless somebody is in a hurry.
    fn gather(&self) {
        let until = Instant::now() + GATHER;
        while !self.hurry.swap(false, Ordering::AcqRel) && !self.stop.load(Ordering::Acquire) {
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => thread::park_timeout(left),
                _ => return,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
