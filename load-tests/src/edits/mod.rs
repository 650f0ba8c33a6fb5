//! Edits: how long one takes to reach the answers of a fleet of proxies, and what it costs the server, in
//! fleets of several sizes.

pub(crate) mod ask;
pub(crate) mod cluster;
mod counts;
pub(crate) mod fleet;
pub(crate) mod manifests;
pub(crate) mod report;
pub(crate) mod sets;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};

use self::ask::{At, Awaited, Shown};
use self::fleet::{Fleet, Shape, Source};
use self::report::{Quantiles, Report};
use self::world::World;
use crate::cores::Cores;
use crate::upstream::{self, Upstream};
use crate::{cpu, machine};

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) weir: PathBuf,
    /// The API server, for fleets that have their objects there; none: directories alone.
    pub(crate) litek8s: Option<PathBuf>,
    /// Tenants of each fleet, the smallest first.
    pub(crate) tenants: Vec<u32>,
    pub(crate) proxies: u8,
    pub(crate) edits: u32,
    pub(crate) per_second: f64,
    /// Edits whose instructions are counted, in the smallest and the largest fleet; 0: none.
    pub(crate) counted: u32,
    /// Where callgrind's profiles are kept.
    pub(crate) profiles: Option<PathBuf>,
    pub(crate) quick: bool,
}

/// Runs it; `after_fleet` sees the report as it grows.
pub(crate) fn run(options: &Options, after_fleet: &dyn Fn(&Report)) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let mut report = Report {
        quick: options.quick,
        began: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        seconds: 0,
        machine: machine::describe(Cores::choose()?),
        proxies: options.proxies,
        edits: options.edits,
        per_second: options.per_second,
        counted: options.counted,
        fleets: Vec::new(),
    };
    let upstream = upstream::start(None)?;
    for source in sources(options) {
        for tenants in &options.tenants {
            let fleet = measure(shape(options, source, *tenants, upstream), options);
            report.fleets.push(fleet.with_context(|| format!("{tenants} tenants"))?);
            after_fleet(&report);
        }
    }
    let ends = [options.tenants.first(), options.tenants.last()];
    for fleet in report.fleets.iter_mut().filter(|fleet| ends.contains(&Some(&fleet.tenants)) && options.counted > 0) {
        let source = sources(options).find(|source| name(*source) == fleet.source);
        let shape = shape(options, source.unwrap_or(Source::Directory), fleet.tenants, upstream);
        match counts::per_edit(shape, options.counted, options.profiles.as_deref()) {
            Ok(count) => fleet.instructions = Some(count),
            Err(error) => fleet.uncounted = Some(format!("{error:#}")),
        }
    }
    report.seconds = begun.elapsed().as_secs();
    Ok(report)
}

/// Where fleets have their objects.
fn sources(options: &Options) -> impl Iterator<Item = Source<'_>> {
    [Source::Directory].into_iter().chain(options.litek8s.as_deref().map(Source::Kubernetes))
}

pub(crate) fn name(source: Source<'_>) -> &'static str {
    match source {
        Source::Directory => "directory",
        Source::Kubernetes(_) => "kubernetes",
    }
}

fn shape<'o>(options: &'o Options, source: Source<'o>, tenants: u32, upstream: Upstream) -> Shape<'o> {
    Shape {
        weir: &options.weir,
        source,
        world: World::Plain,
        tenants,
        proxies: options.proxies,
        upstream,
        under: None,
        led: false,
        window: "10s",
    }
}

/// Starts a fleet of one size and edits it.
fn measure(shape: Shape<'_>, options: &Options) -> anyhow::Result<report::Fleet> {
    let tenants = shape.tenants;
    let fleet = Fleet::start(shape)?;
    let server_memory = cpu::resident_kib(fleet.server.id())?;
    let before = costs(&fleet)?;
    let (shown, taken) = edit(options, tenants, &fleet)?;
    let after = costs(&fleet)?;
    let micros = |(before, after): (Duration, Duration)| {
        after.saturating_sub(before).as_secs_f64() * 1e6 / f64::from(options.edits)
    };
    let mut everywhere: BTreeMap<u32, Duration> = BTreeMap::new();
    for (edit, took) in &shown {
        let last = everywhere.entry(*edit).or_default();
        *last = (*last).max(*took);
    }
    let proxies = fleet.proxies.iter().map(|proxy| cpu::resident_kib(proxy.id())).collect::<Result<Vec<_>, _>>()?;
    Ok(report::Fleet {
        source: name(shape.source).to_owned(),
        tenants,
        objects: tenants * manifests::OBJECTS,
        ready: fleet.ready.as_secs_f64() * 1e3,
        serving: fleet.serving.as_secs_f64() * 1e3,
        server_memory,
        server_memory_after: cpu::resident_kib(fleet.server.id())?,
        proxy_memory: proxies.into_iter().max().unwrap_or_default(),
        taken: Quantiles::of(taken),
        shown: Quantiles::of(shown.into_iter().map(|(_, took)| took).collect()),
        everywhere: Quantiles::of(everywhere.into_values().collect()),
        server_cpu: micros((before.0, after.0)),
        proxy_cpu: micros((before.1, after.1)) / f64::from(options.proxies),
        instructions: None,
        uncounted: None,
    })
}

/// Time on a core of the server, and of all proxies together.
pub(crate) fn costs(fleet: &Fleet) -> anyhow::Result<(Duration, Duration)> {
    let proxies = fleet.proxies.iter().map(|proxy| cpu::of_process(proxy.id())).sum::<anyhow::Result<Duration>>()?;
    Ok((cpu::of_process(fleet.server.id())?, proxies))
}

/// Makes all edits, each when it is due, and says how long each took to show at each proxy, and to be taken.
fn edit(options: &Options, tenants: u32, fleet: &Fleet) -> anyhow::Result<(Shown, Vec<Duration>)> {
    thread::scope(|scope| {
        let mut senders = Vec::new();
        let mut watchers = Vec::new();
        for place in fleet.places() {
            let (send, edits) = mpsc::channel();
            senders.push(send);
            watchers.push(scope.spawn(move || ask::watch(place, &[0], &edits)));
        }
        let mut taken = Vec::new();
        let begun = Instant::now();
        for edit in 1..=options.edits {
            let due = begun + Duration::from_secs_f64(f64::from(edit) / options.per_second);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let tenant = order(edit, tenants);
            let (made, took) = fleet.edit(tenant, edit)?;
            taken.push(took);
            for sender in &senders {
                // A watcher that failed says why below.
                let _ = sender.send(Awaited { tenant, edit, made, at: At::Root });
            }
        }
        drop(senders);
        let mut shown = Shown::new();
        for watcher in watchers {
            shown.extend(watcher.join().map_err(|_| anyhow!("a watcher panicked"))??);
        }
        Ok((shown, taken))
    })
}

/// The tenant of an edit: all over the fleet, and always the same.
pub(crate) fn order(edit: u32, tenants: u32) -> u32 {
    const STRIDE: u64 = 7919;
    u32::try_from(u64::from(edit) * STRIDE % u64::from(tenants)).unwrap_or_default()
}
