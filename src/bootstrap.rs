//! `weir bootstrap`

use std::net::SocketAddr;
use std::process::ExitCode;

use weir_config::bootstrap::envoy_bootstrap;

use crate::term;

/// Print start-up configurations
#[derive(clap::Subcommand)]
pub(crate) enum Kind {
    Envoy(Envoy),
}

/// Print the bootstrap of a stock Envoy that obeys this control server
///
/// Run it with `weir bootstrap envoy > envoy.json && envoy -c envoy.json`.
#[derive(clap::Args)]
pub(crate) struct Envoy {
    /// Address of the control server's xDS port
    #[arg(long, default_value = "127.0.0.1:18000")]
    xds: SocketAddr,
    /// Address of Envoy's own admin endpoint
    #[arg(long, default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// Identity of the node, for logs and `weir status`
    #[arg(long, default_value = "envoy")]
    node: String,
    /// Cluster of the node
    #[arg(long, default_value = "edge")]
    cluster: String,
}

pub(crate) fn run(kind: &Kind) -> anyhow::Result<ExitCode> {
    let Kind::Envoy(args) = kind;
    term::print(&format!("{:#}\n", envoy_bootstrap(&args.node, &args.cluster, args.xds, args.admin)))?;
    Ok(ExitCode::SUCCESS)
}
