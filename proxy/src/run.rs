//! The proxy as a process: its parts, put together and run on pingora-core's server.
//!
//! pingora-core gives the services their runtimes and the process its life. Its own way to end is
//! not used: it sleeps the whole grace period whether or not anything is under way. Here SIGTERM
//! (and SIGQUIT) drains, and the process ends when the last exchange has ended, or at the drain
//! timeout; SIGINT, or a second signal, ends it at once.

mod files;
mod life;
mod metering;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use tokio::sync::watch;
use weir_config::bootstrap::{Address, Endpoint, ProxyBootstrap};
use weir_config::model::Delta;

use metering::Metering;

pub use life::{Life, Service, service};

use crate::admin::{self, Admin, SetFilter, Socket};
use crate::live::{Compiles, Live};
use crate::log::AccessLog;
use crate::serve::{Engine, Options, PoolLimits, Statuses};
use crate::tls::{Keys, Wants};
use crate::xds::client::Client;
use crate::xds::persist::Store;
use crate::xds::pipeline::Pipeline;
use crate::xds::stream::{self, Shared, lock};

/// How long the access log may take to reach its sink at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// Handshakes that may wait for their certificates at one time.
const WAITING: usize = 1024;

/// Addresses that are really bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The admin endpoint.
    pub admin: Address,
    /// What probes and Prometheus ask, where there is an address for them.
    pub metrics: Option<Address>,
    /// Listeners by name. Those that are not bound (yet) are not among them.
    pub listeners: BTreeMap<String, SocketAddr>,
}

/// What a proxy needs from the program around it.
pub struct Hooks {
    /// Changes the log filter.
    pub set_filter: SetFilter,
    /// Is told the addresses that are bound, whenever they change.
    pub bound: Box<dyn Fn(&Bound) + Send>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// A proxy whose parts are made and whose services do not run yet.
pub struct Proxy {
    life: Life,
    services: Vec<Service>,
    pipeline: Shared,
    log: Arc<AccessLog>,
    metering: Metering,
    drain_timeout: Duration,
}

impl Proxy {
    /// Makes all parts, makes the last good configuration live, binds the admin endpoint.
    ///
    /// # Errors
    /// A thread, a directory or the admin address cannot be had; the text says which.
    pub fn new(bootstrap: &ProxyBootstrap, hooks: Hooks) -> anyhow::Result<Self> {
        let workers = bootstrap.workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
        let life = Life::new();
        let metering = Metering::start(bootstrap, workers)?;
        let meter = &metering.meter;
        let log = Arc::new(AccessLog::stdout(workers).context("cannot start the access log")?);
        let keys = NonZeroUsize::new(bootstrap.certificates.parsed_keys).unwrap_or(NonZeroUsize::MIN);
        let keys = Arc::new(Keys::new(keys));
        let wants = Arc::new(Wants::new(WAITING));
        let live =
            Live::bounded(Arc::clone(meter), Arc::clone(&keys), Arc::clone(&wants)).context("cannot prepare TLS")?;
        let listeners = live.listeners();
        let pipeline = pipeline(bootstrap, live, wants)?;
        let options = Options { bind: bootstrap.bind, ..options(workers, bootstrap.drain_timeout.0) };
        let engine = Engine::new(listeners.clone(), Arc::clone(meter), Some(Arc::clone(&log)), options)
            .context("cannot start the workers")?;
        let socket = Socket::bind(&bootstrap.admin.address)
            .with_context(|| format!("cannot bind the admin endpoint to {}", bootstrap.admin.address))?;
        let address = socket.address()?;
        tracing::info!(%address, "admin endpoint");
        let open = open(&bootstrap.admin)?;
        let metrics = open.as_ref().map(Socket::address).transpose()?;
        let admin = Admin {
            node: bootstrap.node.id.clone(),
            pipeline: Arc::clone(&pipeline),
            meter: Arc::clone(meter),
            reporter: metering.reporter.clone(),
            prometheus_tenants: bootstrap.usage.prometheus_tenants as usize,
            listeners,
            statuses: engine.statuses(),
            engine: engine.stats(),
            keys,
            drain: life.draining(),
            stop: life.stopping(),
            set_filter: hooks.set_filter,
        };
        let services = vec![
            engine_service(engine, &life),
            metering.service(),
            xds_service(bootstrap.xds.clone(), Arc::clone(&pipeline)),
            admin_service((socket, open), (address, metrics), admin, hooks.bound),
        ];
        Ok(Self { life, services, pipeline, log, metering, drain_timeout: bootstrap.drain_timeout.0 })
    }

    /// Runs until a signal ends it, or one of its services fails, together with `others`.
    ///
    /// # Errors
    /// The failure of a service, which ended everything.
    pub fn run(self, others: Vec<Service>) -> anyhow::Result<()> {
        let conf = ServerConf { threads: 1, work_stealing: true, ..ServerConf::default() };
        let mut server = Server::new_with_opt_and_conf(None, conf);
        for service in self.services.into_iter().chain(others) {
            server.add_boxed_service(service.on(&self.life));
        }
        server.run(RunArgs { shutdown_signal: Box::new(self.life.signals(self.drain_timeout)) });
        lock(&self.pipeline).finish(Instant::now());
        self.log.flush(FLUSH);
        let nobody_counts = *self.life.drained().borrow();
        self.metering.finish(nobody_counts);
        self.life.failure()
    }

    /// How this proxy is asked to end, by the program or by a test.
    pub fn life(&self) -> Life {
        self.life.clone()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

/// The engine's settings, with as many connections as this process may have open.
fn options(workers: usize, drain_timeout: Duration) -> Options {
    let files = files::raise();
    let share = files::share(files, workers);
    tracing::info!(
        files,
        clients = share.clients,
        idle_upstream = share.idle,
        udp_sessions = share.sessions,
        "open files allowed"
    );
    let pool = PoolLimits { total: share.idle, ..PoolLimits::default() };
    Options {
        workers,
        drain_timeout,
        max_connections: share.clients,
        max_sessions: share.sessions,
        pool,
        ..Options::default()
    }
}

/// The way from the server to the tables, with the last good configuration in it.
fn pipeline(bootstrap: &ProxyBootstrap, live: Live, wants: Arc<Wants>) -> anyhow::Result<Shared> {
    let store = Store::new(&bootstrap.state_dir, bootstrap.secrets_dir.as_deref())
        .with_context(|| format!("cannot use the state directory {}", bootstrap.state_dir.display()))?;
    let client = Client::new(&bootstrap.node.id, &bootstrap.node.cluster, Arc::new(Compiles))
        .with_secrets(bootstrap.certificates.held);
    let live = Arc::new(Mutex::new(live));
    let uses = Arc::clone(&live);
    // Each change leaves it whole, so one that ended early is as good as none.
    let apply = Box::new(move |delta: &Delta| live.lock().unwrap_or_else(PoisonError::into_inner).apply(delta));
    let last_use = Box::new(move |secret: &str| uses.lock().unwrap_or_else(PoisonError::into_inner).last_use(secret));
    let mut pipeline = Pipeline::new(client, apply, Some(store), bootstrap.max_staleness.0).on_demand(wants, last_use);
    pipeline.restore(SystemTime::now());
    Ok(Arc::new(Mutex::new(pipeline)))
}

fn engine_service(engine: Engine, life: &Life) -> Service {
    let (drain, drained) = (life.draining().subscribe(), life.drained());
    service("engine", move |stop| async move {
        engine.run(stop, drain).await;
        drained.send_replace(true);
        Ok(())
    })
}

/// The stream goes on while exchanges drain, so that what is cut meanwhile is cut for them too.
fn xds_service(server: Endpoint, pipeline: Shared) -> Service {
    service("xds", move |_stop| async move {
        let (_never, end) = watch::channel(false);
        stream::run(server, pipeline, end).await;
        Ok(())
    })
}

/// The address for probes and Prometheus, if there is one.
fn open(settings: &weir_config::bootstrap::Admin) -> anyhow::Result<Option<Socket>> {
    let bind = |address: &Address| {
        Socket::bind(address).with_context(|| format!("cannot bind admin.metricsAddress to {address}"))
    };
    settings.metrics_address.as_ref().map(bind).transpose()
}

fn admin_service(
    (socket, open): (Socket, Option<Socket>),
    addresses: (Address, Option<Address>),
    admin: Admin,
    bound: Box<dyn Fn(&Bound) + Send>,
) -> Service {
    service("admin", move |_stop| async move {
        let statuses = admin.statuses.clone();
        tokio::select! {
            ended = admin::serve(socket, open, admin) => ended.context("the admin endpoint ended"),
            () = report(addresses, statuses, bound) => Ok(()),
        }
    })
}

/// Tells what is bound, whenever it changes.
async fn report(
    (admin, metrics): (Address, Option<Address>),
    mut statuses: watch::Receiver<Statuses>,
    bound: Box<dyn Fn(&Bound) + Send>,
) {
    let mut last = None;
    loop {
        let listeners: BTreeMap<_, _> =
            statuses.borrow_and_update().iter().filter_map(|(name, s)| Some((name.clone(), s.bound?))).collect();
        let now = Bound { admin: admin.clone(), metrics: metrics.clone(), listeners };
        if last.as_ref() != Some(&now) {
            bound(&now);
            last = Some(now);
        }
        if statuses.changed().await.is_err() {
            // The engine has ended; the endpoint stays.
            return std::future::pending().await;
        }
    }
}
