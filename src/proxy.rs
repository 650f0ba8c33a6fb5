//! `weir proxy`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Map, Value};
use weir_config::bootstrap::ProxyBootstrap;
use weir_proxy::run::{Bound, Hooks, Proxy};

use crate::addresses::Addresses;
use crate::{logging, server};

/// Run the edge proxy
///
/// It takes its configuration from a control server over delta ADS, keeps the last good one on disk,
/// and serves. SIGTERM drains; SIGINT, or a second SIGTERM, ends at once. The access log goes to
/// standard output.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bootstrap file (YAML or JSON); config/examples/bootstrap/proxy.yaml shows every field
    #[arg(long)]
    config: PathBuf,
    /// Name of this proxy, instead of the file's `node.id`: for many that share one file
    #[arg(long, env = "WEIR_NODE_ID", value_name = "NAME")]
    node_id: Option<String>,
    #[command(flatten)]
    log: logging::Args,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut bootstrap = server::read(&args.config, ProxyBootstrap::parse)?;
    if let Some(id) = args.node_id.as_ref().filter(|id| !id.is_empty()) {
        bootstrap.node.id.clone_from(id);
    }
    let set_filter = logging::start(&args.log)?;
    let addresses = Arc::new(Addresses::new(&bootstrap.state_dir)?);
    Proxy::new(&bootstrap, hooks(set_filter, addresses))?.run(Vec::new())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes down what the proxy bound, as it changes.
pub(crate) fn hooks(set_filter: logging::SetFilter, addresses: Arc<Addresses>) -> Hooks {
    let bound = move |bound: &Bound| {
        let listeners: Map<String, Value> =
            bound.listeners.iter().map(|(name, address)| (name.clone(), address.to_string().into())).collect();
        addresses.add("proxyAdmin", bound.admin.to_string());
        if let Some(metrics) = &bound.metrics {
            addresses.add("proxyMetrics", metrics.to_string());
        }
        addresses.add("listeners", listeners);
    };
    Hooks { set_filter, bound: Box::new(bound) }
}
