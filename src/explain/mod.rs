//! `weir explain`

mod answer;
mod ask;
mod backends;
mod connection;
#[cfg(test)]
mod connection_tests;
mod effects;
mod judge;
mod lost;
mod notes;
mod policies;
mod request;
mod show;
mod tables;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::check::{Output, Unassigned};
use crate::term;

/// Say whose a request is, what would happen to it, and why
///
/// No request is sent. The answer comes first; then the tenant, the listener, the route that wins and
/// why, where it goes, and what did not win and why each. The decision is made by the code that serves
/// requests, over the resources that the server has now, or that a directory of manifests would become.
///
/// Exits with 0 if a backend or a route would answer, with 1 if not (404, 503, 500, no connection, or a
/// share of the requests), with 2 for wrong usage.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  weir explain http://shop.acme.test/api/orders
  weir explain https://shop.acme.test/ --method POST --header 'x-version: 2'
  weir explain https://shop.acme.test/ --server http://10.0.0.7:18001 --output json
  weir explain shop.acme.test/api --dir manifests/        before it is merged: no server is needed
  weir explain http://127.0.0.1:8080/ --header 'Host: shop.acme.test'        as curl would send it
  weir explain grpc://api.acme.test/acme.Shop/Buy        as grpcurl -plaintext would; grpcs:// is over TLS
  weir explain tls://db.acme.test:5432, tcp://10.0.0.7:5432, udp://10.0.0.7:53        connections

The fields of --output json: docs/explain.md")]
pub(crate) struct Args {
    /// What a client would ask for; without a scheme it is http://
    url: String,
    /// Method
    #[arg(long, short = 'X', default_value = "GET", value_name = "M")]
    method: String,
    /// A header, as `name: value`; may be given several times. `Host` stands in place of the URL's host
    #[arg(long, short = 'H', value_name = "'K: V'")]
    header: Vec<String>,
    /// The client's address: what the backend sees in x-forwarded-for
    #[arg(long, value_name = "A")]
    client_address: Option<IpAddr>,
    /// The admin endpoint of the server that is asked [default: http://127.0.0.1:18001]
    #[arg(long, value_name = "ADMIN_URL", conflicts_with = "dir")]
    server: Option<String>,
    /// Ask no server: explain what this directory of manifests would do
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only the listeners of this Gateway
    #[arg(long, value_name = "NS/NAME")]
    gateway: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// With --dir, namespaces of no tenant: refuse them, or take them as the platform's own
    #[arg(long, value_enum, default_value_t, requires = "dir")]
    unassigned: Unassigned,
}

/// Exit code of wrong usage, as clap's own.
const USAGE: u8 = 2;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let asked = request::Asked::read(&args.url, &args.method, &args.header, args.client_address);
    let asked = asked.and_then(|asked| Ok((asked.question(args.gateway.clone()).check()?, asked)));
    let (question, asked) = match asked {
        Ok(both) => both,
        Err(problem) => {
            eprintln!("weir: {problem}\n\nFor more information, try 'weir explain --help'.");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let scene = match &args.dir {
        Some(dir) => ask::directory(dir, args.unassigned, &question)?,
        None => ask::server(args.server.as_deref(), &question)?,
    };
    let answer = judge::judge(&scene, &asked)?;
    match args.output {
        Output::Json => term::print(&format!("{}\n", serde_json::to_string_pretty(&answer)?))?,
        Output::Text => term::print(&show::show(&answer))?,
    }
    Ok(if answer.well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
