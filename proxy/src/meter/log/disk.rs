//! What the log asks of a disk: a directory of files. The simulation stands in for it.

use std::fmt::Debug;
use std::io;

/// A directory of files, shared by who writes the log and who reads from it.
pub trait Disk: Debug + Send + Sync {
    /// Names of all files, in no order.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// All of a file.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// `len` bytes of a file from `offset`.
    ///
    /// # Errors
    /// It is not there, is shorter, or cannot be read.
    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Makes a file if it is not there, adds `bytes` at its end and waits until they will outlive a loss
    /// of power. The name of a new file does so only after [`Disk::sync_names`].
    ///
    /// # Errors
    /// Any part of `bytes` may be in the file.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Waits until all of a file will outlive a loss of power.
    ///
    /// # Errors
    /// It may not.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Cuts a file to its first `len` bytes. One that is not there is well.
    ///
    /// # Errors
    /// It may be as long as before.
    fn cut(&self, name: &str, len: u64) -> io::Result<()>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// It has the old one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. One that is not there is well.
    ///
    /// # Errors
    /// It is still there.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Waits until names that were made, changed or removed will outlive a loss of power.
    ///
    /// # Errors
    /// They may not.
    fn sync_names(&self) -> io::Result<()>;
}
