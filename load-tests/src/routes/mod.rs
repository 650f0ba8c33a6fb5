//! Routes: how soon a new one serves while others change, and what that takes, in fleets whose tenants each bring a
//! ListenerSet with a certificate; and what happens when the server that leads is killed.

pub(crate) mod report;
mod takeover;

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};

use self::report::{Report, Scale};
use crate::cores::Cores;
use crate::edits::ask::{self, At, Awaited, Shown};
use crate::edits::fleet::{Fleet, Shape, Source};
use crate::edits::report::Quantiles;
use crate::edits::world::World;
use crate::edits::{costs, name, order};
use crate::upstream::{self, Upstream};
use crate::{cpu, machine};

/// Tenants whose routes come, in turn: from all over the fleet, with their connections made before.
const GROWING: u32 = 10;
/// Changes for each new route: the rest are edits of others.
const CHANGES: u32 = 5;

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) weir: PathBuf,
    /// The API server, for fleets that have their objects there.
    pub(crate) litek8s: Option<PathBuf>,
    /// Whether there are fleets that have them in a directory.
    pub(crate) directory: bool,
    pub(crate) tenants: u32,
    /// Routes of each fleet, the smallest first.
    pub(crate) routes: Vec<u32>,
    pub(crate) proxies: u8,
    /// Routes that are new, of each fleet.
    pub(crate) added: u32,
    /// Changes a second, new routes among them.
    pub(crate) per_second: f64,
    /// Whether a leader is killed, in the largest fleet.
    pub(crate) takeover: bool,
    pub(crate) quick: bool,
}

/// Runs it; `after` sees the report as it grows.
pub(crate) fn run(options: &Options, after: &dyn Fn(&Report)) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let mut report = Report {
        quick: options.quick,
        began: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        seconds: 0,
        machine: machine::describe(Cores::choose()?),
        tenants: options.tenants,
        proxies: options.proxies,
        added: options.added,
        per_second: options.per_second,
        scales: Vec::new(),
        takeover: None,
    };
    let upstream = upstream::start(None)?;
    let directory = options.directory.then_some(Source::Directory);
    let kubernetes = options.litek8s.as_deref().map(Source::Kubernetes);
    for source in directory.into_iter().chain(kubernetes) {
        for routes in &options.routes {
            eprintln!("[{} s] {routes} routes, objects in {}", begun.elapsed().as_secs(), name(source));
            let scale = measure(shape(options, source, *routes, upstream), options);
            report.scales.push(scale.with_context(|| format!("{routes} routes, {}", name(source)))?);
            report.seconds = begun.elapsed().as_secs();
            after(&report);
        }
    }
    if let (Some(source), Some(routes), true) = (kubernetes, options.routes.last(), options.takeover) {
        eprintln!("[{} s] a new leader, {routes} routes", begun.elapsed().as_secs());
        let taken = takeover::measure(Shape { led: true, ..shape(options, source, *routes, upstream) });
        report.takeover = Some(taken.context("a new leader")?);
    }
    report.seconds = begun.elapsed().as_secs();
    after(&report);
    Ok(report)
}

fn shape<'o>(options: &'o Options, source: Source<'o>, routes: u32, upstream: Upstream) -> Shape<'o> {
    Shape {
        weir: &options.weir,
        source,
        world: World::Sets { routes: routes.div_ceil(options.tenants) },
        tenants: options.tenants,
        proxies: options.proxies,
        upstream,
        under: None,
        led: false,
        window: "10s",
    }
}

/// Starts a fleet of one size and lets it grow.
fn measure(shape: Shape<'_>, options: &Options) -> anyhow::Result<Scale> {
    let fleet = Fleet::start(shape)?;
    let server_memory = cpu::resident_kib(fleet.server.id())?;
    let before = costs(&fleet)?;
    let (shown, taken) = grow(options, &fleet)?;
    let after = costs(&fleet)?;
    let changes = f64::from(options.added * CHANGES);
    let micros = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() * 1e6 / changes;
    let proxies = fleet.proxies.iter().map(|proxy| cpu::resident_kib(proxy.id())).collect::<Result<Vec<_>, _>>()?;
    let each = match shape.world {
        World::Sets { routes } => routes,
        World::Plain => 0,
    };
    Ok(Scale {
        source: name(shape.source).to_owned(),
        routes: shape.tenants * each,
        objects: shape.tenants * shape.world.objects(),
        ready: fleet.ready.as_secs_f64() * 1e3,
        serving: fleet.serving.as_secs_f64() * 1e3,
        server_memory,
        server_memory_after: cpu::resident_kib(fleet.server.id())?,
        proxy_memory: proxies.into_iter().max().unwrap_or_default(),
        taken: Quantiles::of(taken),
        shown: Quantiles::of(shown.into_iter().map(|(_, took)| took).collect()),
        server_cpu: micros(before.0, after.0),
        proxy_cpu: micros(before.1, after.1) / f64::from(options.proxies),
    })
}

/// Makes all changes, each when it is due, and says how long each new route took to serve at each proxy, and to be
/// taken.
fn grow(options: &Options, fleet: &Fleet) -> anyhow::Result<(Shown, Vec<Duration>)> {
    let growing: Vec<u32> = (0..GROWING.min(options.tenants)).map(|n| order(n, options.tenants)).collect();
    thread::scope(|scope| {
        let (mut senders, mut watchers) = (Vec::new(), Vec::new());
        for place in fleet.places() {
            let (send, edits) = mpsc::channel();
            senders.push(send);
            let growing = &growing;
            watchers.push(scope.spawn(move || ask::watch(place, growing, &edits)));
        }
        let mut taken = Vec::new();
        let begun = Instant::now();
        for change in 1..=options.added * CHANGES {
            let due = begun + Duration::from_secs_f64(f64::from(change) / options.per_second);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if change % CHANGES != 0 {
                fleet.edit(order(change, options.tenants), change)?;
                continue;
            }
            let tenant = growing[(change / CHANGES) as usize % growing.len()];
            let (made, took) = fleet.add(tenant, change)?;
            taken.push(took);
            for sender in &senders {
                // A watcher that failed says why below.
                let _ = sender.send(Awaited { tenant, edit: change, made, at: At::New });
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
