//! `weir server`

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use weir_config::FieldError;
use weir_config::bootstrap::{Address, ServerBootstrap};

use crate::addresses::Addresses;
use crate::logging;

/// Run the control server
///
/// It reads objects from a directory and serves them as standard Envoy xDS v3 (delta ADS).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bootstrap file (YAML or JSON); config/examples/bootstrap/server.yaml shows every field
    #[arg(long)]
    config: PathBuf,
    #[command(flatten)]
    log: logging::Args,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let bootstrap = read(&args.config, ServerBootstrap::parse)?;
    logging::start(&args.log)?;
    let addresses = Arc::new(Addresses::new(&bootstrap.state_dir)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            tracing::info!("asked to end; streams are closed, proxies keep their configuration");
            stop.cancel();
        });
        serve(bootstrap, shutdown, addresses, oneshot::channel().0).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a server until `shutdown`. `bound` hears the xDS port's address when it is open.
pub(crate) async fn serve(
    bootstrap: ServerBootstrap,
    shutdown: CancellationToken,
    addresses: Arc<Addresses>,
    bound: oneshot::Sender<Address>,
) -> anyhow::Result<()> {
    let (told, heard) = oneshot::channel::<weir_xds_server::server::Addresses>();
    tokio::spawn(async move {
        if let Ok(both) = heard.await {
            addresses.add("xds", both.xds.to_string());
            addresses.add("serverAdmin", both.admin.to_string());
            if let Some(metrics) = both.metrics {
                addresses.add("serverMetrics", metrics.to_string());
            }
            // Whoever started the server may not care.
            let _ = bound.send(both.xds);
        }
    });
    weir_xds_server::server::run(&bootstrap, shutdown, told).await
}

/// Reads a bootstrap file; every error is reported with the file's name.
pub(crate) fn read<T>(file: &PathBuf, parse: fn(&str) -> Result<T, Vec<FieldError>>) -> anyhow::Result<T> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    parse(&text).map_err(|errors| {
        let lines: Vec<_> = errors.iter().map(|e| format!("{}: {e}", file.display())).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}
