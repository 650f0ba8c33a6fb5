//! The proxies that are raced, and their equal configurations.
//!
//! Each file writes what its proxy reads, as text that is compared with a golden file, and says how to
//! start it. Equal means: one worker, connections to the upstream kept, `x-forwarded-for` and
//! `x-forwarded-proto` set, TLS 1.3 with the same certificate; for tenants the same hosts, routes,
//! clusters and limit, and a log with the same fields.

mod envoy;
mod haproxy;
mod nginx;
mod weir;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::certificate::Certificate;
use crate::processes::Process;
use crate::rows::Config;
use crate::upstream::Upstream;

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Weir,
    Nginx,
    Haproxy,
    Envoy,
}

/// In the order in which they take turns.
pub(crate) const ALL: [Peer; 4] = [Peer::Weir, Peer::Nginx, Peer::Haproxy, Peer::Envoy];

/// What a proxy is set up for.
pub(crate) struct Case {
    /// A directory of its own.
    pub(crate) dir: PathBuf,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    pub(crate) upstream: Upstream,
    pub(crate) config: Config,
    /// Whether it writes a JSON log.
    pub(crate) log: bool,
    /// Of the names that it serves over TLS.
    pub(crate) certificate: Certificate,
    /// Core of what it needs beside it.
    pub(crate) beside: Option<usize>,
}

/// A proxy that can be started.
pub(crate) struct Prepared {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// File of its standard output.
    pub(crate) output: Option<PathBuf>,
    /// Its log, which a new start finds gone.
    pub(crate) log: Option<PathBuf>,
    /// What it keeps, which a new start finds gone.
    pub(crate) state: Option<PathBuf>,
    /// A file that is there when nothing of its start is left to do.
    pub(crate) settled: Option<PathBuf>,
    /// What runs beside it: Weir's control server.
    pub(crate) _beside: Option<Process>,
}

impl Prepared {
    fn new(program: &Path, args: &[&str]) -> Self {
        Self {
            program: program.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            output: None,
            log: None,
            state: None,
            settled: None,
            _beside: None,
        }
    }

    /// What starts it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        command
    }
}

/// Programs that are there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs(BTreeMap<Peer, PathBuf>);

impl Programs {
    /// Looks for them. `weir` must be there.
    pub(crate) fn find(weir: &Path) -> anyhow::Result<Self> {
        let weir = weir.canonicalize().with_context(|| format!("{}: build it first", weir.display()))?;
        let envoy =
            std::env::var_os("WEIR_ENVOY").map_or_else(|| "target/tools/envoy-1.40/envoy".into(), PathBuf::from);
        let peers = [
            (Peer::Nginx, on_path("nginx")),
            (Peer::Haproxy, on_path("haproxy")),
            (Peer::Envoy, envoy.canonicalize().ok()),
        ];
        let there = peers.into_iter().filter_map(|(peer, path)| Some((peer, path?)));
        Ok(Self(std::iter::once((Peer::Weir, weir)).chain(there).collect()))
    }

    /// Where a proxy is.
    pub(crate) fn path(&self, peer: Peer) -> Option<&Path> {
        self.0.get(&peer).map(PathBuf::as_path)
    }

    /// What each calls itself.
    pub(crate) fn versions(&self) -> BTreeMap<String, String> {
        let version = |(peer, path): (&Peer, &PathBuf)| (peer.name().to_owned(), peer.version(path));
        self.0.iter().map(version).collect()
    }
}

impl Peer {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Weir => "Weir",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
        }
    }

    /// How to get it.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Weir => "cargo build --release",
            Self::Nginx | Self::Haproxy | Self::Envoy => "load-tests/tools.sh installs it",
        }
    }

    /// Writes its configuration into the case's directory.
    pub(crate) fn prepare(self, program: &Path, case: &Case) -> anyhow::Result<Prepared> {
        match self {
            Self::Weir => weir::prepare(program, case),
            Self::Nginx => nginx::prepare(program, case),
            Self::Haproxy => haproxy::prepare(program, case),
            Self::Envoy => envoy::prepare(program, case),
        }
    }

    fn version(self, program: &Path) -> String {
        let argument = match self {
            Self::Weir | Self::Envoy => "--version",
            Self::Nginx | Self::Haproxy => "-v",
        };
        let Ok(output) = Command::new(program).arg(argument).output() else { return "unknown".into() };
        // nginx says it on standard error.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown").trim();
        line.split("version:").last().unwrap_or(line).trim().to_owned()
    }
}

/// Debian keeps servers in directories that are not on everybody's path.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    dirs.map(|dir| dir.join(name)).find(|file| file.is_file())
}
