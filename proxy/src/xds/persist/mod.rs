//! The last good configuration on disk: what was accepted, with its versions, so that a proxy
//! serves although no server is there when it starts.
//!
//! It is a file that holds everything ([`base`]) and a journal of what changed since ([`journal`]), so
//! that an edit costs what it changes, whatever the size of the fleet. When the journal has grown as long
//! as the file, everything is written anew. What is damaged is refused whole: a part could bring back what
//! was taken away. TLS secrets are written only to a directory of their own, which should be
//! memory-backed, or not at all.

mod base;
mod bytes;
mod journal;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_config::model::{Resource, ResourceType};

use self::journal::Journal;
use super::refs::Key;

/// Largest file that is read: far above any real configuration, far below exhaustion.
const MAX_FILE: u64 = 2 << 30;
/// Name of the file in its directory.
const FILE: &str = "last-good.xds";
/// Name of the file of secrets.
const SECRETS: &str = "last-good-secrets.xds";
/// A journal up to this long is not worth writing everything anew.
const SHORT: u64 = 1 << 20;

/// A resource with its version.
pub type Entry = (Resource, String);

/// What became of a resource: it is this, with its version; or it is gone.
pub type Changed<V> = (Key, Option<(Resource, V)>);

/// Where the last good configuration is kept.
#[derive(Debug)]
pub struct Store {
    rest: Kept,
    secrets: Option<Kept>,
}

impl Store {
    /// A store in `state`; TLS secrets in `secrets`, or nowhere.
    ///
    /// # Errors
    /// A directory can neither be found nor made (0700).
    pub fn new(state: &Path, secrets: Option<&Path>) -> io::Result<Self> {
        for directory in [Some(state), secrets].into_iter().flatten() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let secrets = secrets.map(|directory| Kept::new(directory.join(SECRETS)));
        Ok(Self { rest: Kept::new(state.join(FILE)), secrets })
    }

    /// Whether everything must be written: nothing was yet, a write failed, or what changed since is as much as all.
    pub fn wants_all(&self) -> bool {
        [Some(&self.rest), self.secrets.as_ref()].into_iter().flatten().any(Kept::wants_all)
    }

    /// Replaces what is stored. `now` is when the server last confirmed it.
    ///
    /// # Errors
    /// A file cannot be written; the one before is whole.
    pub fn save<V: AsRef<str>>(
        &mut self,
        entries: impl Iterator<Item = (Resource, V)>,
        now: SystemTime,
    ) -> io::Result<()> {
        let (secrets, rest): (Vec<_>, Vec<_>) = entries.partition(|(r, _)| r.kind() == ResourceType::Secret);
        if let Some(kept) = &mut self.secrets {
            kept.save(&secrets, now)?;
        }
        self.rest.save(&rest, now)
    }

    /// Adds to what is stored; it is on disk afterwards. Costs what changed. [`Store::wants_all`] must not hold.
    ///
    /// # Errors
    /// A file cannot be written; then everything must be.
    pub fn append<V: AsRef<str>>(
        &mut self,
        changes: impl Iterator<Item = Changed<V>>,
        now: SystemTime,
    ) -> io::Result<()> {
        let (secrets, rest): (Vec<_>, Vec<_>) = changes.partition(|((kind, _), _)| *kind == ResourceType::Secret);
        if let Some(kept) = &mut self.secrets {
            kept.append(&secrets, now)?;
        }
        self.rest.append(&rest, now)
    }

    /// What is stored; nothing where nothing was, or where a file is broken or older than
    /// `max_age`, which is logged.
    pub fn load(&self, now: SystemTime, max_age: Duration) -> Vec<Entry> {
        let mut entries = Vec::new();
        for kept in [Some(&self.rest), self.secrets.as_ref()].into_iter().flatten() {
            match kept.load(now, max_age) {
                Ok(loaded) => entries.extend(loaded),
                Err(problem) => {
                    tracing::warn!(path = %kept.path.display(), problem, "the stored configuration is not used");
                }
            }
        }
        entries
    }
}

/// A file and its journal.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    /// Of the file that this process wrote; none before, or after a failure.
    journal: Option<Journal>,
}

impl Kept {
    fn new(path: PathBuf) -> Self {
        Self { path, journal: None }
    }

    fn wants_all(&self) -> bool {
        self.journal.as_ref().is_none_or(|journal| journal.length() > journal.base().length.max(SHORT))
    }

    fn save<V: AsRef<str>>(&mut self, entries: &[(Resource, V)], now: SystemTime) -> io::Result<()> {
        self.journal = None;
        let identity = base::replace(&self.path, entries, seconds(now))?;
        self.journal = Some(Journal::of(self.journal_path(), identity)?);
        Ok(())
    }

    fn append<V: AsRef<str>>(&mut self, changes: &[Changed<V>], now: SystemTime) -> io::Result<()> {
        // After a failure part of a batch may stand there: it is put back only when the whole batch was written.
        let mut journal = self.journal.take().ok_or_else(|| io::Error::other("there is nothing to add to yet"))?;
        journal.append(changes, seconds(now))?;
        self.journal = Some(journal);
        Ok(())
    }

    fn journal_path(&self) -> PathBuf {
        self.path.with_extension("journal")
    }

    fn load(&self, now: SystemTime, max_age: Duration) -> Result<Vec<Entry>, String> {
        let Some(file) = bytes_of(&self.path)? else { return Ok(Vec::new()) };
        let base = base::read(&file)?;
        let (mut confirmed, mut held) = (base.confirmed, BTreeMap::new());
        for (resource, version) in base.entries {
            held.insert((resource.kind(), resource.name().to_owned()), (resource, version));
        }
        if let Some(file) = bytes_of(&self.journal_path())? {
            for batch in journal::read(&file, base.identity)? {
                confirmed = batch.confirmed;
                for (key, entry) in batch.changes {
                    match entry {
                        Some(entry) => held.insert(key, entry),
                        None => held.remove(&key),
                    };
                }
            }
        }
        fresh(confirmed, now, max_age)?;
        Ok(held.into_values().collect())
    }
}

/// Refuses what no server has confirmed for longer than `max_age`.
fn fresh(confirmed: u64, now: SystemTime, max_age: Duration) -> Result<(), String> {
    let age = now.duration_since(UNIX_EPOCH + Duration::from_secs(confirmed)).unwrap_or_default();
    if age > max_age {
        return Err(format!(
            "no server has confirmed it for {} s (maxStaleness is {} s)",
            age.as_secs(),
            max_age.as_secs()
        ));
    }
    Ok(())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The bytes of a file; none where there is none.
fn bytes_of(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.to_string()),
        Ok(about) if about.len() > MAX_FILE => Err(format!("it has {} bytes", about.len())),
        Ok(_) => fs::read(path).map(Some).map_err(|e| e.to_string()),
    }
}

/// Why a file is refused.
fn broken() -> String {
    "it is broken".to_owned()
}
