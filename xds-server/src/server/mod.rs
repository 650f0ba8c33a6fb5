//! The server as a whole: source, world, store, xDS port and admin endpoint.

mod accept;
mod listen;
mod streams;
mod tls;
mod usage;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use weir_config::bootstrap::{Address, ServerBootstrap, Unassigned};

use crate::apiserver::ApiServer;
use crate::auth::clock::clock;
use crate::auth::door::Door;
use crate::auth::gate::Gate;
use crate::auth::issuer::OwnIssuer;
use crate::auth::review::{Reviewer, TokenReviews};
use crate::metrics::Metrics;
use crate::state::State;
use crate::translate::{Classes, Settings};
use crate::usage::als::AccessLogs;
use crate::usage::intake::Intake;
use crate::usage::metrics::Stats;
use crate::usage::reporters::Reporters;
use crate::usage::service::Usage;
use crate::usage::store::Store;
use crate::watch::Batch;
use crate::watch::directory::DirectorySource;
use crate::watch::kubernetes::KubernetesSource;
use listen::Bound;
use streams::Streams;
use tls::Certificate;

/// How often an idle xDS connection is asked whether it is alive, and how long it may take to say so.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// Bytes of a request's headers: the longest token that is read, and what else clients send.
const MAX_HEADERS: u32 = 48 << 10;

/// How long an ending server waits for the usage database.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Where a server's objects come from.
pub trait Source: Send + 'static {
    /// The next batch; the first is everything there is. None: the source has ended, and what it
    /// said stays.
    fn next(&mut self) -> impl Future<Output = Option<Batch>> + Send;
}

impl Source for DirectorySource {
    async fn next(&mut self) -> Option<Batch> {
        Some(DirectorySource::next(self).await)
    }
}

impl Source for KubernetesSource {
    async fn next(&mut self) -> Option<Batch> {
        KubernetesSource::next(self).await
    }
}

/// Addresses that were bound, with the ports that the system chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The xDS port.
    pub xds: Address,
    /// The admin endpoint.
    pub admin: Address,
    /// What probes and Prometheus ask, where there is an address for them.
    pub metrics: Option<Address>,
}

/// Runs a server on the directory or the cluster that its bootstrap names until `shutdown`.
///
/// # Errors
/// A directory that cannot be watched, a cluster that nothing says how to reach, or as [`run_with`].
pub async fn run(
    bootstrap: &ServerBootstrap,
    shutdown: CancellationToken,
    bound: oneshot::Sender<Addresses>,
) -> anyhow::Result<()> {
    if let Some(kubernetes) = &bootstrap.source.kubernetes {
        let api = ApiServer::open(kubernetes).await?;
        let source = KubernetesSource::open(&api, kubernetes);
        return serve(source, Some(api), bootstrap, shutdown, bound).await;
    }
    let directory = bootstrap.source.directory.clone().context("source.directory is missing")?;
    let source = DirectorySource::open(directory, Some(bootstrap.state_dir.clone()))?;
    run_with(source, bootstrap, shutdown, bound).await
}

/// Runs a server on the objects of `source` until `shutdown`. `bound` hears the addresses as soon
/// as both ports are open.
///
/// # Errors
/// A port that cannot or must not be bound, or one that failed while it served.
pub async fn run_with(
    source: impl Source,
    bootstrap: &ServerBootstrap,
    shutdown: CancellationToken,
    bound: oneshot::Sender<Addresses>,
) -> anyhow::Result<()> {
    let api = match &bootstrap.source.kubernetes {
        Some(kubernetes) => Some(ApiServer::open(kubernetes).await?),
        None => None,
    };
    serve(source, api, bootstrap, shutdown, bound).await
}

/// Serves what `source` says; `api` is the cluster's, where there is one.
async fn serve(
    source: impl Source,
    api: Option<ApiServer>,
    bootstrap: &ServerBootstrap,
    shutdown: CancellationToken,
    bound: oneshot::Sender<Addresses>,
) -> anyhow::Result<()> {
    refuse_open(bootstrap)?;
    let store = Store::open(&bootstrap.usage, &bootstrap.state_dir).context("cannot use the usage database")?;
    let stats = Arc::new(Stats::new(bootstrap.usage.prometheus_tenants));
    let state = Arc::new(State::new(settings(bootstrap), Arc::clone(&stats))?);
    // Before the port is open, so that whoever can connect finds what a local proxy proves itself by.
    let access = Access::new(bootstrap, api.as_ref(), Arc::clone(state.metrics()))?;
    let xds = Bound::bind(&bootstrap.xds.address).await.context("cannot open the xDS port")?;
    let admin = Bound::bind(&bootstrap.admin.address).await.context("cannot open the admin endpoint")?;
    let open = match &bootstrap.admin.metrics_address {
        Some(address) => Some(Bound::bind(address).await.context("cannot open admin.metricsAddress")?),
        None => None,
    };
    let metrics = open.as_ref().map(|open| open.address().clone());
    let addresses = Addresses { xds: xds.address().clone(), admin: admin.address().clone(), metrics };
    tracing::info!(xds = %addresses.xds, admin = %addresses.admin, tls = access.certificate.is_some(), "the server listens");
    // Whoever started the server may not care.
    let _ = bound.send(addresses);

    // One task that ends, for whatever reason, ends the others.
    let stop = shutdown.child_token();
    let guard = stop.clone().drop_guard();
    let publish = publish(bootstrap, api, &state, &store, stop.clone());
    let feed = tokio::spawn(feed(source, Arc::clone(&state), stop.clone()));
    let page = tokio::spawn(admin.serve_http(crate::admin::router(Arc::clone(&state), store.clone()), stop.clone()));
    let open = tokio::spawn(serve_open(open, Arc::clone(&state), stop.clone()));
    let (intake, applier) = Intake::new(store.clone(), Arc::clone(state.metrics()), Arc::clone(&stats));
    let applier = tokio::spawn(applier);
    let keep = tokio::spawn(usage::keep(store.clone(), bootstrap.usage.clone(), stop.clone()));
    let export = tokio::spawn(usage::export(store.clone(), bootstrap.clone(), stats, stop.clone()));
    let reporters = Reporters::new(
        Arc::clone(state.given()),
        store.clone(),
        Arc::clone(state.namespaces()),
        state.watch_ready(),
        bootstrap.usage.retention.batches.0,
    );
    let given =
        tokio::spawn(usage::keep_given(store.clone(), Arc::clone(&state), bootstrap.usage.clone(), stop.clone()));
    let usage = Usage::new(intake.clone(), Arc::clone(&reporters), Arc::clone(state.metrics()), stop.clone());
    let access_logs = AccessLogs::new(intake, reporters, Arc::clone(state.metrics()), stop.clone());
    let services = (Streams::new(&bootstrap.load, &state, &stop), usage, access_logs.clone());
    let result = serve_xds(xds, access, services, stop.clone()).await.context("the xDS port failed");
    drop(guard);
    // What Envoys reported comes from nobody again; it has a deadline of its own.
    access_logs.drained().await;
    drop(access_logs);
    let (fed, paged, opened) = tokio::join!(feed, page, open);
    // The Lease is let go of, so that another replica leads at once.
    let _ = tokio::time::timeout(LAST_WORDS, publish).await;
    // A database that hangs shall not keep the server from ending: what was not acknowledged comes again.
    let stored = async {
        let _ = tokio::join!(applier, keep, export, given);
        store.close().await;
    };
    let _ = tokio::time::timeout(LAST_WORDS, stored).await;
    result
        .and(fed.context("reading objects failed")?)
        .and(paged.context("the admin endpoint failed")?)
        .and(opened.context("admin.metricsAddress failed")?)
}

/// Writes statuses to the cluster that the objects come from, where it is to.
fn publish(
    bootstrap: &ServerBootstrap,
    api: Option<ApiServer>,
    state: &Arc<State>,
    store: &Store,
    stop: CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let settings = bootstrap.source.kubernetes.clone().filter(|settings| settings.status);
    let (Some(api), Some(settings)) = (api, settings) else {
        return tokio::spawn(async {});
    };
    state.news().keep();
    tokio::spawn(crate::publish::run(api, settings, Arc::clone(state), store.clone(), stop))
}

/// Answers probes and Prometheus, where there is an address for them.
async fn serve_open(bound: Option<Bound>, state: Arc<State>, stop: CancellationToken) -> anyhow::Result<()> {
    match bound {
        Some(bound) => bound.serve_http(crate::admin::open_router(state), stop).await,
        None => Ok(()),
    }
}

async fn serve_xds(
    bound: Bound,
    access: Access,
    (streams, usage, access_logs): (Streams, Usage, AccessLogs),
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (gate, tls) = access.start(&stop)?;
    let server = streams
        .bound(tonic::transport::Server::builder())
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .http2_max_header_list_size(MAX_HEADERS)
        .layer(gate)
        .add_routes(streams.routes())
        .add_service(usage.into_server())
        .add_service(access_logs.into_server());
    let connections = accept::incoming(bound.into_socket(), tls, stop.clone());
    tokio::select! {
        served = server.serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned()) => served?,
        // A client that neither reads nor leaves holds nobody up.
        () = streams::over(&stop) => {}
    }
    Ok(())
}

/// How callers of the xDS port get in: what is checked, and by which certificate the server proves itself.
struct Access {
    door: Arc<Door>,
    issuer: Option<OwnIssuer>,
    certificate: Option<Arc<Certificate>>,
}

impl Access {
    fn new(bootstrap: &ServerBootstrap, api: Option<&ApiServer>, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let own = bootstrap.has_own_issuer();
        let issuer = own.then(|| OwnIssuer::open(bootstrap, clock()())).transpose()?;
        let certificate = match (&bootstrap.xds.tls, &issuer) {
            (Some(tls), _) => Some(Certificate::open(&tls.certificate_file, &tls.key_file)?),
            (None, Some(issuer)) => Some(Certificate::open(&issuer.places().certificate(), &issuer.places().key())?),
            (None, None) => None,
        };
        // It waits for nobody: each request that is under way has a connection of its own.
        let asked = api.filter(|_| bootstrap.reviews_tokens());
        let reviewer = asked.map(|api| Arc::new(TokenReviews::new(api.clone())) as Arc<dyn Reviewer>);
        let door = Arc::new(Door::new(bootstrap, issuer.as_ref(), reviewer, metrics, clock())?);
        Ok(Self { door, issuer, certificate })
    }

    /// Starts what keeps all of it up to date until `stop`; gives what a connection has to pass.
    fn start(self, stop: &CancellationToken) -> anyhow::Result<(Gate, Option<Arc<rustls::ServerConfig>>)> {
        let asks = self.door.authorities().is_some();
        let tls = self.certificate.as_ref().map(|certificate| certificate.config(asks)).transpose()?;
        tokio::spawn(Arc::clone(&self.door).keep(stop.clone()));
        if let Some(issuer) = self.issuer {
            tokio::spawn(issuer.keep(clock(), stop.clone()));
        }
        if let Some(certificate) = self.certificate {
            tokio::spawn(certificate.keep(stop.clone()));
        }
        Ok((Gate::new(self.door), tls))
    }
}

/// Takes batches in, one after the other.
async fn feed(mut source: impl Source, state: Arc<State>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let batch = tokio::select! {
            batch = source.next() => batch,
            () = stop.cancelled() => return Ok(()),
        };
        let Some(batch) = batch else {
            tracing::warn!("the source of objects has ended; what it said is served on");
            stop.cancelled().await;
            return Ok(());
        };
        // Translation of everything takes its time, and no stream shall wait for it.
        let state = Arc::clone(&state);
        tokio::task::spawn_blocking(move || state.apply(&batch)).await.context("translation failed")?;
    }
}

fn settings(bootstrap: &ServerBootstrap) -> Settings {
    Settings {
        classes: Classes::from(bootstrap.classes().as_slice()),
        system_namespaces: bootstrap.system_namespaces.clone(),
        unassigned_is_system: bootstrap.unassigned == Unassigned::System,
        access_log: bootstrap.edge.access_log,
    }
}

/// An open door is for this machine alone, whoever made the bootstrap.
fn refuse_open(bootstrap: &ServerBootstrap) -> anyhow::Result<()> {
    let address = &bootstrap.xds.address;
    anyhow::ensure!(
        address.is_local() || !bootstrap.authentication.anonymous,
        "the xDS port would be open to others at {address}, and callers need not prove who they are: anybody there \
         could read every tenant's configuration and keys; use a loopback address, such as 127.0.0.1:18000, or a \
         Unix socket, such as unix:/run/weir/xds.sock, or have callers authenticated"
    );
    anyhow::ensure!(
        address.is_local() || bootstrap.xds.tls.is_some() || bootstrap.has_own_issuer(),
        "tokens and keys would cross the network in the clear at {address}: give a certificate (xds.tls), or use a \
         loopback address or a Unix socket"
    );
    Ok(())
}

#[cfg(test)]
mod cluster_simulation;
#[cfg(test)]
mod tests;
