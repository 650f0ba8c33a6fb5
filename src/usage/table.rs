//! Usage as people read it.

use weir_config::usage::{Metric, NO_TENANT, Units};
use weir_xds_server::usage::query::{By, Row};
use weir_xds_server::usage::span::show as time;

use crate::term::{self, Colour, paint};

/// What is said about rows of no tenant.
const NOBODY: &str = "- is traffic of no tenant: hosts that nobody serves, requests that are none. Nobody is charged.";

/// Metrics that have a column though nothing was used of them.
const ALWAYS: [Metric; 3] = [Metric::Requests, Metric::RequestBytes, Metric::ResponseBytes];

/// Rows with their totals.
pub(super) fn show(rows: &[Row], by: By, exact: bool) -> String {
    if rows.is_empty() {
        return "no usage\n".to_owned();
    }
    let mut total = Units::ZERO;
    rows.iter().for_each(|row| total.add(&row.units));
    let metrics = columns(&total);
    let with_time = by != By::Total;
    let mut cells: Vec<_> = rows.iter().map(|row| cells(row, &metrics, with_time, exact)).collect();
    let end = Row { start_ms: 0, tenant: "TOTAL".to_owned(), units: total };
    let mut last = self::cells(&end, &metrics, with_time, exact);
    if with_time {
        last[0] = String::new();
    }
    cells.push(last);
    let mut head: Vec<String> = if with_time { vec!["TIME".into()] } else { Vec::new() };
    head.push("TENANT".into());
    head.extend(metrics.iter().map(|metric| metric.name().to_uppercase()));
    align(&mut head, &mut cells, if with_time { 2 } else { 1 });
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    let mut text = term::table(&head, &cells);
    if rows.iter().any(|row| row.tenant == NO_TENANT) {
        text.push_str(&paint(Colour::Dim, NOBODY));
        text.push('\n');
    }
    text
}

/// Metrics that have a column.
pub(super) fn columns(total: &Units) -> Vec<Metric> {
    Metric::ALL.into_iter().filter(|metric| ALWAYS.contains(metric) || total[*metric] > 0).collect()
}

/// The cells of a row.
pub(super) fn cells(row: &Row, metrics: &[Metric], with_time: bool, exact: bool) -> Vec<String> {
    let mut cells = if with_time { vec![time(row.start_ms)] } else { Vec::new() };
    cells.push(row.tenant.clone());
    cells.extend(metrics.iter().map(|metric| amount(*metric, row.units[*metric], exact)));
    cells
}

/// Numbers stand below each other's last digit: columns from `first` on are filled up at the left.
fn align(head: &mut [String], rows: &mut [Vec<String>], first: usize) {
    for (column, title) in head.iter_mut().enumerate().skip(first) {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let width = cells.map(|cell| cell.len()).chain([title.len()]).max().unwrap_or(0);
        let right = |cell: &mut String| *cell = format!("{cell:>width$}");
        right(title);
        rows.iter_mut().filter_map(|row| row.get_mut(column)).for_each(right);
    }
}

/// An amount: exact, or so that it can be read at a glance.
fn amount(metric: Metric, units: u64, exact: bool) -> String {
    // What is as short is shown as it is.
    if exact || units < 10_000 {
        return match metric {
            Metric::ExecutionMs if !exact => format!("{units} ms"),
            _ => units.to_string(),
        };
    }
    match metric {
        Metric::Requests | Metric::LimitedRequests | Metric::DeniedRequests => {
            scale(units, 1000.0, &["", "k", "M", "G", "T"])
        }
        Metric::ExecutionMs => match units {
            0..600_000 => format!("{:.1} s", units as f64 / 1e3),
            600_000..36_000_000 => format!("{:.1} min", units as f64 / 6e4),
            _ => format!("{:.1} h", units as f64 / 3.6e6),
        },
        _ => scale(units, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]),
    }
}

fn scale(units: u64, step: f64, names: &[&str]) -> String {
    let mut value = units as f64;
    let mut names = names.iter();
    let mut name = names.next().unwrap_or(&"");
    for next in names {
        if value < step {
            break;
        }
        value /= step;
        name = next;
    }
    format!("{value:.1} {name}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tenant: &str, start_ms: i64, requests: u64, bytes: u64) -> Row {
        let mut units = Units::ZERO;
        units[Metric::Requests] = requests;
        units[Metric::ResponseBytes] = bytes;
        Row { start_ms, tenant: tenant.into(), units }
    }

    #[test]
    fn rows_align_and_end_with_their_total() {
        let rows = [row("-", 0, 1, 100), row("acme", 0, 20, 123_456)];
        assert_eq!(
            show(&rows, By::Total, true),
            format!(
                "TENANT  REQUESTS  REQUEST_BYTES  RESPONSE_BYTES\n\
                 -              1              0             100\n\
                 acme          20              0          123456\n\
                 TOTAL         21              0          123556\n{NOBODY}\n"
            )
        );
        let by_hour = show(&rows[1..], By::Hour, false);
        assert_eq!(
            by_hour,
            "TIME                  TENANT  REQUESTS  REQUEST_BYTES  RESPONSE_BYTES\n\
             1970-01-01T00:00:00Z  acme          20              0       120.6 KiB\n\
             \u{20}                     TOTAL         20              0       120.6 KiB\n"
        );
    }

    #[test]
    fn a_column_is_there_when_something_was_used() {
        let mut total = Units::ZERO;
        assert_eq!(columns(&total).len(), ALWAYS.len());
        total[Metric::TunnelRequestBytes] = 1;
        assert_eq!(columns(&total).last(), Some(&Metric::TunnelRequestBytes));
    }

    #[test]
    fn amounts_are_read_at_a_glance() {
        for (metric, units, text) in [
            (Metric::Requests, 9_999, "9999"),
            (Metric::Requests, 10_000, "10.0 k"),
            (Metric::RequestBytes, 9_999, "9999"),
            (Metric::RequestBytes, 10 << 20, "10.0 MiB"),
            (Metric::ResponseBytes, u64::MAX, "16.0 EiB"),
            (Metric::ExecutionMs, 12, "12 ms"),
            (Metric::ExecutionMs, 12_000, "12.0 s"),
            (Metric::ExecutionMs, 36_000_000, "10.0 h"),
        ] {
            assert_eq!(amount(metric, units, false), text);
            assert_eq!(amount(metric, units, true), units.to_string());
        }
    }
}
