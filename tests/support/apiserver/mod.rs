//! A real API server under the test's control, with a relay before it: `litek8s`, which authenticates and authorizes
//! nobody, or a stock one where `WEIR_STOCK_API_SERVER` says so.

mod calls;
mod client;
mod crds;
mod relay;
mod stock;

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

/// An API server, a relay before it, and a client that goes past the relay.
pub struct ApiServer {
    processes: Vec<Process>,
    kind: Kind,
    /// Ends after what stores in it.
    _store: Option<Process>,
    /// What the server under test connects to.
    pub relay: Relay,
    cluster: Cluster,
}

/// Which one it is.
enum Kind {
    Stock(stock::Stock),
    Small(Box<dyn Fn() -> Process + Send + Sync>),
}

impl Kind {
    fn start(&self) -> Vec<Process> {
        match self {
            Self::Stock(stock) => stock.start(),
            Self::Small(command) => vec![command()],
        }
    }
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
        let kind = match stock::programs() {
            Some(programs) => Kind::Stock(stock::Stock::new(site, programs, &direct)),
            None => Kind::Small(Box::new(small(site))),
        };
        let store = if let Kind::Stock(stock) = &kind { Some(stock.store()) } else { None };
        let relay = Relay::start((ip, RELAYED).into(), (ip, DIRECT).into(), &site.path("relay.kubeconfig"));
        let mut processes = kind.start();
        let cluster = wait::until("the API server", || {
            processes.iter_mut().for_each(Process::assert_alive);
            let cluster = Cluster::try_open(&direct).ok()?;
            cluster.get("/readyz").is_some().then_some(cluster)
        });
        Self { processes, kind, _store: store, relay, cluster }
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

    /// Where it takes TLS, as pods reach it.
    pub fn secure_port(&self) -> u16 {
        if matches!(self.kind, Kind::Stock(_)) { stock::SECURE } else { DIRECT }
    }

    /// Who vouches for its certificate, PEM.
    pub fn authority(&self) -> String {
        match &self.kind {
            Kind::Stock(stock) => stock.authority(),
            Kind::Small(_) => {
                let path = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt";
                self.cluster.get(path).unwrap()["data"]["ca.crt"].as_str().unwrap().to_owned()
            }
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.processes.drain(..).for_each(|mut process| process.kill());
    }

    /// Starts it again on what it had stored.
    pub fn start_again(&mut self) {
        self.processes = self.kind.start();
        wait::until("the API server to be back", || {
            self.processes.iter_mut().for_each(Process::assert_alive);
            self.cluster.get("/readyz")
        });
    }
}

/// How `litek8s` is started at the site.
fn small(site: &Site) -> impl Fn() -> Process + Send + Sync + use<> {
    let (logs, data, file, ip) =
        (site.logs(), site.path("apiserver-data"), site.path("apiserver.kubeconfig"), site.ip());
    move || {
        let mut command = Command::new(binary());
        command.arg("apiserver").args(["--listen", &format!("{ip}:{DIRECT}"), "--node-ip", &ip.to_string()]);
        command.args(["--no-node", "--no-cluster-dns", "--in-cluster-port", "0", "--no-wireguard"]);
        command.arg("--kubeconfig").arg(&file).arg("--data-dir").arg(&data);
        Process::start("apiserver", &logs, &mut command)
    }
}

fn binary() -> PathBuf {
    let path = std::env::var_os("WEIR_LITEK8S").map_or_else(|| repository(LITEK8S), PathBuf::from);
    assert!(path.exists(), "there is no {}: run tests/tools/install.sh", path.display());
    path
}
