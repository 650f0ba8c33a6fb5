//! Child processes that end with their owner.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::cores;

/// How long a file may take to come, under an emulator on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A child process. Dropped, it is killed; asked with [`Process::stop`], it ends by SIGTERM.
pub(crate) struct Process {
    child: Child,
    errors: Option<PathBuf>,
}

/// Where a process runs and writes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place<'p> {
    /// Its core; anywhere, if none.
    pub(crate) core: Option<usize>,
    /// File of its standard output, made anew; thrown away, if none.
    pub(crate) output: Option<&'p Path>,
    /// File of its standard error, likewise.
    pub(crate) errors: Option<&'p Path>,
}

impl Process {
    /// Starts it.
    pub(crate) fn start(command: &mut Command, place: Place<'_>) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(file(place.output)?).stderr(file(place.errors)?);
        // A child inherits the affinity of the thread that starts it.
        let before = rustix::thread::sched_getaffinity(None)?;
        if let Some(core) = place.core {
            cores::pin(core)?;
        }
        let child = command.spawn();
        rustix::thread::sched_setaffinity(None, &before)?;
        let child = child.with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, errors: place.errors.map(Path::to_owned) })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended, with the last that it said.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let said = self.errors.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(3).collect();
        anyhow::bail!("it ended ({status}): {}", last.into_iter().rev().collect::<Vec<_>>().join(" / "))
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.check()?;
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

fn file(path: Option<&Path>) -> anyhow::Result<Stdio> {
    Ok(match path {
        Some(path) => File::create(path).with_context(|| format!("cannot write {}", path.display()))?.into(),
        None => Stdio::null(),
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended is well; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address with a port that was free a moment ago.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Waits until a file is there (it is renamed into its place whole), or `check` fails.
pub(crate) fn wait_for(file: &Path, mut check: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !file.exists() {
        check()?;
        anyhow::ensure!(Instant::now() < deadline, "{} never came", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
