//! Files that are read anew when they change: by their bytes, so that links that are put elsewhere (as Kubernetes
//! does with Secrets) and copies with an old time count too.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

/// How often to look.
pub const LOOK: Duration = Duration::from_secs(2);
/// Bytes that such a file may have.
const MAX: u64 = 4 << 20;

/// Files that belong together, as they were read last.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    last: Vec<Vec<u8>>,
    /// They could not be read, or not be used, at the last look; and that was said.
    failing: bool,
}

impl Watched {
    /// Reads them.
    ///
    /// # Errors
    /// One that cannot be read; the text names it.
    pub fn open(paths: &[&Path]) -> io::Result<Self> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
        let last = read(&paths)?;
        Ok(Self { paths, last, failing: false })
    }

    /// What is in them, in their order.
    pub fn contents(&self) -> &[Vec<u8>] {
        &self.last
    }

    /// Looks, and gives new contents to `take`. Where they cannot be read or taken, the log says so once, and what
    /// was there before stays in effect.
    pub fn look(&mut self, take: impl FnOnce(&[Vec<u8>]) -> Result<(), String>) {
        let outcome = match read(&self.paths) {
            Ok(contents) if contents == self.last => {
                // What could not be used is known already; what could be is in effect.
                return;
            }
            Ok(contents) => {
                let taken = take(&contents);
                self.last = contents;
                taken
            }
            Err(error) => Err(error.to_string()),
        };
        let paths: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
        let files = paths.join(", ");
        match outcome {
            Ok(()) => {
                self.failing = false;
                tracing::info!(files, "read anew");
            }
            Err(problem) if !self.failing => {
                self.failing = true;
                tracing::warn!(files, problem, "cannot be used; what was read before stays in effect");
            }
            Err(problem) => tracing::debug!(files, problem, "still cannot be used"),
        }
    }
}

fn read(paths: &[PathBuf]) -> io::Result<Vec<Vec<u8>>> {
    let one = |path: &PathBuf| {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let size = fs::metadata(path).map_err(named)?.len();
        if size > MAX {
            return Err(named(io::Error::other(format!("{size} bytes are too many"))));
        }
        fs::read(path).map_err(named)
    };
    paths.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_once_and_a_file_that_is_gone_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        assert!(Watched::open(&[&path]).unwrap_err().to_string().contains("keys"));
        fs::write(&path, "a").unwrap();
        let mut watched = Watched::open(&[&path]).unwrap();
        let mut seen = Vec::new();
        let mut look = |watched: &mut Watched| {
            watched.look(|contents| {
                seen.push(contents[0].clone());
                Ok(())
            });
            seen.len()
        };
        assert_eq!(look(&mut watched), 0);
        // The same length, by a rename, as fast as can be.
        fs::write(dir.path().join("next"), "b").unwrap();
        fs::rename(dir.path().join("next"), &path).unwrap();
        assert_eq!((look(&mut watched), look(&mut watched)), (1, 1));
        fs::remove_file(&path).unwrap();
        assert_eq!(look(&mut watched), 1);
        fs::write(&path, "c").unwrap();
        assert_eq!(look(&mut watched), 2);
    }
}
