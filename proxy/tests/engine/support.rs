//! An engine on a thread, raw clients and raw backends. Each wait is bounded and ends on what it waits for.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_config::model::{
    Cluster, Delta, Domain, Endpoint, EndpointSource, FilterChain, Forward, HealthStatus, HttpOptions, Listener,
    LoadAssignment, LocalityEndpoints, Network, Owner, PathMatch, Resource, ResourceType, Route, RouteAction,
    RouteConfiguration, RouteMatch, RouteSource, Split, VirtualHost,
};
use weir_proxy::live::Live;
use weir_proxy::log::AccessLog;
use weir_proxy::meter::{Meter, Metric};
use weir_proxy::serve::{Engine, Options, Stats, Statuses};

/// Longest wait for anything that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What a proxy is started with.
pub(crate) struct Setup {
    pub(crate) http: HttpOptions,
    pub(crate) routes: Vec<Route>,
    pub(crate) connect_timeout: Duration,
    pub(crate) options: Options,
    pub(crate) meter: Arc<Meter>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            http: http(),
            routes: vec![route("/", "c")],
            connect_timeout: Duration::from_secs(5),
            options: Options { drain_timeout: Duration::from_secs(5), ..Options::default() },
            meter: Arc::new(Meter::new(1)),
        }
    }
}

pub(crate) fn http() -> HttpOptions {
    HttpOptions {
        stat_prefix: "t".into(),
        routes: RouteSource::Rds("r".into()),
        filters: Vec::new(),
        idle_timeout: None,
        request_headers_timeout: None,
        stream_idle_timeout: None,
        max_request_headers_kb: None,
        use_remote_address: false,
        http2: None,
        access_log: true,
    }
}

/// A route of tenant `acme` for what begins with `prefix`.
pub(crate) fn route(prefix: &str, cluster: &str) -> Route {
    Route {
        name: format!("{prefix} to {cluster}"),
        owner: Some(Owner { tenant: "acme".into(), plan: None }),
        matches: RouteMatch {
            path: PathMatch::Prefix(prefix.into()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
            fraction: None,
        },
        action: RouteAction::Forward(Forward::to(Split::One(cluster.into()))),
        request_headers: Default::default(),
        response_headers: Default::default(),
        cors: None,
        session: None,
    }
}

pub(crate) fn listener(name: &str, http: HttpOptions) -> Listener {
    let chain = FilterChain {
        name: "plain".into(),
        server_names: Vec::new(),
        tls: None,
        passthrough: false,
        network: Network::Http(http),
    };
    Listener { name: name.into(), address: ([127, 0, 0, 1], 0).into(), chains: vec![chain], udp: None }
}

pub(crate) fn routes(routes: Vec<Route>) -> RouteConfiguration {
    let host = VirtualHost {
        name: "r/*".into(),
        domains: vec![Domain::Any],
        owner: Some(Owner { tenant: "acme".into(), plan: None }),
        routes,
    };
    RouteConfiguration { name: "r".into(), virtual_hosts: vec![host], vhds: false }
}

pub(crate) fn cluster(name: &str, connect_timeout: Duration, endpoints: &[SocketAddr]) -> Cluster {
    let endpoints = endpoints
        .iter()
        .map(|address| Endpoint { address: *address, health: HealthStatus::Healthy, weight: 1 })
        .collect();
    let locality = LocalityEndpoints { endpoints, ..LocalityEndpoints::default() };
    let assignment = LoadAssignment { name: name.into(), localities: vec![locality] };
    Cluster { connect_timeout: Some(connect_timeout), ..Cluster::new(name, EndpointSource::Static(assignment)) }
}

/// An engine that runs.
pub(crate) struct Proxy {
    live: Mutex<Live>,
    pub(crate) meter: Arc<Meter>,
    log: Arc<AccessLog>,
    lines: Lines,
    statuses: Mutex<watch::Receiver<Statuses>>,
    pub(crate) stats: Arc<Stats>,
    shutdown: watch::Sender<bool>,
    pub(crate) drain: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// One listener, all of whose requests go to `backend`.
    pub(crate) fn start(backend: &Backend) -> Self {
        Self::with(Setup::default(), &[backend.address])
    }

    /// As set up, with cluster `c` of these endpoints.
    pub(crate) fn with(setup: Setup, endpoints: &[SocketAddr]) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let meter = setup.meter;
        let lines = Lines::default();
        let log = Arc::new(AccessLog::to(setup.options.workers.max(1), Box::new(lines.clone())).unwrap());
        let live = Live::new(meter.clone()).unwrap();
        let engine = Engine::new(live.listeners(), meter.clone(), Some(log.clone()), setup.options).unwrap();
        let statuses = Mutex::new(engine.statuses());
        let stats = engine.stats();
        let (shutdown, stop) = watch::channel(false);
        let (drain, draining) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(engine.run(stop, draining));
        });
        let proxy =
            Self { live: Mutex::new(live), meter, log, lines, statuses, stats, shutdown, drain, thread: Some(thread) };
        proxy.apply(vec![
            cluster("c", setup.connect_timeout, endpoints).into(),
            listener("l", setup.http).into(),
            routes(setup.routes).into(),
        ]);
        proxy
    }

    pub(crate) fn apply(&self, upserts: Vec<Resource>) {
        self.live.lock().unwrap().apply(&Delta { upserts, removals: Vec::new() });
    }

    pub(crate) fn remove(&self, kind: ResourceType, name: &str) {
        self.live.lock().unwrap().apply(&Delta { upserts: Vec::new(), removals: vec![(kind, name.into())] });
    }

    /// Waits until the listeners' state is as wanted.
    pub(crate) fn status<T>(&self, wanted: impl Fn(&Statuses) -> Option<T>) -> T {
        let statuses = self.statuses.lock().unwrap();
        eventually("listener status", || wanted(&statuses.borrow()))
    }

    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.status(|statuses| statuses.get(listener)?.bound)
    }

    pub(crate) fn connect(&self) -> Conn {
        Conn::new(TcpStream::connect(self.address("l")).unwrap())
    }

    pub(crate) fn total(&self, metric: Metric) -> u64 {
        self.meter.total(self.meter.tenant("acme").id(), metric)
    }

    /// The access log's next line that was not asked for before.
    pub(crate) fn logged(&self) -> serde_json::Value {
        eventually("log line", || {
            self.log.flush(PATIENCE);
            let mut lines = self.lines.0.lock().unwrap();
            let end = lines.iter().position(|b| *b == b'\n')?;
            let line: Vec<u8> = lines.drain(..=end).collect();
            Some(serde_json::from_slice(&line).unwrap())
        })
    }

    /// Begins to shut down.
    pub(crate) fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    /// Waits until the engine has ended.
    pub(crate) fn ended(&mut self) {
        let thread = self.thread.take().unwrap();
        eventually("end of the engine", || thread.is_finished().then_some(()));
        thread.join().unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Waits for a value.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "no {what} in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A listening socket of the test's own.
pub(crate) struct Backend {
    socket: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Backend {
    pub(crate) fn new() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    pub(crate) fn accept(&self) -> Conn {
        eventually("connection at the backend", || self.pending())
    }

    /// Another handle of the same socket.
    pub(crate) fn try_clone(&self) -> Self {
        Self { socket: self.socket.try_clone().unwrap(), address: self.address }
    }

    /// A connection, if one waits.
    pub(crate) fn pending(&self) -> Option<Conn> {
        let (stream, _) = self.socket.accept().ok()?;
        stream.set_nonblocking(false).unwrap();
        Some(Conn::new(stream))
    }
}

/// A raw connection.
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Conn {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Whether anything waits to be read.
    pub(crate) fn has_bytes(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let waits = !self.read.is_empty() || matches!(self.stream.peek(&mut [0]), Ok(1..));
        self.stream.set_nonblocking(false).unwrap();
        waits
    }

    /// Whether the peer has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let closed = self.read.is_empty() && !matches!(self.stream.peek(&mut [0]), Ok(1..) | Err(_));
        self.stream.set_nonblocking(false).unwrap();
        closed
    }

    /// Reads to the empty line.
    pub(crate) fn head(&mut self) -> String {
        String::from_utf8_lossy(&self.until(b"\r\n\r\n")).into_owned()
    }

    pub(crate) fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|w| w == end) {
                return self.read.drain(..at + end.len()).collect();
            }
            assert!(self.fill(), "ended before {:?}: {:?}", end.escape_ascii().to_string(), self.text());
        }
    }

    pub(crate) fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.read.len() < n {
            assert!(self.fill(), "ended after {} of {n} bytes", self.read.len());
        }
        self.read.drain(..n).collect()
    }

    /// All until the peer ends the connection; true if it ended in order, not by a reset.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = std::mem::take(&mut self.read);
        let orderly = match self.stream.read_to_end(&mut bytes) {
            Ok(_) => true,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no end: {error}, after {:?}", String::from_utf8_lossy(&bytes)),
        };
        (bytes, orderly)
    }

    pub(crate) fn end(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    fn fill(&mut self) -> bool {
        let mut bytes = [0; 65536];
        let n = self.stream.read(&mut bytes).unwrap_or_else(|error| panic!("{error}, after {:?}", self.text()));
        self.read.extend_from_slice(&bytes[..n]);
        n > 0
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

/// A request for `path`.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

/// An answer with a length.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The status of a response head.
pub(crate) fn status(head: &str) -> u16 {
    head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no response: {head:?}"))
}

/// The values of a field of a head, in order.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// The backend that a connection waits at, and that connection.
pub(crate) fn whichever(backends: &[&Backend]) -> (usize, Conn) {
    eventually("connection at some backend", || {
        backends.iter().enumerate().find_map(|(at, backend)| Some((at, backend.pending()?)))
    })
}
