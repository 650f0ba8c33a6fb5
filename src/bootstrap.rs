//! `weir bootstrap`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::Context;
use weir_config::bootstrap::{EnvoySettings, EnvoyTls, Target, envoy_bootstrap};
use weir_xds_server::auth::issuer::Places;

use crate::term;

/// Print start-up configurations
#[derive(clap::Subcommand)]
pub(crate) enum Kind {
    Envoy(Envoy),
}

/// Print the bootstrap of a stock Envoy that obeys this control server
///
/// Run it with `weir bootstrap envoy --state-dir D > envoy.json && envoy -c envoy.json`. What the Envoy
/// proves itself by may rotate: it is read anew. For that Envoy needs a small file beside its bootstrap
/// for each of token, authorities and certificate, which says where it lies; they are written to --files.
#[derive(clap::Args)]
pub(crate) struct Envoy {
    /// The control server's xDS port: ADDR:PORT, NAME:PORT or unix:PATH
    #[arg(long, default_value = "127.0.0.1:18000")]
    xds: Target,
    /// Address of Envoy's own admin endpoint
    #[arg(long, default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// Identity of the node, for logs and `weir status`
    #[arg(long, default_value = "envoy")]
    node: String,
    /// Cluster of the node
    #[arg(long, default_value = "edge")]
    cluster: String,
    /// State directory of a `weir up` or `weir server` on this machine, whose own issuer gives CA and token
    #[arg(long, value_name = "D", conflicts_with_all = ["ca", "token", "certificate"])]
    state_dir: Option<PathBuf>,
    /// Proxy class whose token to take from --state-dir
    #[arg(long, default_value = "edge", value_name = "CLASS")]
    class: String,
    /// Certificate authorities of the control server, PEM; without it the stream is plain text
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name that the control server's certificate must have; by default the name in --xds, or weir-server
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Service-account token (audience weir)
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// Client certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "key", requires = "ca")]
    certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Directory for the files beside the bootstrap; by default `envoy` in --state-dir, or `weir-envoy` here
    #[arg(long, value_name = "D")]
    files: Option<PathBuf>,
    /// Fetch virtual hosts when a request first names them, instead of all at once (docs/xds.md)
    #[arg(long)]
    on_demand: bool,
}

pub(crate) fn run(kind: Kind) -> anyhow::Result<ExitCode> {
    let Kind::Envoy(args) = kind;
    let settings = settings(args)?;
    let files = envoy_bootstrap(&settings);
    for (name, content) in &files.secrets {
        write(&settings.files, name, &format!("{content:#}\n"))
            .with_context(|| format!("cannot write {}", settings.files.join(name).display()))?;
    }
    term::print(&format!("{:#}\n", files.bootstrap))?;
    Ok(ExitCode::SUCCESS)
}

fn settings(args: Envoy) -> anyhow::Result<EnvoySettings> {
    let absolute =
        |path: PathBuf| std::path::absolute(&path).with_context(|| format!("cannot tell where {} is", path.display()));
    let mut files = args.files.unwrap_or_else(|| "weir-envoy".into());
    let (mut ca, mut token) = (args.ca, args.token);
    if let Some(state_dir) = &args.state_dir {
        let places = issuer(state_dir)?;
        (ca, token) = (Some(places.ca()), Some(places.class_token(&args.class)));
        if files == Path::new("weir-envoy") {
            files = state_dir.join("envoy");
        }
    }
    let host = match &args.xds {
        Target::Name(host, _) => host.clone(),
        Target::Address(_) => "weir-server".into(),
    };
    // The own issuer's certificate has this name, whatever the address is.
    let host = if args.state_dir.is_some() { "weir-server".into() } else { host };
    let server_name = args.server_name.unwrap_or(host);
    let local = matches!(&args.xds, Target::Address(address) if address.is_local());
    anyhow::ensure!(
        local || ca.is_some() || token.is_none(),
        "the token would cross the network to {} in the clear: give --ca",
        args.xds
    );
    let pair = args.certificate.zip(args.key);
    let pair = pair.map(|(chain, key)| Ok::<_, anyhow::Error>((absolute(chain)?, absolute(key)?))).transpose()?;
    let tls = ca.map(|ca| Ok::<_, anyhow::Error>(EnvoyTls { ca: absolute(ca)?, server_name, certificate: pair }));
    Ok(EnvoySettings {
        node: args.node,
        cluster: args.cluster,
        xds: args.xds,
        admin: args.admin,
        tls: tls.transpose()?,
        token: token.map(absolute).transpose()?,
        files: absolute(files)?,
        on_demand: args.on_demand,
    })
}

/// What the issuer of a server on this machine gives: the state directory is the server's, or `weir up`'s.
fn issuer(state_dir: &Path) -> anyhow::Result<Places> {
    let places = [state_dir.to_owned(), state_dir.join("server")].map(|dir| Places::new(&dir));
    let found = places.into_iter().find(|places| places.ca().exists());
    found.with_context(|| {
        format!("{} has no identity of a server: has `weir up` or `weir server` been started?", state_dir.display())
    })
}

/// Puts a file in place, whole: an Envoy may be watching it.
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let next = folder.join(".next");
    fs::write(&next, text)?;
    fs::rename(next, folder.join(name))
}
