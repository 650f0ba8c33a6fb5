//! One test's place: an address, a directory of manifests, logs, backends.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::address::Address;
use super::http::{self, Request, Target};
use super::process::Process;
use super::wait;

/// Ports, of the site's own address.
pub const HTTP: u16 = 8080;
/// HTTPS listeners.
pub const HTTPS: u16 = 8443;
/// xDS port of the server.
pub const XDS: u16 = 18000;
/// Admin endpoint of the server.
pub const SERVER_ADMIN: u16 = 18001;
/// Admin endpoint of the proxy.
pub const PROXY_ADMIN: u16 = 9901;

/// The `weir` program.
pub fn weir() -> Command {
    Command::new(env!("CARGO_BIN_EXE_weir"))
}

/// A temporary directory, an address and what runs there.
pub struct Site {
    address: Address,
    dir: tempfile::TempDir,
}

impl Site {
    /// A new, empty one.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("manifests")).unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        Self { address: Address::reserve(), dir }
    }

    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        self.address.ip()
    }

    /// A path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory of manifests.
    pub fn manifests(&self) -> PathBuf {
        self.path("manifests")
    }

    /// The directory of logs.
    pub fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// Writes a manifest, whole, by a rename. `${IP}` in it is the site's address.
    pub fn write(&self, file: &str, text: &str) {
        let text = text.replace("${IP}", &self.ip().to_string());
        let whole = self.path("next");
        fs::write(&whole, text).unwrap();
        fs::rename(whole, self.manifests().join(file)).unwrap();
    }

    /// A manifest's text.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.manifests().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    }

    /// Takes a manifest away.
    pub fn remove(&self, file: &str) {
        fs::remove_file(self.manifests().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    }

    /// Starts `weir echo` that calls itself `name`, and waits until it answers.
    pub fn backend(&self, name: &str, port: u16) -> Process {
        let ip = Address::of_backends(self.ip());
        let address = format!("{ip}:{port}");
        let process =
            self.process(&format!("echo-{name}"), weir().args(["echo", "--listen", &address, "--name", name]));
        let target = Target::plain(ip, port);
        wait::until_ok(&format!("backend {name}"), || {
            http::once(&target, &Request::get(name, "/")).map_err(|e| e.to_string())
        });
        process
    }

    /// Starts a program whose logs lie with the site's.
    pub fn process(&self, name: &str, command: &mut Command) -> Process {
        Process::start(name, &self.logs(), command)
    }
}

/// The text of a file below the repository's root.
pub fn repository(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
