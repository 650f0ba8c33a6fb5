//! `weir up`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Mutex, oneshot};
use tokio_util::sync::CancellationToken;
use weir_config::bootstrap::{
    Address, Admin, Authentication, ClientTls, Endpoint, Period, ProxyBootstrap, ProxyUsage, ServerBootstrap, XdsPort,
};
use weir_proxy::run::{Proxy, service};
use weir_xds_server::auth::issuer::Places;

use crate::addresses::Addresses;
use crate::check::Unassigned;
use crate::{logging, proxy, server};

/// Run a control server and an edge proxy in one process, over a directory of manifests
///
/// The directory is watched: an edit is in effect without a restart, and a document that cannot be
/// used is reported while what it said before keeps serving. SIGTERM drains, SIGINT ends at once. The
/// access log goes to standard output, everything else to standard error. The addresses that were
/// really bound are in STATE_DIR/addresses.json.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of manifests (*.yaml, *.yml, *.json; subdirectories too)
    dir: PathBuf,
    /// Directory for what must outlive a restart; made if it is not there
    #[arg(long, default_value = "weir-state", value_name = "D")]
    state_dir: PathBuf,
    /// Address of the xDS port; loopback or unix:/path; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:18000", value_name = "ADDR")]
    xds: Address,
    /// Address of the control server's admin endpoint
    #[arg(long, default_value = "127.0.0.1:18001", value_name = "ADDR")]
    server_admin: Address,
    /// Address of the proxy's admin endpoint
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "ADDR")]
    proxy_admin: Address,
    /// Length of a window of usage
    #[arg(long, default_value = "10s", value_name = "TIME")]
    usage_window: Period,
    /// Worker threads of the proxy; by default one for each CPU
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Let in whoever can connect to the xDS port, without TLS; only with --xds on loopback or unix:/path
    #[arg(long)]
    anonymous: bool,
    /// Namespaces of no tenant: refuse them, or take them as the platform's own
    #[arg(long, value_enum, default_value_t)]
    unassigned: Unassigned,
    #[command(flatten)]
    log: logging::Args,
}

/// How long the server may take to open its ports.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to end.
const END: Duration = Duration::from_secs(3);

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let set_filter = logging::start(&args.log)?;
    anyhow::ensure!(args.dir.is_dir(), "{} is not a directory of manifests", args.dir.display());
    let addresses = Arc::new(Addresses::new(&args.state_dir)?);
    let (settings, mut bootstrap) = bootstraps(args);

    // The proxy is told where the server really listens, so the server's ports come first.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let shutdown = CancellationToken::new();
    let (bound, heard) = oneshot::channel();
    let task = runtime.spawn(server::serve(settings.clone(), shutdown.clone(), Arc::clone(&addresses), bound));
    let Ok(Ok(xds)) = runtime.block_on(async { tokio::time::timeout(PATIENCE, heard).await }) else {
        shutdown.cancel();
        return runtime.block_on(task)?.map(|()| ExitCode::FAILURE);
    };
    bootstrap.xds = endpoint(xds, &settings);

    let proxy = Proxy::new(&bootstrap, proxy::hooks(set_filter, addresses))?;
    let task = Arc::new(Mutex::new(task));
    let server = Arc::clone(&task);
    let server = service("server", move |_stop| async move {
        (&mut *server.lock().await).await.context("the control server broke off")?
    });
    // The proxy ends first, so that the server takes the last usage.
    let ran = proxy.run(vec![server]);
    shutdown.cancel();
    runtime.block_on(async {
        let ended = tokio::time::timeout(END, async {
            let mut task = task.lock().await;
            // One that ended before has said why, and is not asked again.
            if !task.is_finished() { (&mut *task).await.map(drop) } else { Ok(()) }
        });
        if ended.await.is_err() {
            tracing::warn!("the control server did not end in time");
        }
    });
    ran.map(|()| ExitCode::SUCCESS)
}

/// The server, as its own proxy reaches it: what the proxy needs lies in the server's state directory.
fn endpoint(xds: Address, server: &ServerBootstrap) -> Endpoint {
    if server.authentication.anonymous {
        return Endpoint::new(xds);
    }
    let places = Places::new(&server.state_dir);
    let tls = ClientTls {
        ca_file: places.ca(),
        server_name: Some("weir-server".into()),
        certificate_file: None,
        key_file: None,
    };
    Endpoint { tls: Some(tls), token_file: Some(places.class_token(&server.edge.name)), ..Endpoint::new(xds) }
}

/// Settings of the two halves; the proxy's xDS address is not known yet.
fn bootstraps(args: Args) -> (ServerBootstrap, ProxyBootstrap) {
    let server = ServerBootstrap {
        state_dir: args.state_dir.join("server"),
        xds: XdsPort { address: args.xds, tls: None },
        admin: Admin::new(args.server_admin),
        authentication: Authentication { anonymous: args.anonymous, ..Authentication::default() },
        unassigned: args.unassigned.into(),
        ..ServerBootstrap::new(args.dir)
    };
    let proxy = ProxyBootstrap {
        admin: Admin::new(args.proxy_admin),
        state_dir: args.state_dir.join("proxy"),
        usage: ProxyUsage { window: args.usage_window, ..ProxyUsage::default() },
        workers: args.workers,
        ..ProxyBootstrap::default()
    };
    (server, proxy)
}
