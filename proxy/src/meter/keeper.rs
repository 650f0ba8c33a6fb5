//! The thread that keeps the books of a running proxy.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::books::{Books, Earlier, Limits, Opening};
use super::disk::{Files, Overlay};
use super::ledger::Now;
use super::log::disk::Disk;
use super::{Epoch, Meter, Outbox, file};

/// Memory for batches where the disk cannot be written.
const MEMORY: u64 = 64 << 20;
/// How long the end may wait for the disk.
const FINISH: Duration = Duration::from_secs(5);

/// Closes windows as long as it is there. Dropped without [`Keeper::finish`] it leaves the open window to the
/// next start, as a kill does.
#[derive(Debug)]
pub struct Keeper {
    orders: Option<mpsc::Sender<Order>>,
    /// Hangs up when the thread has ended, and the directory is free.
    ended: mpsc::Receiver<()>,
}

#[derive(Debug)]
enum Order {
    /// Closes the open window now.
    Close(mpsc::Sender<()>),
    /// Ends the epoch.
    Finish(mpsc::Sender<()>),
}

/// A counters file of an earlier process.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    /// It cannot be read: it is kept, and not believed.
    damaged: bool,
    earlier: Earlier,
}

impl Keeper {
    /// Ends the epochs of earlier processes and begins one: counters, log and batches in `dir` (made if it is not
    /// there), in windows of `window`, of a proxy that is called `node_id`. Where `dir` cannot be written, counters
    /// and batches are in memory, which is logged and told by [`Outbox::state`].
    ///
    /// # Errors
    /// Another process uses the directory, or no thread can be had.
    pub fn start(
        dir: &Path,
        node_id: &str,
        window: Duration,
        log_bytes: u64,
        workers: usize,
    ) -> io::Result<(Arc<Meter>, Arc<Outbox>, Self)> {
        let (files, lock) = match Files::open(dir) {
            Ok((files, lock)) => (Ok(files), Some(lock)),
            Err(error) if error.kind() == ErrorKind::ResourceBusy => return Err(error),
            Err(error) => (Err(error), None),
        };
        let opened = files.as_ref().map_err(|error| format!("{}: {error}", dir.display())).and_then(|files| {
            durable(files, dir, node_id, window, log_bytes, workers)
                .map_err(|error| format!("{}: {error}", dir.display()))
        });
        let (meter, books) = match opened {
            Ok(opened) => opened,
            Err(why) => volatile(files.ok(), dir, node_id, window, log_bytes, workers, &why)?,
        };
        let outbox = books.outbox();
        let (orders, received) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        thread::Builder::new().name("weir-usage".into()).spawn(move || {
            keep(books, &received);
            drop(lock);
            drop(end);
        })?;
        Ok((meter, outbox, Self { orders: Some(orders), ended }))
    }

    /// Closes the open window now, and waits until it is logged, or cannot be.
    pub fn close(&self) {
        self.order(Order::Close);
    }

    /// Logs what was counted since the last window, with which the epoch ends. To be called when nobody counts
    /// any more: what is counted later is lost. Waits for the disk, a few seconds at most. What is acknowledged
    /// after that is still dropped from the log, until the keeper is dropped.
    pub fn finish(&self) {
        self.order(Order::Finish);
    }

    fn order(&self, order: impl FnOnce(mpsc::Sender<()>) -> Order) {
        let (done, wait) = mpsc::channel();
        if let Some(orders) = &self.orders
            && orders.send(order(done)).is_ok()
            && wait.recv_timeout(FINISH).is_err()
        {
            tracing::error!("the usage log is not written in time: what is open is left to the next start");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders = None;
        // A thread that waits for a dead disk is not waited for.
        let _ended = self.ended.recv_timeout(FINISH);
    }
}

/// The thread.
fn keep(mut books: Books, orders: &mpsc::Receiver<Order>) {
    loop {
        let wait = books.wait(now());
        let order = orders.recv_timeout(wait);
        match &order {
            Err(mpsc::RecvTimeoutError::Disconnected) => return books.put_down(),
            Ok(Order::Finish(_)) => books.finish(now()),
            // What fails is logged, counted and told; the next window is longer.
            Ok(Order::Close(_)) | Err(mpsc::RecvTimeoutError::Timeout) => drop(books.close(now(), false)),
        }
        if let Ok(Order::Close(done) | Order::Finish(done)) = order {
            let _nobody_waits = done.send(());
        }
    }
}

/// Counters and log on disk.
fn durable(
    files: &Files,
    dir: &Path,
    node_id: &str,
    window: Duration,
    log_bytes: u64,
    workers: usize,
) -> io::Result<(Arc<Meter>, Books)> {
    let found = earlier(dir)?;
    let all: Vec<_> = found.iter().map(|found| found.earlier.clone()).collect();
    let mut opening = Opening::find(Arc::new(files.clone()), Limits::new(log_bytes), node_id, &all)?;
    let length_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
    opening.recover(&all, length_ms, |one| {
        found.iter().filter(|found| found.earlier == *one).try_for_each(Found::put_away)
    })?;
    let epoch = Epoch::random();
    let meter = Arc::new(Meter::create(dir, epoch.0, workers)?);
    let mut counters = file::list(dir)?;
    counters.retain(|path| epoch_of(path) == Some(epoch.0));
    let end = Box::new(move || counters.iter().try_for_each(|path| file::remove(path)));
    Ok((Arc::clone(&meter), opening.begin(epoch, meter, window, now(), end)))
}

/// Counters and batches in memory, above what the directory holds.
fn volatile(
    files: Option<Files>,
    dir: &Path,
    node_id: &str,
    window: Duration,
    log_bytes: u64,
    workers: usize,
    why: &str,
) -> io::Result<(Arc<Meter>, Books)> {
    let limits = Limits::new(log_bytes.min(MEMORY));
    let found = if files.is_some() { earlier(dir).unwrap_or_default() } else { Vec::new() };
    let all: Vec<_> = found.iter().map(|found| found.earlier.clone()).collect();
    let under = files.map(|files| Arc::new(files) as Arc<dyn Disk>);
    let opening = match Opening::find(Arc::new(Overlay::new(under, MEMORY)), limits, node_id, &all) {
        Ok(opening) => opening,
        Err(_unreadable) => Opening::find(Arc::new(Overlay::new(None, MEMORY)), limits, node_id, &[])?,
    };
    opening.leave(&all, why);
    let meter = Arc::new(Meter::new(workers));
    let epoch = Epoch(meter.epoch());
    Ok((Arc::clone(&meter), opening.begin(epoch, meter, window, now(), Box::new(|| Ok(())))))
}

/// The counters that earlier processes left, oldest first.
fn earlier(dir: &Path) -> io::Result<Vec<Found>> {
    let mut all = Vec::new();
    for path in file::list(dir)? {
        let modified = fs::metadata(&path)?.modified()?;
        let modified_ms = millis(modified);
        let (old, damaged) = match file::read(&path) {
            Ok(old) => (old, false),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::NotFound) => {
                tracing::error!(path = %path.display(), %error, "counters of an earlier start cannot be used: they are kept");
                let Some(epoch) = epoch_of(&path) else { continue };
                (
                    file::Old { epoch, believable: false, logged_sequence: 0, sent_sequence: 0, counted: Vec::new() },
                    true,
                )
            }
            Err(error) => return Err(error),
        };
        all.push(Found { path, damaged, earlier: Earlier { old, modified_ms } });
    }
    all.sort_by_key(|found| found.earlier.modified_ms);
    Ok(all)
}

impl Found {
    /// Its epoch has ended.
    fn put_away(&self) -> io::Result<()> {
        if !self.damaged {
            return file::remove(&self.path);
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        fs::rename(&self.path, self.path.with_file_name(format!("damaged-{name}")))
    }
}

/// The epoch that a counters file is named after.
fn epoch_of(path: &Path) -> Option<[u8; 16]> {
    let (_, hex) = path.file_name()?.to_str()?.rsplit_once('-')?;
    Some(u128::from_str_radix(hex, 16).ok()?.to_be_bytes())
}

fn now() -> Now {
    Now { wall_ms: millis(SystemTime::now()), monotonic: Duration::from_nanos(crate::clock::at(Instant::now())) }
}

fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
