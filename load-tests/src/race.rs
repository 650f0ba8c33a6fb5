//! The race: every row, every contestant, in turn, round after round.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::callgrind;
use crate::certificate::Certificate;
use crate::cores::{self, Cores};
use crate::http::Expected;
use crate::load::{self, Costs, Protocol, Request, Sessions, Span, Target};
use crate::measure::{Contestant, Pace};
use crate::peers::{self, Case, Peer, Programs};
use crate::processes::free_address;
use crate::report::{Direct, Entry, Figure, Figures, Report, Row as Shown};
use crate::rows::{Config, Load, Logs, Row};
use crate::upstream::{self, BODY, Upstream};
use crate::{cpu, machine};

/// Rounds of a row that are run though the time is over.
const FEWEST: u32 = 3;

/// What to run.
pub(crate) struct Options {
    pub(crate) weir: PathBuf,
    pub(crate) rows: Vec<Row>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) pace: Pace,
    pub(crate) quick: bool,
    /// Instructions too, where a row has them.
    pub(crate) instructions: bool,
    /// Where callgrind's profiles are kept.
    pub(crate) profiles: Option<PathBuf>,
    /// Rows that have not begun by then are left out.
    pub(crate) at_most: Duration,
}

/// A race that is under way.
struct Race<'o> {
    options: &'o Options,
    programs: Programs,
    cores: Cores,
    upstream: Upstream,
    certificate: Certificate,
    begun: Instant,
}

/// Runs it; `after_row` sees the report as it grows.
pub(crate) fn run(options: &Options, after_row: &dyn Fn(&Report)) -> anyhow::Result<Report> {
    let cores = Cores::choose()?;
    if !cores.apart() {
        eprintln!("there is only one core: the proxy shares it with the load, and figures mean little");
    }
    // Before this thread is bound: what the machine did on its own.
    let machine = machine::describe(cores);
    cores::pin(cores.generator)?;
    let dir = tempfile::tempdir()?;
    let race = Race {
        options,
        programs: Programs::find(&options.weir)?,
        cores,
        upstream: upstream::start(Some(cores.upstream))?,
        certificate: Certificate::make(dir.path())?,
        begun: Instant::now(),
    };
    let mut report = Report {
        quick: options.quick,
        rounds: options.pace.rounds,
        seconds: 0,
        machine,
        versions: race.programs.versions(),
        direct: race.direct()?,
        rows: Vec::new(),
    };
    for row in &options.rows {
        let shown = race.row(row)?;
        report.rows.push(shown);
        report.seconds = race.begun.elapsed().as_secs();
        after_row(&report);
    }
    Ok(report)
}

impl Race<'_> {
    /// What generator and upstream reach without a proxy.
    fn direct(&self) -> anyhow::Result<Direct> {
        let request = b"GET /api/items HTTP/1.1\r\nhost: t0.tenants.test\r\nuser-agent: load/1\r\naccept: */*\r\n\r\n";
        let target = Target {
            address: self.upstream.api,
            requests: Arc::new([Request::Text(request.to_vec())]),
            expected: Expected { status: 200, length: BODY },
            tls: None,
            protocol: Protocol::Http1,
        };
        let generator = rustix::thread::gettid().as_raw_nonzero().get();
        let costs = || {
            let load = cpu::of_thread(generator)? + self.upstream.costs()?;
            Ok(Costs { load, ..Costs::default() })
        };
        let span = Span { warm: self.options.pace.closed.warm, measured: self.options.pace.closed.measured };
        let run = load::closed(&target, 64, Sessions::Kept, span, &costs).context("generator and upstream alone")?;
        let answered = run.answered as f64;
        Ok(Direct { rate: answered / run.elapsed.as_secs_f64(), cpu: run.costs.load.as_secs_f64() * 1e6 / answered })
    }

    fn row(&self, row: &Row) -> anyhow::Result<Shown> {
        let mut shown = Shown {
            name: row.name.to_owned(),
            about: row.about.to_owned(),
            tenants: row.config.tenants(),
            left_out: self.obstacle(row),
            entries: Vec::new(),
        };
        if shown.left_out.is_some() {
            return Ok(shown);
        }
        let dir = tempfile::tempdir()?;
        let mut contestants = Vec::new();
        for (peer, log) in self.contestants(row) {
            let (entry, contestant) = self.prepare(row, peer, log, dir.path());
            shown.entries.push(entry);
            contestants.push(contestant);
        }
        let rate = if row.open { self.half_of_the_slowest(row, &contestants) } else { None };
        for round in 1..=self.options.pace.rounds {
            // A row that has begun is worth a few rounds; more of them are not worth a race without end.
            if round > FEWEST && self.begun.elapsed() > self.options.at_most {
                break;
            }
            for (entry, contestant) in shown.entries.iter_mut().zip(&contestants) {
                let Some(contestant) = contestant.as_ref().filter(|_| entry.failure.is_none()) else { continue };
                let rate = rate.filter(|_| timed(row, entry));
                self.progress(row, &format!("round {round} of {}: {}", self.options.pace.rounds, entry.label()));
                match contestant.round(row.load, self.options.pace, rate) {
                    Ok(figures) => entry.rounds.push(figures),
                    Err(error) => entry.failure = Some(format!("{error:#}")),
                }
            }
        }
        if row.instructions && self.options.instructions {
            for (entry, contestant) in shown.entries.iter_mut().zip(&contestants) {
                if let Some(contestant) = contestant.as_ref().filter(|_| entry.failure.is_none()) {
                    self.progress(row, &format!("instructions: {}", entry.label()));
                    let profiles = match &self.options.profiles {
                        Some(kept) => Some(callgrind::directory(kept, &format!("{}-{}", row.name, entry.label()))?),
                        None => None,
                    };
                    match callgrind::per_request(contestant, profiles.as_deref()) {
                        Ok(count) => entry.rounds.push(Figures::from([(Figure::Instructions, count as f64)])),
                        Err(error) => eprintln!("\r\x1b[Kno instructions of {}: {error:#}", entry.label()),
                    }
                }
            }
        }
        eprint!("\r\x1b[K");
        Ok(shown)
    }

    /// Why a row cannot be run.
    fn obstacle(&self, row: &Row) -> Option<String> {
        if self.begun.elapsed() > self.options.at_most {
            return Some(format!("the time was over ({} s)", self.options.at_most.as_secs()));
        }
        let connections = match row.load {
            Load::Idle { connections } => connections as u64,
            Load::Kept { .. } | Load::Streams { .. } | Load::Handshakes { .. } => 0,
        };
        // Each tenant's first cluster keeps a connection; each connection of a client is another.
        let needed = connections.max(u64::from(row.config.hosts())) + 1024;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let short = limit.is_some_and(|limit| limit < needed);
        short.then(|| format!("it takes {needed} open files, and `ulimit -n` allows {}", limit.unwrap_or_default()))
    }

    fn contestants(&self, row: &Row) -> Vec<(Peer, bool)> {
        let logs: &[bool] = if row.logs == Logs::Both { &[false, true] } else { &[false] };
        self.options.peers.iter().flat_map(|peer| logs.iter().map(|log| (*peer, *log))).collect()
    }

    fn prepare(&self, row: &Row, peer: Peer, log: bool, dir: &Path) -> (Entry, Option<Contestant>) {
        let mut entry = Entry { who: peer.name().to_owned(), log, failure: None, rounds: Vec::new() };
        self.progress(row, &format!("writing the configuration of {}", entry.label()));
        let contestant = self.contestant(row.config, peer, log, dir);
        let contestant = contestant.map_err(|error| entry.failure = Some(format!("{error:#}"))).ok();
        (entry, contestant)
    }

    fn contestant(&self, config: Config, peer: Peer, log: bool, dir: &Path) -> anyhow::Result<Contestant> {
        let program = self.programs.path(peer).with_context(|| format!("it is not installed: {}", peer.advice()))?;
        let dir = dir.join(format!("{}{}", peer.name(), if log { "-log" } else { "" }));
        std::fs::create_dir(&dir)?;
        let case = Case {
            dir,
            listen: free_address()?,
            upstream: self.upstream,
            config,
            log,
            certificate: self.certificate.clone(),
            beside: Some(self.cores.upstream),
        };
        let prepared = peer.prepare(program, &case)?;
        Ok(Contestant { peer, case, prepared, cores: self.cores })
    }

    /// The rate of the open loop, found by a short closed one that is not counted.
    fn half_of_the_slowest(&self, row: &Row, contestants: &[Option<Contestant>]) -> Option<f64> {
        let mut slowest: Option<f64> = None;
        for contestant in contestants.iter().flatten() {
            self.progress(row, &format!("who is the slowest: {}", contestant.label()));
            // Who fails here fails again below, where it is reported.
            if let Ok(figures) = contestant.round(row.load, self.options.pace, None)
                && let Some(rate) = figures.get(&Figure::Rate)
            {
                slowest = Some(slowest.map_or(*rate, |slowest| slowest.min(*rate)));
            }
        }
        slowest.map(|rate| rate / 2.0)
    }

    fn progress(&self, row: &Row, what: &str) {
        let seconds = self.begun.elapsed().as_secs();
        eprint!("\r\x1b[K[{:>2}:{:02}] {}: {what} ", seconds / 60, seconds % 60, row.name);
    }
}

/// Whose latency is measured: where each is there with and without a log, the way it meters.
fn timed(row: &Row, entry: &Entry) -> bool {
    row.logs == Logs::Without || entry.log == (entry.who != crate::report::OURS)
}

/// All peers, for the command line.
pub(crate) fn peers_named(names: &[String]) -> anyhow::Result<Vec<Peer>> {
    if names.is_empty() {
        return Ok(peers::ALL.to_vec());
    }
    let named = |name: &String| {
        let found = peers::ALL.into_iter().find(|peer| peer.name().eq_ignore_ascii_case(name));
        found.with_context(|| format!("there is no peer `{name}`; there are weir, nginx, haproxy, envoy"))
    };
    names.iter().map(named).collect()
}
