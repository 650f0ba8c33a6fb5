//! Weir: a control server over a directory of manifests, and the proxy in a process of its own, so
//! that its CPU time is told apart. Usage is metered in every row; it cannot be turned off.

pub(super) mod manifests;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::{Case, Prepared};
use crate::processes::{self, Process, free_address, wait_for};

pub(super) fn prepare(program: &Path, case: &Case) -> anyhow::Result<Prepared> {
    let dir = case.dir.as_path();
    let (xds, admin) = (free_address()?, free_address()?);
    let objects = dir.join("manifests");
    fs::create_dir(&objects)?;
    manifests::write(&objects, case)?;
    let (server, proxy) = (dir.join("server.yaml"), dir.join("proxy.yaml"));
    fs::write(&server, server_settings(dir, xds, case.log))?;
    fs::write(&proxy, proxy_settings(dir, xds, admin))?;
    let errors = dir.join("server.log");
    let place = processes::Place { core: case.beside, output: None, errors: Some(&errors) };
    let mut beside = Process::start(Command::new(program).arg("server").arg("--config").arg(&server), place)?;
    wait_for(&dir.join("server/addresses.json"), || beside.check()).context("the control server")?;
    let mut prepared = Prepared::new(program, &["proxy", "--config", &proxy.display().to_string()]);
    if case.log {
        prepared.output = Some(dir.join("access.log"));
        prepared.log.clone_from(&prepared.output);
    }
    let state = dir.join("proxy");
    // What it writes down once belongs to no request.
    prepared.settled = Some(state.join("last-good.xds"));
    prepared.state = Some(state);
    prepared._beside = Some(beside);
    Ok(prepared)
}

fn server_settings(dir: &Path, xds: SocketAddr, log: bool) -> String {
    let dir = dir.display();
    format!(
        "source: {{directory: {dir}/manifests}}
stateDir: {dir}/server
xds: {{address: '{xds}'}}
admin: {{address: '127.0.0.1:0'}}
edge: {{accessLog: {log}}}
authentication: {{anonymous: true}}
"
    )
}

fn proxy_settings(dir: &Path, xds: SocketAddr, admin: SocketAddr) -> String {
    format!(
        "node: {{id: raced, cluster: edge}}
xds: {{address: '{xds}'}}
admin: {{address: '{admin}'}}
stateDir: {}/proxy
workers: 1
",
        dir.display()
    )
}
