//! A relay before an API server: real sockets, which it can hold, cut and answer in the API server's place. It
//! records what is asked for. One connection carries one request, so that each can be cut by itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use super::Call;

/// Between two looks at whether a held request may go on.
const PAUSE: Duration = Duration::from_millis(10);

/// What becomes of a request, instead of being passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this code, as an API server would.
    Answer(u16),
    /// A watch is answered 200, then with an `ERROR` event of this code.
    WatchError(u16),
    /// Its connection ends without an answer.
    Cut,
    /// It waits until the rule is lifted, then is passed on.
    Hold,
    /// Its connection ends after so many bytes of the answer.
    CutAfter(usize),
}

/// A fault for all requests that it matches, until it goes out of scope.
pub struct Rule(Arc<Entry>);

struct Entry {
    matches: Box<dyn Fn(&Call) -> bool + Send + Sync>,
    fault: Fault,
    active: AtomicBool,
    hits: AtomicUsize,
}

impl Rule {
    /// Requests that it has matched so far.
    pub fn hits(&self) -> usize {
        self.0.hits.load(Ordering::SeqCst)
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        self.0.active.store(false, Ordering::SeqCst);
    }
}

/// The relay. It ends, with all its connections, when it goes out of scope.
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
    kubeconfig: PathBuf,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    stop: AtomicBool,
    rules: Mutex<Vec<Arc<Entry>>>,
    calls: Mutex<Vec<Call>>,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Listens at `address` for `upstream`, and writes a kubeconfig that leads here.
    pub fn start(address: SocketAddr, upstream: SocketAddr, kubeconfig: &Path) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "relay",
            "clusters": [{"name": "relay", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "relay", "user": {}}],
            "contexts": [{"name": "relay", "context": {"cluster": "relay", "user": "relay"}}],
        });
        fs::write(kubeconfig, text.to_string()).unwrap();
        let shared = Arc::new(Shared {
            upstream,
            stop: AtomicBool::new(false),
            rules: Mutex::default(),
            calls: Mutex::default(),
            open: Mutex::default(),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if shared.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || shared.serve(stream));
                }
            })
        };
        Self { shared, address, kubeconfig: kubeconfig.to_owned(), accepting: Some(accepting) }
    }

    /// A kubeconfig whose API server is this relay.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// From now on what `matches` meets this fault, until the rule is dropped. The newest rule wins.
    pub fn fault(&self, fault: Fault, matches: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Rule {
        let entry =
            Entry { matches: Box::new(matches), fault, active: AtomicBool::new(true), hits: AtomicUsize::new(0) };
        let entry = Arc::new(entry);
        lock(&self.shared.rules).push(Arc::clone(&entry));
        Rule(entry)
    }

    /// Cuts every connection that is open now.
    pub fn cut(&self) {
        for stream in lock(&self.shared.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Every request so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }

    /// What was asked for so far, each once, without names of objects.
    pub fn seen(&self) -> BTreeSet<Call> {
        self.calls().into_iter().map(|call| Call { name: String::new(), ..call }).collect()
    }

    /// How many requests so far satisfy `matches`.
    pub fn count(&self, matches: impl Fn(&Call) -> bool) -> usize {
        lock(&self.shared.calls).iter().filter(|call| matches(call)).count()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        self.cut();
    }
}

impl Shared {
    fn serve(&self, client: TcpStream) {
        // A connection that fails is what a test may be about; whoever asked sees it.
        let _ = self.relay(&client);
        let _ = client.shutdown(Shutdown::Both);
    }

    fn relay(&self, client: &TcpStream) -> io::Result<()> {
        self.keep(client)?;
        let mut reader = BufReader::new(client);
        let Some((line, headers)) = head(&mut reader)? else { return Ok(()) };
        let mut body = vec![0; length(&headers)];
        reader.read_exact(&mut body)?;
        let mut words = line.split(' ');
        let call = Call::read(words.next().unwrap_or_default(), words.next().unwrap_or_default());
        lock(&self.calls).push(call.clone());

        let mut budget = usize::MAX;
        match self.rule(&call) {
            None => {}
            Some(entry) => match entry.fault {
                Fault::Answer(code) => return answer(client, code),
                Fault::WatchError(code) => return watch_error(client, code),
                Fault::Cut => return Ok(()),
                Fault::CutAfter(bytes) => budget = bytes,
                Fault::Hold => {
                    while entry.active.load(Ordering::SeqCst) && !self.stop.load(Ordering::SeqCst) {
                        std::thread::sleep(PAUSE);
                    }
                }
            },
        }
        let mut upstream = TcpStream::connect(self.upstream)?;
        self.keep(&upstream)?;
        let kept = headers.iter().filter(|header| !header.to_ascii_lowercase().starts_with("connection:"));
        let head: String = kept.map(|header| format!("{header}\r\n")).collect();
        upstream.write_all(format!("{line}\r\n{head}connection: close\r\n\r\n").as_bytes())?;
        upstream.write_all(&body)?;
        copy(&mut upstream, client, budget)
    }

    fn rule(&self, call: &Call) -> Option<Arc<Entry>> {
        let mut rules = lock(&self.rules);
        rules.retain(|entry| entry.active.load(Ordering::SeqCst));
        let found = rules.iter().rev().find(|entry| (entry.matches)(call)).cloned();
        if let Some(entry) = &found {
            entry.hits.fetch_add(1, Ordering::SeqCst);
        }
        found
    }

    fn keep(&self, stream: &TcpStream) -> io::Result<()> {
        lock(&self.open).push(stream.try_clone()?);
        Ok(())
    }
}

/// Request line and headers; none: the connection ended before it said anything.
fn head(reader: &mut impl BufRead) -> io::Result<Option<(String, Vec<String>)>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    Ok((!lines.is_empty()).then(|| (lines.remove(0), lines)))
}

fn length(headers: &[String]) -> usize {
    let value = |header: &String| header.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
    headers.iter().find_map(value).unwrap_or(0)
}

fn copy(from: &mut impl Read, mut to: &TcpStream, mut budget: usize) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while budget > 0 {
        let room = buffer.len().min(budget);
        let read = from.read(&mut buffer[..room])?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
        budget -= read;
    }
    Ok(())
}

fn status(code: u16) -> String {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": format!("injected {reason}")})
    .to_string()
}

fn answer(mut client: &TcpStream, code: u16) -> io::Result<()> {
    let body = status(code);
    let length = body.len();
    let head = "content-type: application/json\r\nconnection: close";
    client.write_all(format!("HTTP/1.1 {code} Injected\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())
}

fn watch_error(mut client: &TcpStream, code: u16) -> io::Result<()> {
    let event = format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status(code));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
    client.write_all(format!("{head}{event}").as_bytes())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
