//! A real API server under the test's control: `litek8s` (it authenticates and authorizes nobody) with a relay
//! before it.

mod calls;
mod client;
mod crds;
mod relay;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use calls::Call;
pub use client::Cluster;
pub use relay::{Fault, Relay};

use super::process::Process;
use super::site::{Site, repository};
use super::wait;

/// Port of `litek8s`, at the site's own address.
const DIRECT: u16 = 6443;
/// Port of the relay.
const RELAYED: u16 = 6444;
/// Its version, as `tests/tools/install.sh` installs it.
const LITEK8S: &str = "target/tools/litek8s/bin/litek8s";

/// A stock API server that `WEIR_TEST_KUBECONFIG` names; tests that need no faults use it where there is one.
pub fn stock() -> Option<PathBuf> {
    std::env::var_os("WEIR_TEST_KUBECONFIG").map(PathBuf::from)
}

/// `litek8s`, a relay before it, and a client that goes past the relay.
pub struct ApiServer {
    process: Option<Process>,
    command: Box<dyn Fn() -> Process + Send + Sync>,
    /// What the server under test connects to.
    pub relay: Relay,
    cluster: Cluster,
}

impl ApiServer {
    /// Starts one at the site, with the CRDs of the kinds that Weir reads.
    pub fn start(site: &Site) -> Self {
        let server = Self::bare(site);
        server.install_crds();
        server
    }

    /// Starts one without CRDs.
    pub fn bare(site: &Site) -> Self {
        let (direct, ip) = (site.path("apiserver.kubeconfig"), site.ip());
        let (logs, data, file) = (site.logs(), site.path("apiserver-data"), direct.clone());
        let command = move || {
            let mut command = Command::new(binary());
            command.arg("apiserver").args(["--listen", &format!("{ip}:{DIRECT}"), "--node-ip", &ip.to_string()]);
            command.args(["--no-node", "--no-cluster-dns", "--in-cluster-port", "0", "--no-wireguard"]);
            command.arg("--kubeconfig").arg(&file).arg("--data-dir").arg(&data);
            Process::start("apiserver", &logs, &mut command)
        };
        let relay = Relay::start((ip, RELAYED).into(), (ip, DIRECT).into(), &site.path("relay.kubeconfig"));
        let mut process = command();
        let cluster = wait::until("the API server", || {
            process.assert_alive();
            let cluster = Cluster::try_open(&direct).ok()?;
            cluster.get("/version").is_some().then_some(cluster)
        });
        Self { process: Some(process), command: Box::new(command), relay, cluster }
    }

    /// The kubeconfig of the server under test: it leads through the relay.
    pub fn kubeconfig(&self) -> &Path {
        self.relay.kubeconfig()
    }

    /// What is in the cluster; not through the relay.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Installs the CRDs of every kind that Weir reads and that no API server has by itself.
    pub fn install_crds(&self) {
        crds::all().iter().for_each(|crd| self.cluster.apply_value(crd));
        crds::wait(&self.cluster);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("the API server runs").kill();
    }

    /// Starts it again on what it had stored.
    pub fn start_again(&mut self) {
        let process = self.process.insert((self.command)());
        wait::until("the API server to be back", || {
            process.assert_alive();
            self.cluster.get("/version")
        });
    }
}

fn binary() -> PathBuf {
    let path = std::env::var_os("WEIR_LITEK8S").map_or_else(|| repository(LITEK8S), PathBuf::from);
    assert!(path.exists(), "there is no {}: run tests/tools/install.sh", path.display());
    path
}
