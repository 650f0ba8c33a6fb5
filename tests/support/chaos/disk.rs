//! A small disk that can be filled: a tmpfs of the test's own.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its size: counters, a log and the last good configuration find room.
const SIZE: &str = "size=24m";

/// A mounted disk; it is unmounted at the end.
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one at `path`; none where this process may not.
    pub fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let mount = || Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "weir-test"]).arg(path).status();
        if root && mount().is_ok_and(|status| status.success()) {
            return Some(Self { path: path.into() });
        }
        eprintln!("no disk of the test's own can be mounted (that takes root): a full disk is not tried");
        None
    }

    /// Takes all of its space.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [1 << 16, 1 << 10, 1] {
            let block = vec![0; size];
            while file.write(&block).is_ok_and(|n| n == size) {}
        }
    }

    /// Gives it back.
    pub fn empty(&self) {
        let _ = fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the proxy that used it may still be ending.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
