//! Addresses that were really bound: logged, and written to `<state-dir>/addresses.json`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use serde_json::{Map, Value};

/// The file, and what it holds so far.
pub(crate) struct Addresses {
    file: PathBuf,
    known: Mutex<Map<String, Value>>,
}

impl Addresses {
    /// Of a process whose state is in `state_dir`.
    ///
    /// # Errors
    /// A directory that cannot be made, or an old file that cannot be removed.
    pub(crate) fn new(state_dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(state_dir)
            .with_context(|| format!("cannot make the state directory {}", state_dir.display()))?;
        let file = state_dir.join("addresses.json");
        // Whoever waits for the file must not find the last start's.
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", file.display()))
            }
            _ => Ok(Self { file, known: Mutex::default() }),
        }
    }

    /// Adds what was bound and writes the file anew, whole.
    pub(crate) fn add(&self, name: &str, value: impl Into<Value>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), value.into());
        if let Err(error) = self.write(&known) {
            tracing::warn!(file = %self.file.display(), %error, "cannot write the bound addresses");
        }
    }

    fn write(&self, known: &Map<String, Value>) -> std::io::Result<()> {
        let temporary = self.file.with_extension("json.new");
        fs::write(&temporary, format!("{:#}\n", serde_json::to_string_pretty(known)?))?;
        fs::rename(&temporary, &self.file)
    }
}
