//! A stock API server with RBAC, instead of `litek8s`: `WEIR_STOCK_API_SERVER`, which `make test-stock` sets, names the
//! directory of `kube-apiserver` and `etcd`. `kubectl proxy` before it takes plain HTTP, as an administrator.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;

use super::DIRECT;
use crate::support::process::Process;
use crate::support::site::{Site, repository};

/// Port of the API server itself, over TLS.
pub const SECURE: u16 = 6442;
const TOKEN: &str = "administrator";
/// Ports of etcd: clients, peers.
const STORE: [u16; 2] = [2379, 2380];

/// Where its programs are, if it is asked for.
pub fn programs() -> Option<PathBuf> {
    let programs = PathBuf::from(std::env::var_os("WEIR_STOCK_API_SERVER")?);
    assert!(
        programs.join("kube-apiserver").exists(),
        "WEIR_STOCK_API_SERVER: no kube-apiserver in {}",
        programs.display()
    );
    Some(programs)
}

/// A stock API server's place: its keys, its store.
pub struct Stock {
    programs: PathBuf,
    ip: Ipv4Addr,
    root: PathBuf,
    logs: PathBuf,
}

impl Stock {
    /// Writes keys and kubeconfigs; `plain` leads past TLS.
    pub fn new(site: &Site, programs: PathBuf, plain: &Path) -> Self {
        let this = Self { programs, ip: site.ip(), root: site.path("stock"), logs: site.logs() };
        fs::create_dir(&this.root).unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        fs::write(this.root.join("accounts.key"), key.serialize_pem()).unwrap();
        fs::write(this.root.join("accounts.pub"), key.public_key_pem()).unwrap();
        fs::write(this.root.join("tokens.csv"), format!("{TOKEN},administrator,1,\"system:masters\"\n")).unwrap();
        let secure = format!("https://{}:{SECURE}", this.ip);
        let direct = format!("http://{}:{DIRECT}", this.ip);
        let file = |server: String, user| {
            json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "stock",
                "clusters": [{"name": "stock", "cluster": server_of(&server)}],
                "users": [{"name": "stock", "user": user}],
                "contexts": [{"name": "stock", "context": {"cluster": "stock", "user": "stock"}}],
            })
            .to_string()
        };
        fs::write(this.root.join("kubeconfig"), file(secure, json!({"token": TOKEN}))).unwrap();
        fs::write(plain, file(direct, json!({}))).unwrap();
        this
    }

    /// Starts what stores the objects; it outlives the API server.
    pub fn store(&self) -> Process {
        let url = |port: u16| format!("http://{}:{port}", self.ip);
        let mut command = Command::new(self.programs.join("etcd"));
        command.arg("--data-dir").arg(self.root.join("etcd")).arg("--unsafe-no-fsync");
        for (name, port) in [("client", STORE[0]), ("peer", STORE[1])] {
            command.arg(format!("--listen-{name}-urls={}", url(port)));
            let advertised = if name == "client" { "--advertise-client-urls" } else { "--initial-advertise-peer-urls" };
            command.arg(format!("{advertised}={}", url(port)));
        }
        command.arg(format!("--initial-cluster=default={}", url(STORE[1])));
        Process::start("etcd", &self.logs, &mut command)
    }

    /// Starts the API server and the way to it.
    pub fn start(&self) -> Vec<Process> {
        let file = |name: &str| self.root.join(name).display().to_string();
        let mut command = Command::new(self.programs.join("kube-apiserver"));
        command.args([
            format!("--etcd-servers=http://{}:{}", self.ip, STORE[0]),
            format!("--bind-address={}", self.ip),
            format!("--secure-port={SECURE}"),
            "--advertise-address=10.0.0.1".into(),
            "--endpoint-reconciler-type=none".into(),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--authorization-mode=RBAC".into(),
            // Its account would have to be there before a pod is; no pod is made here.
            "--disable-admission-plugins=ServiceAccount".into(),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
            format!("--service-account-signing-key-file={}", file("accounts.key")),
            format!("--service-account-key-file={}", file("accounts.pub")),
            format!("--token-auth-file={}", file("tokens.csv")),
            format!("--cert-dir={}", file("certificates")),
        ]);
        let server = Process::start("apiserver", &self.logs, &mut command);
        let kubectl =
            std::env::var_os("WEIR_KUBECTL").map_or_else(|| repository("target/tools/kubectl"), PathBuf::from);
        let mut command = Command::new(kubectl);
        command.arg("proxy").arg("--kubeconfig").arg(self.root.join("kubeconfig")).env("HOME", &self.root);
        command.args(["--disable-filter", &format!("--address={}", self.ip), &format!("--port={DIRECT}")]);
        vec![server, Process::start("apiserver-way", &self.logs, &mut command)]
    }

    /// Who vouches for its certificate, PEM.
    pub fn authority(&self) -> String {
        fs::read_to_string(self.root.join("certificates/apiserver.crt")).unwrap()
    }
}

/// It makes its certificate itself, at its first start.
fn server_of(url: &str) -> serde_json::Value {
    if url.starts_with("https") {
        json!({"server": url, "insecure-skip-tls-verify": true})
    } else {
        json!({"server": url})
    }
}
