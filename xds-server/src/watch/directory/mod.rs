//! A directory of manifests as a source of objects: `*.yaml`, `*.yml` and `*.json`, in
//! subdirectories too; what begins with a dot is passed over.
//!
//! Files are read by document. One that is wrong is a finding, what it said before keeps serving,
//! and its neighbours apply ([`documents`] has the rules). What a rename puts in place applies at
//! once, as does a file that was closed after writing; one that shrank or vanished applies when it
//! has stood still for 200 ms. The last good text of each document is kept in the state directory.
//!
//! Links are followed. What is changed behind a link that leads out of the directory is noticed when
//! the link is replaced, not before.

mod documents;
mod events;
mod memory;
mod name;
mod scan;
mod store;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use self::documents::{Documents, How, Seen};
use self::events::Touched;
use self::memory::Memory;
use self::store::Store;
use super::{Batch, Finding};

/// Events that wait to be read; beyond it the operating system's own queue holds them.
const QUEUE: usize = 1024;

/// A watched directory.
pub struct DirectorySource {
    root: PathBuf,
    documents: Documents,
    store: Option<Store>,
    events: mpsc::Receiver<Touched>,
    sender: mpsc::Sender<Touched>,
    /// Dropped to end the watch.
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the directory that is watched; none while it is not there.
    watched: Option<(u64, u64)>,
    /// Findings of the last batch; none before the first.
    reported: Option<Vec<Finding>>,
}

impl DirectorySource {
    /// Starts to watch `root`. With a state directory, what was last good outlives this process.
    ///
    /// # Errors
    /// `root` is no directory, cannot be watched, or the state directory cannot be used.
    pub fn open(root: PathBuf, state_dir: Option<PathBuf>) -> anyhow::Result<Self> {
        let root = checked(&root)?;
        let (store, memory) = match state_dir {
            Some(dir) => {
                let (store, memory) =
                    Store::open(&dir).with_context(|| format!("cannot use the state directory {}", dir.display()))?;
                (Some(store), memory)
            }
            None => (None, Memory::default()),
        };
        let (sender, events) = mpsc::channel(QUEUE);
        let documents = Documents::new(memory);
        let mut source = Self { root, documents, store, events, sender, watcher: None, watched: None, reported: None };
        // Watched before it is read, so that no change falls between.
        source.watch().with_context(|| format!("cannot watch {}", source.root.display()))?;
        source.look(Path::new(""), How::Whole);
        source.documents.all_seen();
        Ok(source)
    }

    /// The next changes: on the first call everything there is, later what is different from before,
    /// in objects or in findings. Dropping the future loses nothing.
    ///
    /// Files are read on the calling task, which should have nothing else to do.
    pub async fn next(&mut self) -> Batch {
        loop {
            for path in self.documents.settled(now()) {
                self.look(&path, How::Whole);
            }
            if let Some(batch) = self.changes() {
                return batch;
            }
            let deadline = self.documents.deadline();
            let settled = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // `sender` lives in `self`, so the channel never ends.
                Some(touched) = self.events.recv() => {
                    self.touch(touched);
                    while let Ok(touched) = self.events.try_recv() {
                        self.touch(touched);
                    }
                }
                () = settled => {}
            }
        }
    }

    /// What is new since the last batch, written down.
    fn changes(&mut self) -> Option<Batch> {
        let (batch, records) = self.documents.take();
        if let Some(store) = &mut self.store
            && let Err(error) = store.append(&records)
        {
            tracing::warn!(%error, "cannot write the last good documents to the state directory");
        }
        if batch.events.is_empty() && self.reported.as_ref() == Some(&batch.findings) {
            return None;
        }
        self.reported = Some(batch.findings.clone());
        Some(batch)
    }

    fn touch(&mut self, Touched { path, how }: Touched) {
        match how {
            Some(how) => {
                self.look(&path, how);
                if self.root.join(&path).is_dir() {
                    // Once more, for what came into it before the watch of it stood.
                    self.documents.wait(&path, now());
                }
            }
            None if self.root.join(&path).is_dir() || scan::is_manifest(&path) => self.documents.wait(&path, now()),
            // A directory that is gone, or a file of no interest.
            None => self.documents.below(&path).iter().for_each(|known| self.documents.wait(known, now())),
        }
    }

    /// Sees what is at `path` now: a file, or all below a directory.
    fn look(&mut self, path: &Path, how: How) {
        let full = self.root.join(path);
        if !self.root.is_dir() {
            // What stood in it keeps serving until it is back, for it may be on its way (a checkout, a mount).
            self.watched = None;
            let reason = Seen::Unreadable("the directory is gone".into());
            self.documents.see(Path::new(""), How::Whole, reason, now());
            self.documents.wait(Path::new(""), now());
        } else if full.is_dir() {
            if path.as_os_str().is_empty() {
                self.watch_again();
            }
            look_below(&mut self.documents, &self.root, path, how);
        } else if scan::is_manifest(path) {
            self.documents.see(path, how, scan::read(&full), now());
        } else {
            for known in self.documents.below(path) {
                self.documents.see(&known, how, Seen::Gone, now());
            }
        }
    }
}

impl DirectorySource {
    /// Watches the root, and the link by which it is named if it is one.
    fn watch(&mut self) -> notify::Result<()> {
        let (sender, root) = (self.sender.clone(), self.root.clone());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let touched = match event {
                Ok(event) => events::touched(&root, &event),
                Err(_) => vec![Touched { path: PathBuf::new(), how: Some(How::Closed) }],
            };
            for touched in touched {
                // It fails when the source is gone, and then nobody wants to know.
                let _ = sender.blocking_send(touched);
            }
        })?;
        watcher.watch(&self.root, RecursiveMode::Recursive)?;
        if self.root.is_symlink()
            && let Some(parent) = self.root.parent()
        {
            watcher.watch(parent, RecursiveMode::NonRecursive)?;
        }
        self.watched = identity(&self.root);
        self.watcher = Some(watcher);
        Ok(())
    }

    /// Watches the root anew where another directory has come in its place.
    fn watch_again(&mut self) {
        if identity(&self.root) != self.watched
            && let Err(error) = self.watch()
        {
            tracing::warn!(%error, root = %self.root.display(), "cannot watch the directory");
            self.documents.wait(Path::new(""), now());
        }
    }
}

/// Reads a directory once, without a watch and without what was last good, as `weir check` does.
///
/// # Errors
/// `root` is no directory.
pub fn read_once(root: &Path) -> anyhow::Result<Batch> {
    let root = checked(root)?;
    let mut documents = Documents::new(Memory::default());
    look_below(&mut documents, &root, Path::new(""), How::Whole);
    Ok(documents.take().0)
}

fn look_below(documents: &mut Documents, root: &Path, path: &Path, how: How) {
    let found = scan::walk(root, path);
    for file in &found.files {
        documents.see(file, how, scan::read(&root.join(file)), now());
    }
    for known in documents.below(path) {
        let hidden_from_us = found.unreadable.iter().any(|(directory, _)| known.starts_with(directory));
        if !found.files.contains(&known) && !hidden_from_us {
            documents.see(&known, how, Seen::Gone, now());
        }
    }
    for (directory, reason) in found.unreadable {
        documents.see(&directory, How::Whole, Seen::Unreadable(reason), now());
    }
}

fn checked(root: &Path) -> anyhow::Result<PathBuf> {
    let root = std::path::absolute(root).with_context(|| format!("{} is not a path", root.display()))?;
    anyhow::ensure!(root.is_dir(), "{} is not a directory", root.display());
    Ok(root)
}

fn identity(directory: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The runtime's clock, which tests may hold still.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
