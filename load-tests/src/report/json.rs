//! The report as JSON: every round, so that others can judge.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::Report;

/// Writes it, whole.
pub(crate) fn write(report: &impl Serialize, file: &Path) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Reads it again.
pub(crate) fn read(file: &Path) -> anyhow::Result<Report> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no report", file.display()))
}
