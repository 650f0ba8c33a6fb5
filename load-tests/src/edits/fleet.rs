//! The processes of a fleet: a control server over a directory of manifests or an API server, proxies that each
//! have a loopback address of their own, and a backend.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::ask::{Asker, Place as Proxy};
use super::cluster::{self, Cluster};
use super::manifests;
use super::sets;
use super::world::World;
use crate::processes::{Place, Process, free_address};
use crate::upstream::Upstream;

/// Port of the one listener, at each proxy's own address.
const PORT: u16 = 8080;
/// How long a start may take, under an emulator on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// Where a control server has its objects from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'s> {
    /// A directory of manifests.
    Directory,
    /// An API server: this program.
    Kubernetes(&'s Path),
}

/// What a fleet is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'s> {
    pub(crate) weir: &'s Path,
    pub(crate) source: Source<'s>,
    pub(crate) world: World,
    pub(crate) tenants: u32,
    pub(crate) proxies: u8,
    pub(crate) upstream: Upstream,
    /// Program and arguments under which the server runs.
    pub(crate) under: Option<(&'s Path, &'s [String])>,
    /// Whether there is a server before this one, which leads: both write statuses, proxies are at the second.
    pub(crate) led: bool,
    /// How often proxies report usage.
    pub(crate) window: &'s str,
}

/// A fleet that serves. Dropped, all of it ends.
pub(crate) struct Fleet {
    dir: tempfile::TempDir,
    world: World,
    /// Where the objects are, if not in the directory.
    cluster: Option<Cluster>,
    pub(crate) server: Process,
    /// The server that leads, where there are two.
    pub(crate) leader: Option<Process>,
    pub(crate) proxies: Vec<Process>,
    addresses: Vec<SocketAddr>,
    /// From the start of the server's process until it was ready.
    pub(crate) ready: Duration,
    /// From the start of the proxies, all at once, until each of them served every tenant that was asked for.
    pub(crate) serving: Duration,
}

impl Fleet {
    /// Writes the objects and starts everything.
    pub(crate) fn start(shape: Shape<'_>) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let cluster = match shape.source {
            Source::Directory => {
                write(dir.path(), shape).context("cannot write manifests")?;
                None
            }
            Source::Kubernetes(program) => {
                let cluster = Cluster::start(program, dir.path())?;
                cluster::fill(&cluster, shape.world, PORT, shape.tenants, &shape.upstream)
                    .context("cannot make the objects")?;
                Some(cluster)
            }
        };
        let leader = match &cluster {
            Some(cluster) if shape.led => {
                let leader = server(dir.path(), "leader", Some(cluster), free_address()?, shape)?;
                until_led(cluster, "leader")?;
                Some(leader)
            }
            _ => None,
        };
        let xds = free_address()?;
        let begun = Instant::now();
        let server = server(dir.path(), "server", cluster.as_ref(), xds, shape)?;
        let ready = begun.elapsed();
        let begun = Instant::now();
        let mut proxies = Vec::new();
        let mut addresses = Vec::new();
        for n in 1..=shape.proxies {
            let address = SocketAddr::new(own_address(n), shape.world.port(PORT));
            proxies.push(proxy(dir.path(), xds, address.ip(), n, shape)?);
            addresses.push(address);
        }
        let mut fleet = Self {
            dir,
            world: shape.world,
            cluster,
            server,
            leader,
            proxies,
            addresses,
            ready,
            serving: Duration::ZERO,
        };
        fleet.wait(shape.tenants)?;
        fleet.serving = begun.elapsed();
        Ok(fleet)
    }

    /// Where the objects are, if not in a directory.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Where the proxies are.
    pub(crate) fn places(&self) -> impl Iterator<Item = Proxy> {
        self.addresses.iter().map(|address| Proxy { address: *address, tls: self.world.tls() })
    }

    /// Makes an edit; the moment just before it took effect, or was asked of the API server, and how long that took.
    pub(crate) fn edit(&self, tenant: u32, edit: u32) -> anyhow::Result<(Instant, Duration)> {
        let object = self.world.edited(tenant, edit);
        match &self.cluster {
            Some(cluster) => cluster.set_spec(&object),
            None => put(&edited_file(self.dir.path(), tenant), &object),
        }
    }

    /// The same for a route that is new.
    pub(crate) fn add(&self, tenant: u32, edit: u32) -> anyhow::Result<(Instant, Duration)> {
        let object = sets::added(tenant, edit);
        match &self.cluster {
            Some(cluster) => cluster.add(&object),
            None => put(&objects(self.dir.path()).join(format!("t{tenant}-new-{edit}.yaml")), &object),
        }
    }

    /// Waits until each proxy serves tenants from all over the fleet.
    fn wait(&mut self, tenants: u32) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let hosts = spread(tenants);
        for (proxy, address) in self.proxies.iter_mut().zip(&self.addresses) {
            let mut asker = None;
            for host in &hosts {
                loop {
                    proxy.check().context("a proxy")?;
                    self.server.check().context("the server")?;
                    ensure!(Instant::now() < deadline, "{address} never served tenant {host}");
                    match Asker::ask_with(&mut asker, Proxy { address: *address, tls: self.world.tls() }, *host) {
                        Ok(Some(_)) => break,
                        Ok(None) | Err(_) => std::thread::sleep(Duration::from_millis(2)),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Tenants from all over a fleet, with the first and the last in either order of their names.
fn spread(tenants: u32) -> Vec<u32> {
    let last = tenants - 1;
    let step = (tenants / 50).max(1) as usize;
    let mut some: Vec<u32> = (0..tenants).step_by(step).collect();
    let nines = (0..tenants).rev().find(|n| n.to_string().bytes().all(|digit| digit == b'9'));
    some.extend(nines.into_iter().chain([last]));
    some
}

fn objects(dir: &Path) -> PathBuf {
    dir.join("manifests")
}

fn edited_file(dir: &Path, tenant: u32) -> PathBuf {
    objects(dir).join(format!("t{tenant}-web.yaml"))
}

/// Writes one object as a whole file, by a rename; the moment just before that.
fn put(file: &Path, object: &serde_json::Value) -> anyhow::Result<(Instant, Duration)> {
    let beside = file.with_extension("next");
    fs::write(&beside, manifests::file(std::slice::from_ref(object)))?;
    let now = Instant::now();
    fs::rename(&beside, file)?;
    Ok((now, now.elapsed()))
}

fn write(dir: &Path, shape: Shape<'_>) -> anyhow::Result<()> {
    let Shape { world, tenants, .. } = shape;
    fs::create_dir(objects(dir))?;
    fs::write(objects(dir).join("platform.yaml"), manifests::file(&world.platform(PORT)))?;
    for n in 0..tenants {
        let objects_of_n = world.tenant(n, &shape.upstream)?;
        fs::write(objects(dir).join(format!("t{n}.yaml")), manifests::file(&objects_of_n))?;
        fs::write(edited_file(dir, n), manifests::file(&[world.edited(n, 0)]))?;
    }
    Ok(())
}

/// Starts the server and waits until it is ready, which it is with all objects in.
fn server(
    dir: &Path,
    name: &str,
    cluster: Option<&Cluster>,
    xds: SocketAddr,
    shape: Shape<'_>,
) -> anyhow::Result<Process> {
    let (settings, admin) = (dir.join(format!("{name}.yaml")), free_address()?);
    let source = match cluster {
        None => format!("directory: {}", objects(dir).display()),
        // Statuses would take the time of the API server.
        Some(cluster) => {
            let kubeconfig = cluster.kubeconfig().display();
            format!("kubernetes: {{kubeconfig: {kubeconfig}, status: {}, replica: {name}}}", shape.led)
        }
    };
    let text = format!(
        "source: {{{source}}}
stateDir: {state}
xds: {{address: '{xds}'}}
admin: {{address: '{admin}'}}
authentication: {{anonymous: true}}
",
        state = dir.join(format!("{name}-state")).display(),
    );
    fs::write(&settings, text)?;
    let mut command = command(shape.under, shape.weir);
    command.arg("server").arg("--config").arg(&settings);
    let log = dir.join(format!("{name}.log"));
    let mut server = Process::start(&mut command, Place { errors: Some(&log), ..Place::default() })?;
    let deadline = Instant::now() + PATIENCE;
    while !super::ask::is_ready(admin) {
        server.check().context("the server")?;
        ensure!(Instant::now() < deadline, "the server was never ready");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(server)
}

/// Who leads, by the Lease.
pub(crate) fn leads(cluster: &Cluster) -> Option<String> {
    let lease = cluster.get("/apis/coordination.k8s.io/v1/namespaces/weir-system/leases/weir-server").ok()?;
    lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
}

/// Waits until the server of this name leads.
pub(crate) fn until_led(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !leads(cluster).is_some_and(|leader| leader.starts_with(name)) {
        ensure!(Instant::now() < deadline, "{name} never leads");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn command(under: Option<(&Path, &[String])>, weir: &Path) -> Command {
    match under {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(weir);
            command
        }
        None => Command::new(weir),
    }
}

fn proxy(dir: &Path, xds: SocketAddr, bind: IpAddr, n: u8, shape: Shape<'_>) -> anyhow::Result<Process> {
    let (settings, admin, state) = (dir.join(format!("proxy{n}.yaml")), free_address()?, dir.join(format!("proxy{n}")));
    let mut text = format!("node: {{id: p{n}, cluster: edge}}\nxds: {{address: '{xds}'}}\nbind: {bind}\nworkers: 1\n");
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "admin: {{address: '{admin}'}}\nstateDir: {}\nusage: {{window: {}}}",
        state.display(),
        shape.window
    );
    fs::write(&settings, text)?;
    let log = dir.join(format!("proxy{n}.log"));
    let mut command = Command::new(shape.weir);
    command.arg("proxy").arg("--config").arg(&settings);
    Process::start(&mut command, Place { errors: Some(&log), ..Place::default() })
}

/// A loopback address that no other run of this program has: all of 127.0.0.0/8 is this machine.
fn own_address(n: u8) -> IpAddr {
    let [.., a, b] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | (a & 63), b, n).into()
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn tenants_are_asked_for_from_all_over_the_fleet() {
        assert_eq!(spread(1), [0, 0]);
        let some = spread(10_000);
        assert!(some.len() > 50 && some.contains(&0) && some.contains(&9_999) && some.iter().all(|n| *n < 10_000));
        assert!(spread(100).ends_with(&[99, 99]));
    }
}
