//! `weir render`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Map, Value};
use weir_config::model::ResourceType;
use weir_config::xds;
use weir_xds_server::translate::World;
use weir_xds_server::watch::directory::read_once;

use crate::check::Unassigned;
use crate::term;

/// Print the xDS resources (JSON) that a directory of manifests becomes
///
/// An object from type URL to list of resources, in the order in which they are sent. Private keys
/// are redacted. Documents that cannot be used are reported on standard error and left out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of manifests
    dir: PathBuf,
    /// Namespaces of no tenant: refuse them, or take them as the platform's own
    #[arg(long, value_enum, default_value_t)]
    unassigned: Unassigned,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let batch = read_once(&args.dir)?;
    for finding in &batch.findings {
        eprintln!("weir: {finding}");
    }
    let mut world = World::new(args.unassigned.settings());
    world.apply(&batch.events);
    let mut by_type = Map::new();
    for kind in ResourceType::ALL {
        let resources: Vec<Value> = world
            .snapshot()
            .of(*kind)
            .iter()
            .map(|resource| {
                xds::json::to_json(*kind, &xds::encode(resource)).with_context(|| resource.name().to_owned())
            })
            .collect::<Result<_, _>>()?;
        by_type.insert(kind.url().to_owned(), Value::Array(resources));
    }
    term::print(&format!("{:#}\n", Value::Object(by_type)))?;
    Ok(if batch.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
