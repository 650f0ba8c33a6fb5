//! `weir usage`

mod audit;
mod follow;
mod source;
mod table;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use weir_xds_server::usage::format::{CSV_HEAD, csv, json};
use weir_xds_server::usage::query::{By, Question, Row};
use weir_xds_server::usage::span::{self, Span};

use source::Source;

/// What is counted, by DESIGN's definition.
const METRICS: &str = "\
Metrics, for every tenant:
  requests               exchanges with a parsed head, refused ones too
  request_bytes          bytes read from the client's connection, above TLS: start line, headers,
                         framing, body. HTTP/2 counts each stream as HTTP/1.1 would write it
  response_bytes         bytes written to it, likewise
  execution_ms           milliseconds from the head's first byte to the response's last
  limited_requests       answered 429 or 402; a part of requests
  denied_requests        answered 401 or 403; a part of requests
  tunnel_request_bytes   bytes from the client through WebSocket and other upgraded connections
  tunnel_response_bytes  bytes to the client through them

An aborted exchange counts what the proxy's sockets took and gave. A retry is not charged. Without a
matching route the host's tenant is charged; without a host (404, 400) the tenant is `-`, which is never
exported as a customer. Of what was not used there is no line.

Usage belongs to the time at which its window (10 seconds, by default) began. A span may begin and end
anywhere: within an hour it is answered from windows; where those are no longer kept, the span is
widened to whole hours, and a note on standard error says so.

Exit codes: 0 well, 1 a failure (of `audit`: a gap), 2 wrong usage.";

/// Show what tenants used
///
/// Without --since and --until, all that is stored. A table on a terminal shows amounts as people read
/// them (12.3 KiB); everywhere else, and with --exact, amounts are exact.
#[derive(clap::Args)]
#[command(after_long_help = METRICS, args_conflicts_with_subcommands = false)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Of this tenant only; `-`: of no tenant
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    tenant: Option<String>,
    /// Rows: one for each tenant (total), for each tenant and hour, day (UTC), or window as reported
    #[arg(long, value_enum, default_value_t)]
    by: Group,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Exact amounts on a terminal too
    #[arg(long)]
    exact: bool,
    /// Go on with what comes in, window by window, until interrupted
    #[arg(long, conflicts_with_all = ["since", "until", "by"])]
    follow: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where usage is, and of what time.
#[derive(clap::Args)]
struct Place {
    /// Read the store in this state directory (of `weir up`, or of `weir server`), also while that runs
    #[arg(long, value_name = "D", conflicts_with = "server", global = true)]
    state_dir: Option<PathBuf>,
    /// Ask this server's admin endpoint [default: http://127.0.0.1:18001]
    #[arg(long, value_name = "URL", global = true)]
    server: Option<String>,
    /// Begin: RFC 3339, a date (UTC), `now`, or how long ago: 90s, 30m, 24h, 7d
    #[arg(long, value_name = "T", value_parser = moment, global = true)]
    since: Option<i64>,
    /// End, which is not part of it; written as --since
    #[arg(long, value_name = "T", value_parser = moment, global = true)]
    until: Option<i64>,
}

#[derive(clap::Subcommand)]
enum Command {
    Audit(audit::Args),
}

/// How rows are grouped in time.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Group {
    #[default]
    Total,
    Hour,
    Day,
    Window,
}

/// How rows are printed.
#[derive(Clone, Copy, Default, PartialEq, clap::ValueEnum)]
enum Format {
    /// Aligned, for people.
    #[default]
    Table,
    /// `timestamp,tenant,metric,units`, with that header line.
    Csv,
    /// The same fields, an object a line.
    Jsonl,
}

impl From<Group> for By {
    fn from(group: Group) -> By {
        match group {
            Group::Total => By::Total,
            Group::Hour => By::Hour,
            Group::Day => By::Day,
            Group::Window => By::Window,
        }
    }
}

/// A point in time, in milliseconds since 1970.
fn moment(text: &str) -> Result<i64, String> {
    span::parse(text, now_ms())
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Place {
    fn source(&self) -> anyhow::Result<Source> {
        Source::open(self.state_dir.as_deref(), self.server.as_deref())
    }

    fn span(&self) -> Span {
        let span = Span { since_ms: self.since.unwrap_or(i64::MIN), until_ms: self.until.unwrap_or(i64::MAX) };
        if span.until_ms < span.since_ms {
            clap::Error::raw(ErrorKind::ValueValidation, "--until is before --since\n").exit();
        }
        span
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    quiet_pipe(match &args.command {
        Some(Command::Audit(audit)) => audit::run(audit, &args.place),
        None if args.follow => follow::run(args),
        None => show(args),
    })
}

/// A reader that went away (`| head`) is no error.
fn quiet_pipe(result: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    match result {
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        other => other,
    }
}

fn show(args: &Args) -> anyhow::Result<ExitCode> {
    let question = Question { span: args.place.span(), tenant: args.tenant.clone(), by: args.by.into() };
    let source = args.place.source()?;
    let mut given = source.ask(&question)?;
    for note in &given.notes {
        eprintln!("note: {note}");
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.format == Format::Table {
        let rows = given.rows.collect::<anyhow::Result<Vec<Row>>>()?;
        let exact = args.exact || !io::stdout().is_terminal();
        out.write_all(table::show(&rows, question.by, exact).as_bytes())?;
    } else {
        out.write_all(args.format.head().as_bytes())?;
        given
            .rows
            .try_for_each(|row| -> anyhow::Result<()> { Ok(out.write_all(args.format.lines(&row?).as_bytes())?) })?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

impl Format {
    /// What comes before the rows.
    fn head(self) -> &'static str {
        if self == Format::Csv { CSV_HEAD } else { "" }
    }

    /// A row for machines.
    fn lines(self, row: &Row) -> String {
        let mut text = String::new();
        match self {
            Format::Csv => csv(&mut text, row),
            Format::Jsonl | Format::Table => json(&mut text, row, "\n"),
        }
        text
    }
}
