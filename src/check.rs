//! `weir check`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use weir_config::kinds::ObjectKey;
use weir_xds_server::status::{Condition, unmet};
use weir_xds_server::translate::{Settings, World};
use weir_xds_server::watch::directory::read_once;

use crate::term::{self, Colour, paint};

/// Validate a directory of manifests, as the CI of a GitOps repository would
///
/// Reports every document that cannot be used (file, line, object, field) and every condition that
/// does not hold (a route that attaches nowhere, a hostname that another tenant owns, a backend that
/// does not exist). Exits with 1 if there is any.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of manifests (*.yaml, *.yml, *.json; subdirectories too)
    dir: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Namespaces of no tenant: refuse them, or take them as the platform's own
    #[arg(long, value_enum, default_value_t)]
    unassigned: Unassigned,
}

/// How findings are printed.
#[derive(Clone, Copy, Default, PartialEq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// What becomes of a namespace that no Tenant selects.
#[derive(Clone, Copy, Default, PartialEq, clap::ValueEnum)]
pub(crate) enum Unassigned {
    /// It is not served.
    #[default]
    Refuse,
    /// It is served as the platform's own (tenant `system`), with a warning.
    System,
}

impl Unassigned {
    /// The translation's settings with it.
    pub(crate) fn settings(self) -> Settings {
        Settings { unassigned_is_system: self == Self::System, ..Settings::default() }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let batch = read_once(&args.dir)?;
    let mut world = World::new(args.unassigned.settings());
    world.apply(&batch.events);
    let broken: Vec<(&ObjectKey, String, &Condition)> = world
        .statuses()
        .iter()
        .flat_map(|(key, status)| unmet(status).into_iter().map(move |(at, c)| (key, at, c)))
        .collect();

    match args.output {
        Output::Json => {
            let findings: Vec<_> = batch
                .findings
                .iter()
                .map(|f| {
                    json!({"file": f.file, "line": f.line, "object": f.object.as_ref().map(ToString::to_string),
                        "field": f.error.field, "problem": f.error.problem, "hint": f.error.hint})
                })
                .collect();
            let conditions: Vec<_> = broken
                .iter()
                .map(|(key, at, c)| json!({"object": key.to_string(), "at": at, "type": c.type_, "status": c.status, "reason": c.reason, "message": c.message}))
                .collect();
            term::print(&format!("{:#}\n", json!({"findings": findings, "conditions": conditions})))?;
        }
        Output::Text => {
            let mut out = String::new();
            for finding in &batch.findings {
                let _ = writeln!(out, "{} {finding}", paint(Colour::Red, "error"));
            }
            for (key, at, condition) in &broken {
                let _ = writeln!(
                    out,
                    "{} {key}{at}: {}: {}",
                    paint(Colour::Yellow, condition.type_.as_str()),
                    condition.reason,
                    condition.message
                );
            }
            if batch.findings.is_empty() && broken.is_empty() && batch.events.is_empty() {
                let _ = writeln!(
                    out,
                    "{} nothing in {} is of a kind that Weir reads",
                    paint(Colour::Green, "ok"),
                    args.dir.display()
                );
            } else if batch.findings.is_empty() && broken.is_empty() {
                let _ =
                    writeln!(out, "{} {} objects, nothing to report", paint(Colour::Green, "ok"), batch.events.len());
            }
            term::print(&out)?;
        }
    }
    let clean = batch.findings.is_empty() && broken.is_empty();
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl From<Unassigned> for weir_config::bootstrap::Unassigned {
    fn from(choice: Unassigned) -> Self {
        match choice {
            Unassigned::Refuse => Self::Refuse,
            Unassigned::System => Self::System,
        }
    }
}
