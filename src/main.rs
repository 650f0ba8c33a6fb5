//! The `weir` command: one file a subcommand.

mod addresses;
mod bootstrap;
mod check;
mod crds;
mod echo;
mod explain;
mod logging;
mod proxy;
mod render;
mod server;
mod status;
mod term;
mod up;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Weir routes the traffic of many tenants, keeps them apart, holds them to their limits and
/// measures what they use.
///
/// Start with `weir up DIR`: a control server and an edge proxy in one process, over a directory of
/// Kubernetes manifests. `weir check DIR` says what is wrong with such a directory.
#[derive(Parser)]
#[command(name = "weir", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(up::Args),
    Server(server::Args),
    Proxy(proxy::Args),
    Check(check::Args),
    Render(render::Args),
    Status(status::Args),
    Explain(explain::Args),
    Usage(usage::Args),
    Crds(crds::Args),
    #[command(subcommand)]
    Bootstrap(bootstrap::Kind),
    Echo(echo::Args),
}

/// Exit codes: 0 well, 1 a finding or a failure, 2 wrong usage (clap's own).
fn main() -> ExitCode {
    // pingora turns on a second rustls provider; the first to be installed serves everywhere.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("weir: a TLS provider was installed before main");
        return ExitCode::FAILURE;
    }
    let outcome = match Cli::parse().command {
        Command::Up(args) => up::run(args),
        Command::Proxy(args) => proxy::run(&args),
        Command::Server(args) => server::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Usage(args) => usage::run(&args),
        Command::Crds(args) => crds::run(&args),
        Command::Bootstrap(kind) => bootstrap::run(kind),
        Command::Echo(args) => echo::run(args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_well_formed() {
        super::Cli::command().debug_assert();
    }
}
