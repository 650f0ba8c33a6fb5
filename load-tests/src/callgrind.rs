//! Instructions per request.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::processes::{Process, free_address};
use crate::{client, manifests, peers, upstream};

/// What to measure.
pub(crate) struct Options {
    pub(crate) weir: PathBuf,
    pub(crate) requests: u32,
    pub(crate) tenants: u32,
    pub(crate) profiles: Option<PathBuf>,
}

/// Measures each row and prints a table.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(options.weir.exists(), "{} is missing: cargo build --release", options.weir.display());
    let weir = options.weir.canonicalize()?;
    let mut rows = vec![
        ("weir, 1 tenant", per_request(options, "weir-1", |n, out| weir_run(&weir, 1, n, out))?),
        ("weir, many tenants", per_request(options, "weir-many", |n, out| weir_run(&weir, options.tenants, n, out))?),
    ];
    let dir = tempfile::tempdir()?;
    if peers::nginx(dir.path(), free_address()?, free_address()?)?.is_some() {
        rows.push(("nginx, plain", per_request(options, "nginx", nginx_run)?));
    } else {
        eprintln!("nginx is not installed: its row is left out (Debian: apt-get install nginx)");
    }
    println!("{:<20} {:>24}", "", "instructions a request");
    for (name, figure) in rows {
        println!("{name:<20} {figure:>24}");
    }
    println!("many: {} tenants", options.tenants);
    Ok(())
}

/// A long run less a short one, over the difference in requests.
fn per_request(options: &Options, name: &str, run: impl Fn(u32, &Path) -> anyhow::Result<u64>) -> anyhow::Result<u64> {
    let dir = tempfile::tempdir()?;
    let profile = |run: &str| match &options.profiles {
        Some(kept) => kept.join(format!("{name}-{run}.callgrind")),
        None => dir.path().join(run),
    };
    if let Some(kept) = &options.profiles {
        fs::create_dir_all(kept)?;
    }
    eprintln!("measuring {name} ...");
    let (short, long) = (options.requests, options.requests * 3);
    let first = run(short, &profile("short")).with_context(|| name.to_owned())?;
    let second = run(long, &profile("long")).with_context(|| name.to_owned())?;
    Ok(second.saturating_sub(first) / u64::from(long - short))
}

/// `program` under callgrind, its profile in `out`.
fn under_callgrind(program: &Path, out: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display())).arg(program);
    command
}

/// One run of server and proxy; the proxy's instructions.
fn weir_run(weir: &Path, tenants: u32, requests: u32, out: &Path) -> anyhow::Result<u64> {
    let dir = tempfile::tempdir()?;
    let (listen, xds, admin) = (free_address()?, free_address()?, free_address()?);
    let objects = dir.path().join("manifests");
    fs::create_dir(&objects)?;
    manifests::write(&objects, tenants, listen, upstream::start()?)?;
    let server = dir.path().join("server.yaml");
    fs::write(
        &server,
        format!(
            "source: {{directory: {}}}\nstateDir: {}\nxds: {{address: '{xds}'}}\nadmin: {{address: '127.0.0.1:0'}}\n",
            objects.display(),
            dir.path().join("server").display()
        ),
    )?;
    let proxy = dir.path().join("proxy.yaml");
    fs::write(
        &proxy,
        format!(
            "node: {{id: measured, cluster: edge}}\nxds: {{address: '{xds}'}}\nadmin: {{address: '{admin}'}}\nstateDir: {}\nworkers: 1\n",
            dir.path().join("proxy").display()
        ),
    )?;
    let _server = Process::start(Command::new(weir).arg("server").arg("--config").arg(&server))?;
    let proxy = Process::start(under_callgrind(weir, out).arg("proxy").arg("--config").arg(&proxy))?;
    let hosts: Vec<String> = (0..tenants).map(manifests::host).collect();
    for host in &hosts {
        client::ready(listen, host)?;
    }
    // What it writes down once belongs to no request.
    settled(&dir.path().join("proxy/last-good.xds"))?;
    client::run(listen, &hosts, requests)?;
    proxy.stop()?;
    total(out)
}

/// Waits until a file is there: it is renamed into its place whole.
fn settled(file: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !file.exists() {
        anyhow::ensure!(Instant::now() < deadline, "{} never came", file.display());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// One run of nginx; its instructions.
fn nginx_run(requests: u32, out: &Path) -> anyhow::Result<u64> {
    let dir = tempfile::tempdir()?;
    let listen = free_address()?;
    let plain = peers::nginx(dir.path(), listen, upstream::start()?)?.context("nginx is not installed")?;
    let mut command = under_callgrind(Path::new(plain.get_program()), out);
    command.args(plain.get_args());
    let nginx = Process::start(&mut command)?;
    client::ready(listen, "plain.test")?;
    client::run(listen, &["plain.test".to_owned()], requests)?;
    nginx.stop()?;
    total(out)
}

/// The profile's total.
fn total(profile: &Path) -> anyhow::Result<u64> {
    let text = fs::read_to_string(profile).with_context(|| format!("callgrind left no {}", profile.display()))?;
    let line = text.lines().rev().find_map(|l| l.strip_prefix("totals:").or_else(|| l.strip_prefix("summary:")));
    Ok(line.context("the profile has no total")?.split_whitespace().next().context("the total is empty")?.parse()?)
}
