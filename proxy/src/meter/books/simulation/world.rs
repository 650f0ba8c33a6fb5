//! Directories, the processes on them, and what happens to both.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use weir_config::usage::Units;
use weir_config::usage::v1::UsageBatch;

use super::counters::{File, SimCounters};
use super::disk::{Platter, SimDisk};
use super::fate::Fate;
use super::server::Server;
use crate::meter::books::{Books, Earlier, Limits, Opening};
use crate::meter::disk::Overlay;
use crate::meter::ledger::{Counters, Now};
use crate::meter::log::disk::Disk;
use crate::meter::{Epoch, Key, Outbox};

const WINDOW: Duration = Duration::from_secs(10);
/// A disk that fails once in a hundred appends may fail whenever it is asked.
const FOREVER: u32 = u32::MAX;

/// What may happen beside work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Kill,
    Full,
    Power,
    Copy,
    Snapshot,
}

/// A usage directory.
#[derive(Debug)]
struct Directory {
    id: u64,
    platter: Arc<Mutex<Platter>>,
    files: Vec<Arc<Mutex<File>>>,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    books: Books,
    outbox: Arc<Outbox>,
    counters: SimCounters,
    cursor: Option<Key>,
    /// Its counters and batches are in memory.
    volatile: bool,
}

/// Everything.
pub(super) struct World {
    pub(super) rng: StdRng,
    boot: u64,
    now: Now,
    directories: Vec<Directory>,
    made: u64,
    network: Vec<UsageBatch>,
    acks: Vec<Key>,
    server: Server,
    counted: BTreeMap<String, Units>,
    by_epoch: BTreeMap<Epoch, u64>,
    /// What may be missing of an epoch: what power, or memory, took.
    allowed: BTreeMap<Epoch, u64>,
    /// Epochs that were counted in memory.
    in_memory: BTreeSet<Epoch>,
    /// A copy or an old snapshot was used: batches may be kept aside.
    forked: bool,
    limits: Limits,
}

impl World {
    pub(super) fn new(mut rng: StdRng) -> Self {
        let limits = Limits { log_bytes: rng.random_range(600..6000), segment_bytes: rng.random_range(100..800) };
        let now = Now { wall_ms: rng.random_range(0..1 << 40), monotonic: Duration::from_secs(1) };
        let mut world = Self {
            rng,
            boot: 1,
            now,
            directories: Vec::new(),
            made: 0,
            network: Vec::new(),
            acks: Vec::new(),
            server: Server::default(),
            counted: BTreeMap::new(),
            by_epoch: BTreeMap::new(),
            allowed: BTreeMap::new(),
            in_memory: BTreeSet::new(),
            forked: false,
            limits,
        };
        world.add(Platter::default(), Vec::new());
        world
    }

    fn add(&mut self, platter: Platter, files: Vec<File>) {
        self.made += 1;
        let files = files.into_iter().map(|file| Arc::new(Mutex::new(file))).collect();
        self.directories.push(Directory {
            id: self.made,
            platter: Arc::new(Mutex::new(platter)),
            files,
            process: None,
        });
    }

    /// Something happens.
    pub(super) fn step(&mut self, troubles: &[Trouble]) {
        let at = self.rng.random_range(0..self.directories.len());
        if self.directories[at].process.is_none() {
            let left = self.trouble(troubles, Trouble::Kill, 0.3).then(|| self.rng.random_range(0..60));
            return self.start(at, left.unwrap_or(FOREVER));
        }
        match self.rng.random_range(0..100) {
            0..30 => self.count(at),
            30..34 => self.leave(at),
            34..55 => self.close(at, false),
            55..70 => self.send(at),
            70..78 => self.deliver(),
            78..86 => self.acknowledge(),
            86..88 => self.reconnect(at),
            88..91 if self.trouble(troubles, Trouble::Full, 1.0) => self.fill(at),
            91..94 if self.trouble(troubles, Trouble::Kill, 1.0) => self.kill_soon(at),
            94 => self.set_clock(),
            95 => self.finish(at),
            96..98 if self.trouble(troubles, Trouble::Power, 1.0) => self.lose_power(),
            98 if self.trouble(troubles, Trouble::Copy, 0.5) => self.copy(at),
            99 if self.trouble(troubles, Trouble::Snapshot, 0.5) => self.restore(at),
            _ => self.count(at),
        }
        self.bury(at);
    }

    fn trouble(&mut self, troubles: &[Trouble], one: Trouble, chance: f64) -> bool {
        troubles.contains(&one) && self.rng.random_bool(chance)
    }

    /// A process starts, and may be killed after so many steps.
    fn start(&mut self, at: usize, left: u32) {
        let epoch = Epoch(self.rng.random());
        let (seed, boot, now) = (self.rng.random(), self.boot, self.now);
        let fate = Fate::new(left);
        let directory = &mut self.directories[at];
        let id = directory.id;
        let earlier: Vec<_> = directory
            .files
            .iter()
            .map(|file| file.lock().unwrap_or_else(PoisonError::into_inner))
            .map(|file| Earlier { old: file.old(boot, id), modified_ms: file.modified_ms })
            .collect();
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(Arc::clone(&directory.platter), fate.clone(), seed));
        let files = &mut directory.files;
        let opened = Opening::find(Arc::clone(&disk), self.limits, "edge", &earlier).and_then(|mut opening| {
            opening.recover(&earlier, 10_000, |one| {
                fate.io()?;
                files.retain(|file| file.lock().unwrap_or_else(PoisonError::into_inner).epoch.0 != one.old.epoch);
                Ok(())
            })?;
            fate.io()?;
            Ok(opening)
        });
        if fate.is_dead() {
            return;
        }
        let file = Arc::new(Mutex::new(File::new(epoch, boot, id, now.wall_ms)));
        let counters = SimCounters { file: Arc::clone(&file), fate };
        let volatile = opened.is_err();
        let opening = match opened {
            Ok(opening) => {
                directory.files.push(file);
                opening
            }
            // As the keeper does where the disk cannot be written.
            Err(_full) => {
                let left: Vec<_> = earlier.into_iter().filter(|one| directory.has(Epoch(one.old.epoch))).collect();
                let Ok(opening) =
                    Opening::find(Arc::new(Overlay::new(Some(disk), 1 << 20)), self.limits, "edge", &left)
                else {
                    return;
                };
                opening.leave(&left, "it is full");
                opening
            }
        };
        let books = opening.begin(epoch, Arc::new(counters.clone()), WINDOW, now, Box::new(|| Ok(())));
        let outbox = books.outbox();
        directory.process = Some(Process { books, outbox, counters, cursor: None, volatile });
    }

    fn count(&mut self, at: usize) {
        let Some(process) = &self.directories[at].process else { return };
        let tenant = format!("t{}", self.rng.random_range(0..6));
        let (metric, n) = (self.rng.random_range(0..8), self.rng.random_range(1..1000));
        let mut file = process.counters.file();
        file.count(&tenant, metric, n, self.now.wall_ms);
        *self.by_epoch.entry(file.epoch).or_default() += n;
        self.counted.entry(tenant).or_default().0[metric] += n;
    }

    fn leave(&mut self, at: usize) {
        if let Some(process) = &self.directories[at].process {
            process.counters.file().leave(&format!("t{}", self.rng.random_range(0..6)));
        }
    }

    fn close(&mut self, at: usize, last: bool) {
        let passed = if self.rng.random_bool(0.1) { self.rng.random_range(10_000..100_000) } else { 10_000 };
        self.now.wall_ms += passed;
        self.now.monotonic += Duration::from_millis(passed as u64);
        let now = self.now;
        let Some(process) = &mut self.directories[at].process else { return };
        if last {
            process.books.finish(now);
        } else {
            let _told = process.books.close(now, false);
        }
    }

    fn send(&mut self, at: usize) {
        let Some(process) = &mut self.directories[at].process else { return };
        for _ in 0..self.rng.random_range(1..6) {
            let Some(batch) = process.outbox.next(process.cursor) else { return };
            let key = Key::of(&batch).unwrap();
            // What was given out may be merged before it is sent.
            if self.rng.random_bool(0.05) {
                let _told = process.books.close(self.now, false);
            }
            if !process.outbox.sending(key) || process.counters.fate.is_dead() {
                return;
            }
            process.cursor = Some(key);
            self.network.push((*batch).clone());
        }
    }

    fn deliver(&mut self) {
        for _ in 0..self.rng.random_range(1..6) {
            if self.network.is_empty() {
                return;
            }
            let at = if self.rng.random_bool(0.8) { 0 } else { self.rng.random_range(0..self.network.len()) };
            let batch = if self.rng.random_bool(0.1) { self.network[at].clone() } else { self.network.remove(at) };
            if self.rng.random_bool(0.85) {
                self.acks.push(self.server.take(&batch));
            }
        }
    }

    /// Acknowledgements come to whoever runs now, some twice, some never.
    fn acknowledge(&mut self) {
        for _ in 0..self.rng.random_range(1..6) {
            if self.acks.is_empty() {
                return;
            }
            let at = if self.rng.random_bool(0.8) { 0 } else { self.rng.random_range(0..self.acks.len()) };
            let key = if self.rng.random_bool(0.1) { self.acks[at] } else { self.acks.remove(at) };
            if self.rng.random_bool(0.9) {
                for process in self.directories.iter().filter_map(|directory| directory.process.as_ref()) {
                    process.outbox.acknowledged(key);
                }
            }
        }
    }

    fn reconnect(&mut self, at: usize) {
        if let Some(process) = &mut self.directories[at].process {
            process.cursor = None;
        }
    }

    fn fill(&mut self, at: usize) {
        let mut platter = self.directories[at].platter.lock().unwrap_or_else(PoisonError::into_inner);
        platter.full = !platter.full;
    }

    fn kill_soon(&mut self, at: usize) {
        let left = self.rng.random_range(0..25);
        if let Some(process) = &self.directories[at].process {
            process.counters.fate.kill_after(left);
        }
        self.close(at, false);
    }

    fn set_clock(&mut self) {
        self.now.wall_ms += self.rng.random_range(-100_000_000..100_000_000);
    }

    /// A clean end.
    fn finish(&mut self, at: usize) {
        self.close(at, true);
        let directory = &mut self.directories[at];
        let Some(mut process) = directory.process.take() else { return };
        process.books.put_down();
        let epoch = process.counters.file().epoch;
        let ended = process.outbox.state().epochs.iter().any(|state| state.epoch == epoch && state.ended);
        let counters = process.counters.clone();
        self.dead(&process);
        // The counters of an ended epoch are removed; a kill before that leaves them.
        let nothing = counters.file().counted == 0;
        if !counters.fate.is_dead() && (ended || nothing) && counters.fate.step() {
            self.directories[at].files.retain(|file| !Arc::ptr_eq(file, &counters.file));
        }
    }

    fn lose_power(&mut self) {
        self.boot += 1;
        for at in 0..self.directories.len() {
            let directory = &mut self.directories[at];
            if let Some(process) = directory.process.take() {
                process.counters.fate.kill();
                self.dead(&process);
            }
            let directory = &mut self.directories[at];
            directory.platter.lock().unwrap_or_else(PoisonError::into_inner).lose_power(&mut self.rng);
            for file in &directory.files {
                let file = file.lock().unwrap_or_else(PoisonError::into_inner);
                // What was counted since the last window that was synchronised: the open window.
                let open = file.counted - file.marked;
                let allowed = self.allowed.entry(file.epoch).or_default();
                *allowed = open.max(*allowed);
            }
        }
    }

    /// The directory is copied as it is, and the copy is used too.
    fn copy(&mut self, at: usize) {
        if self.directories.len() < 3 {
            let (platter, files) = self.directories[at].image();
            self.forked = true;
            self.add(platter, files);
        }
    }

    /// The process is killed, and its directory is one of a while ago.
    fn restore(&mut self, at: usize) {
        self.forked = true;
        let (platter, files) = self.directories[at].image();
        for _ in 0..self.rng.random_range(1..20) {
            match self.rng.random_range(0..4) {
                0 => self.count(at),
                1 => self.close(at, false),
                2 => self.send(at),
                _ => self.deliver(),
            }
        }
        if let Some(process) = self.directories[at].process.take() {
            process.counters.fate.kill();
            self.dead(&process);
        }
        // What was neither sent nor in the snapshot is gone with the directory.
        for (epoch, counted) in &self.by_epoch {
            self.allowed.insert(*epoch, *counted);
        }
        self.directories.remove(at);
        self.add(platter, files);
    }

    /// Takes away a process that has died.
    fn bury(&mut self, at: usize) {
        let Some(directory) = self.directories.get_mut(at) else { return };
        if directory.process.as_ref().is_some_and(|process| process.counters.fate.is_dead()) {
            let process = directory.process.take();
            process.into_iter().for_each(|process| self.dead(&process));
        }
    }

    fn dead(&mut self, process: &Process) {
        if process.volatile {
            let file = process.counters.file();
            self.in_memory.insert(file.epoch);
            self.allowed.insert(file.epoch, file.counted);
        }
    }

    /// Nothing is ever counted twice.
    pub(super) fn check(&self) {
        for (tenant, units) in &self.server.tenants {
            let counted = self.counted.get(tenant).copied().unwrap_or_default();
            assert!(units.since(&counted).is_zero(), "{tenant}: the server has {units:?} of {counted:?}");
        }
        if !self.forked {
            assert_eq!(self.server.aside, [], "what was or may have been sent is never merged");
        }
    }

    /// All troubles end, and everybody sends what there is.
    pub(super) fn settle(&mut self) {
        for at in 0..self.directories.len() {
            self.directories[at].platter.lock().unwrap_or_else(PoisonError::into_inner).full = false;
            // The disk fails now and then still, so what fails is done again.
            for _ in 0..20 {
                if let Some(process) = self.directories[at].process.take_if(|process| !process.volatile) {
                    process.counters.fate.kill();
                    self.dead(&process);
                }
                if self.directories[at].process.is_none() {
                    self.start(at, FOREVER);
                }
                self.close(at, false);
                self.drain(at);
                let directory = &mut self.directories[at];
                let process = directory.process.take_if(|process| process.volatile);
                let again = process.is_some();
                process.into_iter().for_each(|process| self.dead_in_peace(&process));
                if !again && self.is_done(at) {
                    break;
                }
            }
        }
    }

    /// All that it counted was logged and taken, unless it was killed before.
    fn dead_in_peace(&mut self, process: &Process) {
        if process.counters.fate.is_dead() || process.outbox.next(None).is_some() {
            self.dead(process);
        }
    }

    fn is_done(&self, at: usize) -> bool {
        let directory = &self.directories[at];
        let process = directory.process.as_ref();
        process.is_some_and(|process| process.outbox.next(None).is_none() && process.counters.changed().is_empty())
            && directory.files.len() == 1
    }

    fn drain(&mut self, at: usize) {
        for batch in mem::take(&mut self.network) {
            self.server.take(&batch);
        }
        let Some(process) = &self.directories[at].process else { return };
        while let Some(batch) = process.outbox.next(None) {
            let key = Key::of(&batch).unwrap();
            assert!(process.outbox.sending(key));
            process.outbox.acknowledged(self.server.take(&batch));
        }
    }

    /// Nothing is missing but what there is a reason for; and that is said.
    pub(super) fn check_settled(&self) {
        self.check();
        if self.forked {
            return;
        }
        for (epoch, counted) in &self.by_epoch {
            let applied = self.server.applied.get(epoch).copied().unwrap_or_default();
            let allowed = self.allowed.get(epoch).copied().unwrap_or_default();
            let missing = counted - applied;
            assert!(missing <= allowed, "{epoch}: {missing} of {counted} missing, {allowed} explained");
            let said = missing == 0 || self.server.lost.contains(epoch) || self.in_memory.contains(epoch);
            assert!(said, "{epoch}: {missing} of {counted} are lost, and nobody says so");
        }
    }
}

impl Directory {
    fn has(&self, epoch: Epoch) -> bool {
        self.files.iter().any(|file| file.lock().unwrap_or_else(PoisonError::into_inner).epoch == epoch)
    }

    fn image(&self) -> (Platter, Vec<File>) {
        let files = self.files.iter().map(|file| file.lock().unwrap_or_else(PoisonError::into_inner).clone());
        (self.platter.lock().unwrap_or_else(PoisonError::into_inner).clone(), files.collect())
    }
}
