//! Rows of usage as text: `timestamp,tenant,metric,units`, as CSV or as lines of JSON.
//!
//! A metric of which nothing was used has no line.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use weir_config::usage::Metric;

use super::query::Row;
use super::span::show;

/// The first line of CSV.
pub const CSV_HEAD: &str = "timestamp,tenant,metric,units\n";

/// One line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Line {
    /// RFC 3339.
    pub timestamp: String,
    /// Who; `-` is traffic of no tenant.
    pub tenant: String,
    /// What, by [`Metric::name`].
    pub metric: String,
    /// How much.
    pub units: u64,
}

/// The lines of a row.
pub fn lines(row: &Row) -> impl Iterator<Item = Line> + '_ {
    row.units.iter().filter(|(_, units)| *units > 0).map(|(metric, units)| Line {
        timestamp: show(row.start_ms),
        tenant: row.tenant.clone(),
        metric: metric.name().to_owned(),
        units,
    })
}

/// Adds the lines of a row as CSV.
pub fn csv(out: &mut String, row: &Row) {
    let (timestamp, tenant) = (show(row.start_ms), csv_field(&row.tenant));
    for (metric, units) in row.units.iter().filter(|(_, units)| *units > 0) {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{timestamp},{tenant},{},{units}", metric.name());
    }
}

/// Adds the lines of a row as JSON, each followed by `end`.
pub fn json(out: &mut String, row: &Row, end: &str) {
    for line in lines(row) {
        // A struct of strings and a number always has a JSON form.
        out.push_str(&serde_json::to_string(&line).unwrap_or_default());
        out.push_str(end);
    }
}

/// Puts lines of JSON together to rows again, as they came from [`json`].
#[derive(Debug, Default)]
pub struct Rejoin {
    row: Option<(String, Row)>,
}

impl Rejoin {
    /// Takes a line; gives the row before it when that is complete. None: the line names an unknown metric
    /// or no point in time.
    pub fn add(&mut self, line: Line) -> Option<Option<Row>> {
        let metric = Metric::ALL.into_iter().find(|metric| metric.name() == line.metric)?;
        let same = self.row.as_ref().is_some_and(|(at, row)| *at == line.timestamp && row.tenant == line.tenant);
        let done = if same { None } else { self.finish() };
        if self.row.is_none() {
            let start_ms = line.timestamp.parse::<jiff::Timestamp>().ok()?.as_millisecond();
            let row = Row { start_ms, tenant: line.tenant, units: weir_config::usage::Units::ZERO };
            self.row = Some((line.timestamp, row));
        }
        if let Some((_, row)) = &mut self.row {
            row.units[metric] = row.units[metric].saturating_add(line.units);
        }
        Some(done)
    }

    /// The last row.
    pub fn finish(&mut self) -> Option<Row> {
        self.row.take().map(|(_, row)| row)
    }
}

/// A field of CSV (RFC 4180), quoted where it must be. What a spreadsheet would take for a formula is
/// only a name here: names of tenants are DNS labels, and `-` alone is none.
fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use weir_config::usage::Units;

    use super::*;

    fn row(tenant: &str, start_ms: i64, units: Units) -> Row {
        Row { start_ms, tenant: tenant.into(), units }
    }

    #[test]
    fn a_row_is_a_line_for_each_metric_that_was_used() {
        let acme = row("acme", 3_600_000, Units([2, 300, 0, 0, 0, 0, 0, 7]));
        let mut text = CSV_HEAD.to_owned();
        csv(&mut text, &acme);
        let expected = "timestamp,tenant,metric,units\n1970-01-01T01:00:00Z,acme,requests,2\n\
                        1970-01-01T01:00:00Z,acme,request_bytes,300\n1970-01-01T01:00:00Z,acme,tunnel_response_bytes,7\n";
        assert_eq!(text, expected);
        let mut text = String::new();
        json(&mut text, &acme, "\n");
        let first = r#"{"timestamp":"1970-01-01T01:00:00Z","tenant":"acme","metric":"requests","units":2}"#;
        assert_eq!(text.lines().next(), Some(first));
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn a_name_that_is_none_breaks_no_line() {
        let mut text = String::new();
        csv(&mut text, &row("a,\"b\nc", 0, Units([1, 0, 0, 0, 0, 0, 0, 0])));
        assert_eq!(text, "1970-01-01T00:00:00Z,\"a,\"\"b\nc\",requests,1\n");
    }

    #[test]
    fn rows_come_back_from_their_lines() {
        let rows = [
            row("acme", 0, Units([1, 2, 3, 4, 5, 6, 7, u64::MAX])),
            row("globex", 0, Units([9; 8])),
            row("globex", 250, Units([0, 0, 0, 0, 0, 0, 0, 1])),
        ];
        let mut rejoin = Rejoin::default();
        let mut back = Vec::new();
        for line in rows.iter().flat_map(lines) {
            back.extend(rejoin.add(line).unwrap());
        }
        back.extend(rejoin.finish());
        assert_eq!(back, rows);
        let unknown =
            Line { timestamp: "1970-01-01T00:00:00Z".into(), tenant: "a".into(), metric: "x".into(), units: 1 };
        assert_eq!(rejoin.add(unknown), None);
    }
}
