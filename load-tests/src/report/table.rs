//! The report on a terminal: a block a row of the race, a line a contestant, our figure over theirs
//! behind each of theirs.

use super::number::short;
use super::targets::{self, Target};
use super::{Entry, Figure, Report, Row};

/// Columns, in order; one that no contestant of a row has is left out there.
pub(super) const COLUMNS: &[(Figure, &str)] = &[
    (Figure::Cpu, "CPU µs/req"),
    (Figure::Rate, "req/s"),
    (Figure::P50, "p50 µs"),
    (Figure::P99, "p99 µs"),
    (Figure::Memory, "RSS MiB"),
    (Figure::Start, "start ms"),
    (Figure::Restart, "restart ms"),
    (Figure::PerConnection, "KiB/conn"),
    (Figure::Instructions, "instr/req"),
];

/// What all rows together say: memory a tenant, and targets.
pub(crate) fn summary(report: &Report) -> String {
    let mut text = String::new();
    if let Some(slope) = report.slope() {
        text.push_str(&format!("memory a tenant, KiB (from {} to {} tenants)\n", slope.from, slope.to));
        let lines = slope.kib.iter().map(|(label, kib)| vec![label.clone(), kib.map_or("-".into(), short)]);
        text.push_str(&aligned(&lines.collect::<Vec<_>>()));
        text.push('\n');
    }
    let held = |target: &Target| if target.held() { "held" } else { "NOT HELD" }.to_owned();
    let targets: Vec<_> = targets::judge(report)
        .iter()
        .map(|target| {
            vec![target.what.clone(), short(target.found), format!("at most {}", short(target.bound)), held(target)]
        })
        .collect();
    if !targets.is_empty() {
        text.push_str(&format!("targets\n{}\n", aligned(&targets)));
    }
    if let Some(share) = report.disturbed() {
        text.push_str(&format!(
            "THE MACHINE WAS BUSY: up to {share:.0} % of the proxy's core went to something else. Ratios of CPU hold \
             roughly, times do not.\n"
        ));
    }
    text.push_str(
        "In brackets: Weir's figure over this one. For CPU, latency, memory and start, below 1 is Weir's win.\n",
    );
    text
}

/// One row.
pub(crate) fn row(row: &Row) -> String {
    let mut text = format!("{}: {}\n", row.name, row.about);
    if let Some(reason) = &row.left_out {
        return format!("{text}  not run: {reason}\n\n");
    }
    let columns: Vec<_> = COLUMNS.iter().filter(|(figure, _)| row.has(*figure)).collect();
    let mut lines = vec![std::iter::once(String::new()).chain(columns.iter().map(|c| c.1.to_owned())).collect()];
    for entry in &row.entries {
        let cells = columns.iter().map(|(figure, _)| cell(row, entry, *figure));
        lines.push(std::iter::once(entry.label()).chain(cells).collect::<Vec<_>>());
    }
    text.push_str(&aligned(&lines));
    for entry in &row.entries {
        if let Some(failure) = &entry.failure {
            text.push_str(&format!("  {}: FAILED: {failure}\n", entry.label()));
        }
    }
    text.push('\n');
    text
}

/// A figure, and ours over it.
pub(super) fn cell(row: &Row, entry: &Entry, figure: Figure) -> String {
    match (entry.median(figure), row.ratio(entry, figure)) {
        (Some(value), Some(ratio)) => format!("{} ({ratio:.2})", short(value)),
        (Some(value), None) => short(value),
        (None, _) => "-".into(),
    }
}

/// The first column to the left, the others to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| lines.iter().filter_map(|l| l.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for line in lines {
        let mut out = String::from("  ");
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let width = *width;
            out.push_str(&if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") });
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
    text
}
