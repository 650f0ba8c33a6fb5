//! Weir beside its peers, measured in one run. All traffic stays on loopback, bounded in count.

mod callgrind;
mod client;
mod manifests;
mod peers;
mod processes;
mod upstream;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measure Weir beside its peers
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Instructions per request, by callgrind: a long run less a short one, over the difference
    ///
    /// Counts user-space instructions of the proxy process alone, so the figure is the same on a busy
    /// machine. Rows: plain proxying of one tenant, and routing with limits for many; nginx beside
    /// them, if it is installed.
    Instructions {
        /// The `weir` to measure: a release build
        #[arg(long, default_value = "target/release/weir")]
        weir: PathBuf,
        /// Requests of the short run; the long one has three times as many
        #[arg(long, default_value_t = 1000)]
        requests: u32,
        /// Tenants of the second row
        #[arg(long, default_value_t = 1000)]
        tenants: u32,
        /// Keep each run's callgrind profile in this directory
        #[arg(long)]
        profiles: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    let Command::Instructions { weir, requests, tenants, profiles } = Cli::parse().command;
    callgrind::run(&callgrind::Options { weir, requests, tenants, profiles })
}
