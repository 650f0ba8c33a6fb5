//! Processes that end with the test that started them, and whose logs show when it fails.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::wait;

/// Lines of each log that a failed test shows.
const TAIL: usize = 60;

/// A running program. It is killed, by its id, when it goes out of scope.
pub struct Process {
    name: String,
    child: Child,
    logs: [PathBuf; 2],
}

impl Process {
    /// Starts `command`; its output goes to `<logs>/<name>.out` and `.err`, after what is there.
    pub fn start(name: &str, logs: &Path, command: &mut Command) -> Self {
        let paths = ["out", "err"].map(|end| logs.join(format!("{name}.{end}")));
        let [out, err] = paths.each_ref().map(|path| open(path));
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start ({:?}): {error}", command.get_program()));
        Self { name: name.into(), child, logs: paths }
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it wrote to stdout, by every run of that name.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.logs[0]).unwrap_or_default()
    }

    /// Everything that it wrote to stderr.
    pub fn errors(&self) -> String {
        fs::read_to_string(&self.logs[1]).unwrap_or_default()
    }

    /// Fails if the program has ended.
    pub fn assert_alive(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("{} ended by itself: {status}", self.name);
        }
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM.
    pub fn ask_to_end(&self) {
        self.signal("TERM");
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|s| s.success()), "{} cannot be sent SIG{name}", self.name);
    }

    /// SIGTERM; waits for the end and says how it was.
    pub fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.wait()
    }

    /// Waits for the end and says how it was.
    pub fn wait(&mut self) -> ExitStatus {
        wait::until(&format!("{} to end after SIGTERM", self.name), || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            for path in &self.logs {
                let text = fs::read_to_string(path).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                if !lines.is_empty() {
                    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
                    eprintln!("--- {} ({})\n{tail}", self.name, path.display());
                }
            }
        }
    }
}

fn open(path: &Path) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()))
}
