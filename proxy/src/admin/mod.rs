//! Admin endpoint of the proxy, with names that operators know from Envoy.
//!
//! | path | what |
//! | --- | --- |
//! | `GET /ready` | 200 `LIVE` once a first configuration serves, 503 before and while draining |
//! | `GET /stats/prometheus` | counters by tenant, listeners, configuration |
//! | `GET /usage` | what is counted, logged and acknowledged, as JSON: [`usage`] |
//! | `GET /config_dump` | the live configuration as JSON, keys redacted |
//! | `GET /clusters`, `GET /listeners` | endpoints; addresses |
//! | `POST /drain_listeners` | stop accepting, end connections after the exchange under way |
//! | `POST /logging?level=L` | change the log filter |
//!
//! It has no authentication: it belongs on loopback. What changes something wants a POST, so that
//! no link does it. Another address (`admin.metricsAddress`) answers `/ready` and `/stats/prometheus` alone, for
//! a kubelet's probes and for Prometheus.

mod dump;
mod ready;
mod stats;
mod text;
mod usage;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use weir_config::bootstrap::Address;
use weir_config::usage::Busiest;

use crate::live::Listeners;
use crate::meter::Meter;
use crate::serve::{Stats, Statuses};
use crate::tls::Keys;
use crate::usage::stream::Reporter;
use crate::xds::stream::{Shared, lock};

pub use ready::Readiness;

/// Changes the log filter while the program runs: `debug`, or `info,weir_proxy=debug`.
pub type SetFilter = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What the endpoint shows and changes.
pub struct Admin {
    /// Name of this proxy.
    pub node: String,
    /// The configuration.
    pub pipeline: Shared,
    /// The counters.
    pub meter: Arc<Meter>,
    /// How what they count is reported.
    pub reporter: Reporter,
    /// Tenants with Prometheus series of their own.
    pub prometheus_tenants: usize,
    /// Listeners that are live.
    pub listeners: watch::Receiver<Arc<Listeners>>,
    /// What became of each.
    pub statuses: watch::Receiver<Statuses>,
    /// The engine's counters of itself.
    pub engine: Arc<Stats>,
    /// Parsed keys of certificates.
    pub keys: Arc<Keys>,
    /// Turns true when listeners are to be drained.
    pub drain: watch::Sender<bool>,
    /// Turns true when the process is asked to end.
    pub stop: watch::Receiver<bool>,
    /// Changes the log filter.
    pub set_filter: SetFilter,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// A bound address, before it is served.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A Unix domain socket.
    Unix(std::os::unix::net::UnixListener),
}

impl Socket {
    /// Binds. A Unix socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Socket::Tcp(listener))
            }
            Address::Unix(path) => {
                if std::os::unix::net::UnixStream::connect(path)
                    .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
                {
                    std::fs::remove_file(path)?;
                }
                let listener = std::os::unix::net::UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Ok(Socket::Unix(listener))
            }
        }
    }

    /// The address really bound.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Socket::Tcp(listener) => Ok(Address::Tcp(listener.local_addr()?)),
            Socket::Unix(listener) => {
                Ok(Address::Unix(listener.local_addr()?.as_pathname().unwrap_or_else(|| "".as_ref()).into()))
            }
        }
    }
}

/// Serves for ever, on the runtime that this is called on; `open` answers probes and Prometheus alone.
///
/// # Errors
/// A socket is of no use to the runtime.
pub async fn serve(socket: Socket, open: Option<Socket>, admin: Admin) -> io::Result<()> {
    let busiest = Mutex::new(Busiest::new(admin.prometheus_tenants));
    let page = Arc::new(Page { admin, readiness: Readiness::default(), busiest });
    let all = answer(socket, router(Arc::clone(&page)));
    match open {
        Some(open) => tokio::try_join!(all, answer(open, open_router(page))).map(|((), ())| ()),
        None => all.await,
    }
}

async fn answer(socket: Socket, router: Router) -> io::Result<()> {
    match socket {
        Socket::Tcp(listener) => axum::serve(TcpListener::from_std(listener)?, router).await,
        Socket::Unix(listener) => axum::serve(UnixListener::from_std(listener)?, router).await,
    }
}

struct Page {
    admin: Admin,
    readiness: Readiness,
    /// Who has series. One scrape at a time: each goes on from the one before.
    busiest: Mutex<Busiest>,
}

type Shown = Arc<Page>;

/// What other machines may ask.
fn open_router(page: Shown) -> Router {
    Router::new().route("/ready", get(ready)).route("/stats/prometheus", get(stats)).with_state(page)
}

fn router(page: Shown) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/stats/prometheus", get(stats))
        .route("/usage", get(usage))
        .route("/config_dump", get(config_dump))
        .route("/clusters", get(clusters))
        .route("/listeners", get(listeners))
        .route("/drain_listeners", post(drain))
        .route("/logging", post(logging))
        .with_state(page)
}

async fn ready(State(shown): State<Shown>) -> impl IntoResponse {
    let state = shown.readiness.of(&shown.admin);
    (state.status(), format!("{state}\n"))
}

async fn stats(State(shown): State<Shown>) -> impl IntoResponse {
    let text = blocking(move || stats::render(&shown.admin, &shown.busiest)).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

async fn usage(State(shown): State<Shown>) -> impl IntoResponse {
    let text = blocking(move || usage::page(&shown.admin.node, &shown.admin.meter, &shown.admin.reporter));
    ([(header::CONTENT_TYPE, "application/json")], text.await)
}

async fn config_dump(State(shown): State<Shown>) -> impl IntoResponse {
    let text = blocking(move || {
        let state = lock(&shown.admin.pipeline).state();
        format!("{:#}\n", dump::dump(&state))
    });
    ([(header::CONTENT_TYPE, "application/json")], text.await)
}

async fn clusters(State(shown): State<Shown>) -> String {
    blocking(move || {
        let state = lock(&shown.admin.pipeline).state();
        text::clusters(&state)
    })
    .await
}

async fn listeners(State(shown): State<Shown>) -> String {
    text::listeners(&shown.admin.statuses.borrow())
}

async fn drain(State(shown): State<Shown>) -> &'static str {
    shown.admin.drain.send_replace(true);
    "OK\n"
}

#[derive(Deserialize)]
struct Level {
    level: Option<String>,
}

async fn logging(State(shown): State<Shown>, Query(query): Query<Level>) -> impl IntoResponse {
    let Some(level) = query.level else {
        return (
            StatusCode::BAD_REQUEST,
            "say what to log: /logging?level=debug, or level=info,weir_proxy=debug\n".into(),
        );
    };
    match (shown.admin.set_filter)(&level) {
        Ok(()) => (StatusCode::OK, format!("the log filter is `{level}`\n")),
        Err(problem) => (StatusCode::BAD_REQUEST, format!("{problem}\n")),
    }
}

/// Runs what takes long away from the runtime's threads.
async fn blocking(make: impl FnOnce() -> String + Send + 'static) -> String {
    tokio::task::spawn_blocking(make).await.unwrap_or_else(|error| format!("{error}\n"))
}
