//! One round of one contestant: start, verify, load, stop.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustls::pki_types::ServerName;

use crate::asked::requests;
use crate::cores::Cores;
use crate::cpu;
use crate::http::Expected;
use crate::load::{self, Costs, Protocol, Resumption, Sessions, Span, Target, Tls};
use crate::peers::{Case, Peer, Prepared};
use crate::processes::{Place, Process, wait_for};
use crate::report::{Figure, Figures, label};
use crate::rows::{Load, host};
use crate::upstream::BODY;
use crate::verify;

/// Connections of an open loop, or streams over all its connections: more than are under way at half of anybody's capacity.
const OPEN_CONNECTIONS: usize = 256;
/// Least share of handshakes that must take up a session where that is what is measured.
const RESUMED: f64 = 0.95;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rounds: u32,
    pub(crate) closed: Span,
    pub(crate) open: Span,
}

/// A contestant that is set up.
pub(crate) struct Contestant {
    pub(crate) peer: Peer,
    pub(crate) case: Case,
    pub(crate) prepared: Prepared,
    pub(crate) cores: Cores,
}

impl Contestant {
    /// As it stands in tables.
    pub(crate) fn label(&self) -> String {
        label(self.peer.name(), self.case.log)
    }

    /// A whole round. `rate` is that of the open loop, if there is one.
    pub(crate) fn round(&self, load: Load, pace: Pace, rate: Option<f64>) -> anyhow::Result<Figures> {
        let target = self.target(load)?;
        let mut figures = Figures::new();
        let begun = Instant::now();
        let mut process = self.start(None)?;
        verify::ready(&self.case, target.tls.as_ref(), &mut process)?;
        figures.insert(Figure::Start, begun.elapsed().as_secs_f64() * 1e3);
        verify::right(&self.case, target.tls.as_ref(), target.expected.length).context("it answers wrongly")?;
        self.settle(&mut process)?;
        let pid = process.id();
        let done = match load {
            Load::Kept { connections, .. } => {
                self.closed(&target, connections, Sessions::Kept, pace, pid, &mut figures)
            }
            Load::Streams { connections, .. } => {
                self.closed(&target, connections, Sessions::Kept, pace, pid, &mut figures)
            }
            Load::Handshakes { connections, resumed } => {
                self.closed(&target, connections, Sessions::One { resumed }, pace, pid, &mut figures)
            }
            Load::Idle { connections } => idle(&target, connections, pid, &mut figures),
        };
        // That it has ended says more than the connection that broke.
        done.or_else(|error| process.check().and(Err(error)))?;
        if let Some(rate) = rate {
            self.open(&target, load, rate, pace, pid, &mut figures).context("open loop")?;
        }
        process.stop()?;
        if self.prepared.state.is_some() {
            self.restart(&target, &mut figures).context("start with what it kept")?;
        }
        Ok(figures)
    }

    /// Starts it once more, with what it kept.
    fn restart(&self, target: &Target, figures: &mut Figures) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut process = self.spawn(None)?;
        verify::ready(&self.case, target.tls.as_ref(), &mut process)?;
        figures.insert(Figure::Restart, begun.elapsed().as_secs_f64() * 1e3);
        process.stop()
    }

    /// Starts it with nothing left of an earlier round; under another program, if one is given.
    pub(crate) fn start(&self, under: Option<(&Path, &[String])>) -> anyhow::Result<Process> {
        if let Some(log) = &self.prepared.log
            && log.exists()
        {
            fs::remove_file(log)?;
        }
        if let Some(state) = &self.prepared.state
            && state.exists()
        {
            fs::remove_dir_all(state)?;
        }
        self.spawn(under)
    }

    fn spawn(&self, under: Option<(&Path, &[String])>) -> anyhow::Result<Process> {
        let errors = self.case.dir.join("errors.log");
        let place =
            Place { core: Some(self.cores.proxy), output: self.prepared.output.as_deref(), errors: Some(&errors) };
        let mut command = self.prepared.command();
        if let Some((program, args)) = under {
            let mut wrapped = Command::new(program);
            wrapped.args(args).arg(command.get_program()).args(command.get_args());
            command = wrapped;
        }
        Process::start(&mut command, place)
    }

    /// Waits for the file that says that the start is over.
    pub(crate) fn settle(&self, process: &mut Process) -> anyhow::Result<()> {
        let Some(file) = &self.prepared.settled else { return Ok(()) };
        wait_for(file, || process.check())
    }

    /// What it is asked.
    pub(crate) fn target(&self, load: Load) -> anyhow::Result<Target> {
        let (size, resumption) = match load {
            Load::Kept { body, .. } | Load::Streams { body, .. } => (body, Resumption::Never),
            Load::Handshakes { resumed: true, .. } => (BODY, Resumption::Tickets),
            Load::Handshakes { .. } | Load::Idle { .. } => (BODY, Resumption::Never),
        };
        let config = self.case.config;
        let alpn = if config.http2() { "h2" } else { "http/1.1" };
        let tls = match config.tls() {
            true => Some(Tls { config: load::client(resumption, alpn)?, name: ServerName::try_from(host(0))? }),
            false => None,
        };
        let protocol = match load {
            Load::Streams { streams, .. } => Protocol::Http2 { streams },
            _ if config.http2() => Protocol::Http2 { streams: 1 },
            _ => Protocol::Http1,
        };
        let requests = requests(config, size)?;
        let expected = Expected { status: 200, length: size };
        Ok(Target { address: self.case.listen, requests, expected, tls, protocol })
    }

    fn closed(
        &self,
        target: &Target,
        connections: usize,
        sessions: Sessions,
        pace: Pace,
        pid: u32,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let costs = || self.costs(pid);
        let run = load::closed(target, connections, sessions, pace.closed, &costs)?;
        let (answered, seconds) = (run.answered as f64, run.elapsed.as_secs_f64());
        ensure!(run.answered > 0, "no answer in {seconds:.1} s");
        if sessions == (Sessions::One { resumed: true }) {
            let share = run.resumed as f64 / answered;
            ensure!(share >= RESUMED, "only {:.0} % of the handshakes took up a session", share * 100.0);
        }
        figures.insert(Figure::Cpu, run.costs.proxy.as_secs_f64() * 1e6 / answered);
        figures.insert(Figure::Rate, answered / seconds);
        figures.insert(Figure::Busy, run.costs.proxy.as_secs_f64() / seconds * 100.0);
        let others = run.costs.core.saturating_sub(run.costs.proxy);
        figures.insert(Figure::Others, others.as_secs_f64() / seconds * 100.0);
        figures.insert(Figure::LoadBusy, run.costs.load.as_secs_f64() / seconds * 100.0);
        figures.insert(Figure::Memory, cpu::resident_kib(pid)? as f64 / 1024.0);
        Ok(())
    }

    /// Proxy, the threads that make the load, and all that runs on the proxy's core.
    fn costs(&self, pid: u32) -> anyhow::Result<Costs> {
        let generator = cpu::of_thread(rustix::thread::gettid().as_raw_nonzero().get())?;
        let load = generator + self.case.upstream.costs()?;
        Ok(Costs { proxy: cpu::of_process(pid)?, load, core: cpu::of_core(self.cores.proxy)? })
    }

    fn open(
        &self,
        target: &Target,
        load: Load,
        rate: f64,
        pace: Pace,
        pid: u32,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let costs = || self.costs(pid);
        let (connections, protocol) = match load {
            Load::Streams { connections, .. } => {
                (connections, Protocol::Http2 { streams: OPEN_CONNECTIONS / connections })
            }
            _ => (OPEN_CONNECTIONS, target.protocol),
        };
        let target = Target { protocol, ..target.clone() };
        let run = load::open(&target, rate, connections, pace.open, &costs)?;
        let micros = |quantile: Option<Duration>| quantile.map(|d| d.as_secs_f64() * 1e6);
        let quantiles = [
            (Figure::P50, run.latency.quantile(0.5)),
            (Figure::P99, run.latency.quantile(0.99)),
            (Figure::Late, run.late.quantile(0.99)),
        ];
        for (figure, quantile) in quantiles {
            figures.insert(figure, micros(quantile).context("nothing was answered")?);
        }
        figures.insert(Figure::OpenCpu, run.costs.proxy.as_secs_f64() * 1e6 / run.latency.len() as f64);
        figures.insert(Figure::Offered, rate);
        Ok(())
    }
}

fn idle(target: &Target, connections: usize, pid: u32, figures: &mut Figures) -> anyhow::Result<()> {
    // What the first connections bring with them belongs to no connection.
    let first = load::hold(target, load::AT_ONCE)?;
    let before = cpu::resident_kib(pid)?;
    let held = load::hold(target, connections)?;
    let after = cpu::resident_kib(pid)?;
    figures.insert(Figure::PerConnection, after.saturating_sub(before) as f64 / connections as f64);
    figures.insert(Figure::Memory, after as f64 / 1024.0);
    drop((first, held));
    Ok(())
}
