//! `weir crds`

use std::process::ExitCode;

use crate::term;

/// Print the CustomResourceDefinitions of Plan and Tenant
///
/// Apply them with `weir crds | kubectl apply -f -`.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    term::print(&weir_config::kinds::crds::crds_yaml())?;
    Ok(ExitCode::SUCCESS)
}
