//! What backends see of one request: tries after the first, copies, and a client that comes back. The backends are
//! the test's own, because only they know how often they were asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::http::{Client, Request, Response, Target};
use crate::support::plane::{Plane, System, wait_for_port};
use crate::support::site::{HTTP, Site, repository};
use crate::support::wait;

/// What one connection's request is answered with.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Status(u16),
    /// The connection is closed instead.
    Close,
    /// Nothing ever comes.
    Silence,
}

/// A request as a backend saw it: start line and headers.
type Head = Vec<String>;

/// A backend that answers by a script, until it is dropped.
struct Scripted {
    address: SocketAddr,
    heads: Receiver<Head>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Answers by `replies` in turn, the last again and again; says what it saw.
fn scripted(address: SocketAddr, replies: &[Reply]) -> Scripted {
    let listener = TcpListener::bind(address).unwrap();
    let (seen, heads) = channel();
    let replies = replies.to_vec();
    let ended = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&ended);
    let thread = std::thread::spawn(move || {
        let mut kept = Vec::new();
        for (n, stream) in listener.incoming().enumerate() {
            let Ok(stream) = stream else { break };
            if over.load(Ordering::SeqCst) {
                break;
            }
            answer(stream, replies[n.min(replies.len() - 1)], &seen, &mut kept);
        }
    });
    Scripted { address, heads, ended, thread: Some(thread) }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn answer(mut stream: TcpStream, reply: Reply, seen: &Sender<Head>, kept: &mut Vec<TcpStream>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Head::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or_default() == 0 {
            return;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        head.push(line);
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let _ = seen.send(head);
    match reply {
        Reply::Close => {}
        Reply::Silence => kept.push(stream),
        Reply::Status(status) => {
            let text = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(text.as_bytes());
        }
    }
}

struct World {
    site: Site,
    system: System,
}

/// A system whose route has this rule.
fn world_with(site: Site, plane: Plane, rule: &str) -> World {
    for file in ["platform.yaml", "backends.yaml"] {
        let text = std::fs::read_to_string(repository("tests/cases/base").join(file)).unwrap();
        site.write(file, &text);
    }
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: shop, namespace: acme}\n\
        spec:\n  parentRefs: [{name: public, namespace: weir-system}]\n  hostnames: [shop.acme.test]\n  rules:\n";
    site.write("acme.yaml", &format!("{route}  - {rule}\n"));
    let system = System::start(&site, plane);
    wait_for_port(&site, HTTP);
    World { site, system }
}

impl World {
    fn ask(&self, headers: &[(&str, &str)]) -> Response {
        let mut client = Client::new(Target::plain(self.site.ip(), HTTP));
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        client.send(&Request { headers, ..Request::get("shop.acme.test", "/cart") }).unwrap()
    }

    fn end(self) {
        self.system.terminate();
    }
}

/// The first answer of the route's, whatever it is: before, the data plane may know the host not yet. The backend is
/// not asked for anything else.
fn served(world: &World) -> Response {
    wait::until("the route is served", || Some(world.ask(&[])).filter(|response| response.status != 404))
}

fn tries(plane: Plane, rule: &str, replies: &[Reply]) -> (u16, usize) {
    let site = Site::new();
    let backend = scripted((site.ip(), 9001).into(), replies);
    let world = world_with(site, plane, rule);
    let status = served(&world).status;
    world.end();
    // Each was told before it was answered.
    (status, backend.heads.try_iter().count())
}

const SHOP: &str = "backendRefs: [{name: shop, port: 80}]";

fn codes_are_tried_again(plane: Plane) {
    let rule = format!("{{retry: {{codes: [500, 503], attempts: 3, backoff: 1ms}}, {SHOP}}}");
    let replies = [Reply::Status(500), Reply::Status(503), Reply::Status(200)];
    assert_eq!(tries(plane, &rule, &replies), (200, 3));
    assert_eq!(tries(plane, &rule, &[Reply::Status(502), Reply::Status(200)]), (502, 1), "a code that is not named");
    let rule = format!("{{retry: {{codes: [500], attempts: 2, backoff: 1ms}}, {SHOP}}}");
    assert_eq!(tries(plane, &rule, &[Reply::Status(500)]), (500, 3), "the first and two more");
}

fn connections_and_slow_tries_are_tried_again(plane: Plane) {
    let rule = format!("{{retry: {{attempts: 2, backoff: 1ms}}, {SHOP}}}");
    assert_eq!(tries(plane, &rule, &[Reply::Close, Reply::Close, Reply::Status(200)]), (200, 3));
    let rule = format!("{{retry: {{attempts: 1, backoff: 1ms}}, timeouts: {{backendRequest: 300ms}}, {SHOP}}}");
    assert_eq!(tries(plane, &rule, &[Reply::Silence, Reply::Status(200)]), (200, 2));
    let rule = format!("{{timeouts: {{backendRequest: 300ms}}, {SHOP}}}");
    assert_eq!(tries(plane, &rule, &[Reply::Silence, Reply::Status(200)]), (504, 1), "no retry was asked for");
}

fn copies_are_made_and_nobody_waits_for_them(plane: Plane) {
    let site = Site::new();
    let (shop, canary, api) = (
        scripted((site.ip(), 9001).into(), &[Reply::Status(200)]),
        scripted((site.ip(), 9002).into(), &[Reply::Silence]),
        scripted((site.ip(), 9003).into(), &[Reply::Close]),
    );
    let copy =
        |name: &str| format!("{{type: RequestMirror, requestMirror: {{backendRef: {{name: {name}, port: 80}}}}}}");
    let filters = [copy("canary"), copy("api"), copy("nobody")].join(", ");
    let world = world_with(site, plane, &format!("{{filters: [{filters}], {SHOP}}}"));
    assert_eq!(served(&world).status, 200);
    for (name, backend) in [("shop", &shop), ("canary", &canary), ("api", &api)] {
        let head = backend.heads.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("{name} got nothing"));
        assert!(head.contains(&"host: shop.acme.test".to_owned()), "{name} saw {head:?}");
        assert!(head[0].starts_with("get /cart "), "{name} saw {head:?}");
    }
    world.end();
}

fn a_client_comes_back_to_its_endpoint(plane: Plane, session: &str, header: Option<&str>) {
    let site = Site::new();
    let _backends = [("one", 9001), ("two", 9002)].map(|(name, port)| site.backend(name, port));
    let world = world_with(site, plane, &format!("{{sessionPersistence: {session}, {SHOP}}}"));
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
        metadata: {name: shop-2, namespace: acme, labels: {kubernetes.io/service-name: shop}}\n\
        addressType: IPv4\nports: [{name: http, port: 9002}]\n\
        endpoints: [{addresses: [\"${IP}\"], conditions: {ready: true}}]\n";
    world.site.write("second.yaml", slice);
    wait::until("both endpoints serve", || (world.ask(&[]).backend().as_deref() == Some("two")).then_some(()));
    for _ in 0..4 {
        let first = world.ask(&[]);
        let token = match header {
            Some(header) => (header, first.header(header).expect("a header with the session").to_owned()),
            None => {
                let cookie = first.header("set-cookie").expect("a cookie with the session");
                assert!(cookie.to_ascii_lowercase().contains("httponly"), "{cookie}");
                ("cookie", cookie.split(';').next().unwrap().to_owned())
            }
        };
        for _ in 0..12 {
            assert_eq!(world.ask(&[(token.0, &token.1)]).backend(), first.backend());
        }
    }
    world.end();
}

macro_rules! at {
    ($($module:ident: $plane:expr;)*) => { $(mod $module {
        use super::*;

        #[test]
        fn codes_are_tried_again() {
            super::codes_are_tried_again($plane);
        }

        #[test]
        fn connections_and_slow_tries_are_tried_again() {
            super::connections_and_slow_tries_are_tried_again($plane);
        }

        #[test]
        fn copies_are_made_and_nobody_waits_for_them() {
            super::copies_are_made_and_nobody_waits_for_them($plane);
        }

        #[test]
        fn a_client_comes_back_by_cookie() {
            let session = "{sessionName: cart, absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}}";
            super::a_client_comes_back_to_its_endpoint($plane, session, None);
        }

        #[test]
        fn a_client_comes_back_by_header() {
            super::a_client_comes_back_to_its_endpoint($plane, "{sessionName: x-cart, type: Header}", Some("x-cart"));
        }
    })* };
}

at! {
    envoy: Plane::Envoy;
    weir: Plane::Weir;
}
