//! Wall clocks of processes, which a test steps. Their monotonic clocks go on as they are.

use std::path::PathBuf;
use std::process::Command;

use super::site::{Site, repository};
use super::tokens::put;

/// The library that is loaded into the processes, as `tests/tools/install.sh` installs it.
const LIBRARY: &str = "target/tools/libfaketime/libfaketime.so.1";

/// The wall clock of a process.
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A clock that is right.
    pub fn new(site: &Site, name: &str) -> Self {
        let clock = Self { file: site.path(&format!("{name}.clock")) };
        clock.step_to(0);
        clock
    }

    /// Has a program go by this clock.
    pub fn rule<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let library = std::env::var_os("WEIR_LIBFAKETIME").map_or_else(|| repository(LIBRARY), PathBuf::from);
        assert!(library.exists(), "there is no {}: run tests/tools/install.sh", library.display());
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        // The file is read at every look at the clock. Times of files are left alone, as is the monotonic clock.
        for flag in ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT", "FAKETIME_DISABLE_SHM"] {
            command.env(flag, "1");
        }
        command
    }

    /// Sets the clock to so many seconds ahead of what is right.
    pub fn step_to(&self, ahead: i64) {
        put(&self.file, &format!("{ahead:+}\n"));
    }
}
