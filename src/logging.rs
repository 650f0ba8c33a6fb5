//! The program's own log, on standard error; standard output belongs to answers and access logs.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Options that every long-running command has.
#[derive(clap::Args, Debug)]
#[group(skip)]
pub(crate) struct Args {
    /// What to log: error, warn, info, debug, trace, or a filter such as `info,weir_proxy=debug`
    #[arg(long, env = "WEIR_LOG", default_value = "info")]
    log_level: String,
    /// How to log
    #[arg(long, value_enum, default_value_t)]
    log_format: Format,
}

/// Changes the filter while the program runs; what it is given is a filter as `--log-level` takes it.
pub(crate) type SetFilter = std::sync::Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Whatever the filter says: at `trace`, the HTTP client would log every byte that it sends, tokens too.
fn may_be_logged(about: &Metadata<'_>) -> bool {
    *about.level() != Level::TRACE || !about.target().starts_with("ureq")
}

/// Starts the log.
pub(crate) fn start(args: &Args) -> anyhow::Result<SetFilter> {
    let filter = EnvFilter::try_new(&args.log_level)
        .map_err(|e| anyhow::anyhow!("--log-level {:?}: {e}; try `info` or `info,weir_proxy=debug`", args.log_level))?;
    let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(filter);
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let layer = match args.log_format {
        Format::Text => layer.with_target(false).boxed(),
        Format::Json => layer.json().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(filter_fn(may_be_logged)).with(layer).try_init()?;
    Ok(std::sync::Arc::new(move |text| {
        let filter = EnvFilter::try_new(text).map_err(|e| e.to_string())?;
        handle.reload(filter).map_err(|e| e.to_string())
    }))
}
