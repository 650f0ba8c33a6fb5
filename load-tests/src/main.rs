//! Weir beside its peers, measured in one run. All traffic stays on loopback, bounded in time.

mod asked;
mod callgrind;
mod certificate;
mod cores;
mod cpu;
mod edits;
#[cfg(test)]
mod golden;
mod histogram;
mod http;
mod load;
mod machine;
mod measure;
mod peers;
mod poll;
mod processes;
mod race;
mod report;
mod routes;
mod rows;
#[cfg(test)]
mod smoke;
mod stats;
mod upstream;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use load::Span;
use measure::Pace;
use report::{Report, json, markdown, svg, table};
use rows::{Config, Logs, ROWS, Row};

/// Files of a report.
const DATA: &str = "benchmarks.json";
const CHART: &str = "benchmarks.svg";
const PAGE: &str = "benchmarks.md";

/// Files of what edits cost.
const EDITS_DATA: &str = "control-plane-benchmarks.json";
const EDITS_PAGE: &str = "control-plane-benchmarks.md";

/// Files of what many routes cost.
const ROUTES_DATA: &str = "route-scale.json";
const ROUTES_PAGE: &str = "route-scale.md";

/// Measure Weir beside its peers
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Race Weir, nginx, HAProxy and Envoy: CPU a request, throughput, latency, memory, time to serve
    Race(RaceArgs),
    /// Write the chart and the page anew, out of a race's report
    Report {
        /// Directory of the report
        #[arg(long, default_value = "docs")]
        out: PathBuf,
    },
    /// Edit fleets of several sizes: how soon answers change, and what an edit costs the control server
    Edits(EditsArgs),
    /// Let fleets with a ListenerSet a tenant grow: how soon a new route serves; and kill the server that leads
    Routes(RoutesArgs),
    /// Instructions per request, by callgrind: a long run less a short one, over the difference
    ///
    /// Counts user-space instructions of the proxy process alone, so the figure is the same on a busy
    /// machine.
    Instructions {
        /// The `weir` to measure: a release build
        #[arg(long, default_value = "target/release/weir")]
        weir: PathBuf,
        /// Tenants of the second row
        #[arg(long, default_value_t = 1000)]
        tenants: u32,
        /// Only these proxies
        #[arg(long, value_delimiter = ',')]
        peers: Vec<String>,
        /// Keep each run's callgrind profile in this directory
        #[arg(long)]
        profiles: Option<PathBuf>,
    },
}

/// Options of the race.
#[derive(clap::Args)]
struct RaceArgs {
    /// The `weir` to race: a release build
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// Fewer rounds and rows, in less than 5 minutes
    #[arg(long)]
    quick: bool,
    /// Only these rows
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only these proxies
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Rounds of each row
    #[arg(long)]
    rounds: Option<u32>,
    /// Seconds that a closed loop is measured
    #[arg(long)]
    seconds: Option<f64>,
    /// Leave callgrind out
    #[arg(long)]
    no_instructions: bool,
    /// Directory of the report
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

/// Options of the edits.
#[derive(clap::Args)]
struct EditsArgs {
    /// The `weir` to measure: a release build
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// The API server of the fleets that have their objects in one
    #[arg(long, env = "WEIR_LITEK8S", default_value = "target/tools/litek8s/bin/litek8s")]
    litek8s: PathBuf,
    /// Measure over directories alone
    #[arg(long)]
    directory: bool,
    /// Fewer edits, in less than 10 minutes
    #[arg(long)]
    quick: bool,
    /// Tenants of each fleet
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: Vec<u32>,
    /// Proxies
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=200))]
    proxies: u8,
    /// Edits of each fleet
    #[arg(long)]
    edits: Option<u32>,
    /// Edits a second
    #[arg(long, default_value_t = 10.0)]
    per_second: f64,
    /// Edits whose instructions are counted, by callgrind
    #[arg(long)]
    counted: Option<u32>,
    /// Keep callgrind's profiles in this directory
    #[arg(long)]
    profiles: Option<PathBuf>,
    /// Directory of the report
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

/// Options of the routes.
#[derive(clap::Args)]
struct RoutesArgs {
    /// The `weir` to measure: a release build
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// The API server of the fleets that have their objects in one
    #[arg(long, env = "WEIR_LITEK8S", default_value = "target/tools/litek8s/bin/litek8s")]
    litek8s: PathBuf,
    /// Where the objects are; both, if it is not said
    #[arg(long, value_parser = ["directory", "kubernetes"])]
    source: Option<String>,
    /// Fewer new routes, in less than 10 minutes
    #[arg(long)]
    quick: bool,
    /// Tenants of each fleet
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: u32,
    /// Routes of each fleet, shared evenly by its tenants
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 5_000, 10_000], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    routes: Vec<u32>,
    /// Proxies
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=200))]
    proxies: u8,
    /// New routes of each fleet
    #[arg(long)]
    added: Option<u32>,
    /// Changes a second; one in five is a new route
    #[arg(long, default_value_t = 10.0)]
    per_second: f64,
    /// Leave out the leader that is killed
    #[arg(long)]
    no_takeover: bool,
    /// Directory of the report
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    open_files()?;
    match Cli::parse().command {
        Command::Race(args) => race(&args),
        Command::Report { out } => write(&json::read(&out.join(DATA))?, &out),
        Command::Edits(args) => edits(args),
        Command::Routes(args) => routes(args),
        Command::Instructions { weir, tenants, peers, profiles } => instructions(weir, tenants, &peers, profiles),
    }
}

/// As many files as rows need, or as are allowed: each connection is one, at both ends.
fn open_files() -> anyhow::Result<()> {
    const ENOUGH: u64 = 100_000;
    let allowed = getrlimit(Resource::Nofile).maximum;
    let enough = Rlimit { current: Some(ENOUGH), maximum: Some(ENOUGH) };
    if allowed.is_none_or(|allowed| allowed >= ENOUGH) {
        setrlimit(Resource::Nofile, Rlimit { maximum: allowed, ..enough })
    } else {
        // Only root may; for others, a row that needs more says so.
        setrlimit(Resource::Nofile, enough)
            .or_else(|_| setrlimit(Resource::Nofile, Rlimit { current: allowed, maximum: allowed }))
    }
    .context("cannot raise the limit of open files")
}

fn race(args: &RaceArgs) -> anyhow::Result<()> {
    let rows = chosen(&args.rows, args.quick)?;
    let options = race::Options {
        weir: args.weir.clone(),
        rows,
        peers: race::peers_named(&args.peers)?,
        pace: pace(args),
        quick: args.quick,
        instructions: !args.quick && !args.no_instructions,
        profiles: None,
        at_most: Duration::from_secs(if args.quick { 5 * 60 } else { 45 * 60 }),
    };
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let report = race::run(&options, &|report: &Report| {
        if let Some(row) = report.rows.last() {
            print!("{}", table::row(row));
        }
        // A race that breaks off leaves what it has.
        if let Err(error) = json::write(report, &args.out.join(DATA)) {
            eprintln!("{error:#}");
        }
    })?;
    println!("{}", table::summary(&report));
    write(&report, &args.out)
}

fn edits(args: EditsArgs) -> anyhow::Result<()> {
    let mut tenants = args.tenants;
    tenants.sort_unstable();
    tenants.dedup();
    let options = edits::Options {
        weir: args.weir,
        litek8s: (!args.directory).then_some(args.litek8s),
        tenants,
        proxies: args.proxies,
        edits: args.edits.unwrap_or(if args.quick { 200 } else { 1_000 }),
        per_second: args.per_second,
        counted: args.counted.unwrap_or(if args.quick { 20 } else { 100 }),
        profiles: args.profiles,
        quick: args.quick,
    };
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let report = edits::run(&options, &|report| {
        // A run that breaks off leaves what it has.
        if let Err(error) = json::write(report, &args.out.join(EDITS_DATA)) {
            eprintln!("{error:#}");
        }
    })?;
    print!("{}", edits::report::table(&report));
    json::write(&report, &args.out.join(EDITS_DATA))?;
    let page = args.out.join(EDITS_PAGE);
    std::fs::write(&page, edits::report::page(&report, EDITS_DATA))
        .with_context(|| format!("cannot write {}", page.display()))?;
    println!("written: {EDITS_DATA} and {EDITS_PAGE} in {}", args.out.display());
    Ok(())
}

fn routes(args: RoutesArgs) -> anyhow::Result<()> {
    let mut routes = args.routes;
    routes.sort_unstable();
    routes.dedup();
    let is = |source: &str| args.source.as_deref().is_none_or(|chosen| chosen == source);
    let options = routes::Options {
        weir: args.weir,
        litek8s: is("kubernetes").then_some(args.litek8s),
        directory: is("directory"),
        tenants: args.tenants,
        routes,
        proxies: args.proxies,
        added: args.added.unwrap_or(if args.quick { 50 } else { 200 }),
        per_second: args.per_second,
        takeover: !args.no_takeover,
        quick: args.quick,
    };
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let report = routes::run(&options, &|report| {
        // A run that breaks off leaves what it has.
        if let Err(error) = json::write(report, &args.out.join(ROUTES_DATA)) {
            eprintln!("{error:#}");
        }
    })?;
    print!("{}", routes::report::table(&report));
    let page = args.out.join(ROUTES_PAGE);
    std::fs::write(&page, routes::report::page(&report, ROUTES_DATA))
        .with_context(|| format!("cannot write {}", page.display()))?;
    println!("written: {ROUTES_DATA} and {ROUTES_PAGE} in {}", args.out.display());
    Ok(())
}

/// The report in all its forms.
fn write(report: &Report, out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    json::write(report, &out.join(DATA))?;
    let put = |name: &str, text: String| {
        let file = out.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    put(CHART, svg::chart(report))?;
    put(PAGE, markdown::page(report, CHART, DATA))?;
    println!("written: {DATA}, {CHART} and {PAGE} in {}", out.display());
    Ok(())
}

fn chosen(names: &[String], quick: bool) -> anyhow::Result<Vec<Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().filter(|row| row.quick || !quick).copied().collect());
    }
    let named = |name: &String| {
        let known = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        let found = ROWS.iter().find(|row| row.name == name).copied();
        found.with_context(|| format!("there is no row `{name}`; there are {}", known()))
    };
    names.iter().map(named).collect()
}

fn pace(args: &RaceArgs) -> Pace {
    let span = |warm: u64, measured: f64| Span {
        warm: Duration::from_millis(warm),
        measured: Duration::from_secs_f64(measured),
    };
    let (rounds, closed, open) =
        if args.quick { (3, span(300, 1.0), span(300, 1.0)) } else { (7, span(500, 2.0), span(500, 10.0)) };
    let measured = args.seconds.map_or(closed.measured, Duration::from_secs_f64);
    Pace { rounds: args.rounds.unwrap_or(rounds), closed: Span { measured, ..closed }, open }
}

fn instructions(weir: PathBuf, tenants: u32, peers: &[String], profiles: Option<PathBuf>) -> anyhow::Result<()> {
    let rows = ["plain", "tenants-1000", "tls", "h2-tls", "h2c", "grpc"]
        .map(|name| ROWS.iter().find(|row| row.name == name).copied());
    let mut rows: Vec<Row> = rows.into_iter().flatten().collect();
    for row in &mut rows {
        row.open = false;
        row.instructions = true;
        row.logs = Logs::Without;
        if let Config::Tenants(count) = &mut row.config {
            *count = tenants;
        }
    }
    let none = Span { warm: Duration::ZERO, measured: Duration::ZERO };
    let options = race::Options {
        weir,
        rows,
        peers: race::peers_named(peers)?,
        pace: Pace { rounds: 0, closed: none, open: none },
        quick: true,
        instructions: true,
        profiles,
        at_most: Duration::MAX,
    };
    race::run(&options, &|report| {
        if let Some(row) = report.rows.last() {
            print!("{}", table::row(row));
        }
    })?;
    Ok(())
}
