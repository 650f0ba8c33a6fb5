//! `weir usage --follow`

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use weir_config::usage::Metric;

use super::{Args, Format, table};

/// How often it is looked for more.
const PAUSE: Duration = Duration::from_millis(500);
/// Widths of the columns of a table whose rows are not known yet: time, tenant, amounts.
const WIDTHS: (usize, usize) = (24, 24);

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let source = args.place.source()?;
    let mut position = source.position()?;
    let exact = args.exact || !io::stdout().is_terminal();
    let mut out = io::stdout().lock();
    match args.format {
        Format::Table => {
            let names = Metric::ALL.iter().map(|metric| metric.name().to_uppercase());
            out.write_all(line(["TIME".to_owned(), "TENANT".to_owned()].into_iter().chain(names)).as_bytes())?;
        }
        format => out.write_all(format.head().as_bytes())?,
    }
    out.flush()?;
    loop {
        let (next, rows) = source.after(position, args.tenant.as_deref())?;
        for row in &rows {
            let text = match args.format {
                Format::Table => line(table::cells(row, &Metric::ALL, true, exact).into_iter()),
                format => format.lines(row),
            };
            out.write_all(text.as_bytes())?;
        }
        out.flush()?;
        if next == position {
            thread::sleep(PAUSE);
        }
        position = next;
    }
}

/// A line of a table: amounts below the last letter of their metric's name.
fn line(cells: impl Iterator<Item = String>) -> String {
    let cells = cells.enumerate().map(|(column, cell)| match column {
        0 => format!("{cell:<0$}", WIDTHS.0),
        1 => format!("{cell:<0$}", WIDTHS.1),
        _ => format!("{cell:>0$}", Metric::ALL[column - 2].name().len()),
    });
    cells.collect::<Vec<_>>().join("  ") + "\n"
}

#[cfg(test)]
mod tests {
    use weir_config::usage::Units;
    use weir_xds_server::usage::query::Row;

    use super::*;

    #[test]
    fn lines_align_though_they_come_one_by_one() {
        let row = Row { start_ms: 0, tenant: "acme".into(), units: Units([1; 8]) };
        let head = line(
            ["TIME".into(), "TENANT".into()].into_iter().chain(Metric::ALL.iter().map(|m| m.name().to_uppercase())),
        );
        assert_eq!(line(table::cells(&row, &Metric::ALL, true, true).into_iter()).len(), head.len());
    }
}
