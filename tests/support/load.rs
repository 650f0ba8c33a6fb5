//! Load whose every response is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::http::{Client, Request, Response, Target};

/// A request on a fresh connection after so many on one.
const REQUESTS_A_CONNECTION: u64 = 40;

/// What one client asks, again and again.
#[derive(Clone)]
pub struct Ask {
    /// Where it connects.
    pub target: Target,
    /// Host.
    pub host: &'static str,
    /// Query, with its `?`.
    pub query: &'static str,
    /// Bytes of body: a POST if there are any.
    pub body: usize,
    /// Backends that may answer.
    pub backends: &'static [&'static str],
}

/// What the clients have seen.
#[derive(Default)]
pub struct Seen {
    /// Requests sent.
    pub requests: u64,
    /// What went wrong, request by request.
    pub failures: Vec<String>,
    /// Backends that answered, by host.
    pub backends: BTreeMap<&'static str, BTreeSet<String>>,
}

/// Clients under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts a client for each of `asks`.
    pub fn start(asks: Vec<Ask>) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let clients = asks.into_iter().enumerate().map(|(n, ask)| {
            let (stop, seen) = (stop.clone(), seen.clone());
            std::thread::spawn(move || client(n, &ask, &stop, &seen))
        });
        Self { clients: clients.collect(), stop, seen }
    }

    /// Ends the clients after their present request.
    pub fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn client(n: usize, ask: &Ask, stop: &AtomicBool, seen: &Mutex<Seen>) {
    let mut client = Client::new(ask.target.clone());
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        if count % REQUESTS_A_CONNECTION == 0 {
            client.close();
        }
        let path = format!("/client-{n}/request-{count}");
        let mut request = Request::get(ask.host, &format!("{path}{}", ask.query));
        if ask.body > 0 {
            request.method = "POST".into();
            request.body = vec![b'x'; ask.body];
        }
        let outcome = client.send(&request);
        let mut seen = seen.lock().unwrap();
        seen.requests += 1;
        match outcome.map_err(|e| e.to_string()).and_then(|response| check(ask, &path, &response)) {
            Ok(backend) => {
                seen.backends.entry(ask.host).or_default().insert(backend);
            }
            Err(why) => seen.failures.push(format!("{} {}{path}: {why}", request.method, ask.host)),
        }
    }
}

/// The response must be of this very request, and whole.
fn check(ask: &Ask, path: &str, response: &Response) -> Result<String, String> {
    let Some(backend) = response.backend() else {
        return Err(format!("status {} {:?}", response.status, response.headers));
    };
    let json = response.json();
    if json["path"] != path || json["bodyBytes"] != ask.body {
        return Err(format!("the answer to another request: {json}"));
    }
    if !ask.backends.contains(&backend.as_str()) {
        return Err(format!("{backend} answered"));
    }
    Ok(backend)
}
