//! A billing system for tests: it takes events in the form of OpenMeter's `POST /api/v1/events`, strictly,
//! knows an event by its source and id, and has mishaps.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use weir_config::usage::{Metric, Units};

/// What goes wrong, drawn anew for each request.
const MISHAPS: [Mishap; 5] = [Mishap::Fails, Mishap::Busy, Mishap::CutBefore, Mishap::CutAfter, Mishap::TakesAndFails];

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    /// 500, nothing taken.
    Fails,
    /// 429 with `retry-after`.
    Busy,
    /// The connection is cut in the body.
    CutBefore,
    /// The events are taken, and the connection is cut without an answer.
    CutAfter,
    /// The events are taken, and the answer is 503.
    TakesAndFails,
}

/// How a receiver behaves.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// One request in so many goes well; 0: all do.
    pub well_one_in: u64,
    /// Requests with an event of this tenant are refused (400).
    pub refuses: Option<String>,
    /// The bearer token that it wants.
    pub token: Option<String>,
    /// Every request is refused.
    pub refuses_all: bool,
}

/// A running receiver. It ends with the process.
#[derive(Clone, Debug)]
pub struct Receiver {
    scheme: &'static str,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    manners: Manners,
    events: BTreeMap<(String, String), Value>,
    requests: usize,
    handshakes_refused: usize,
    duplicates: usize,
    /// What was not in the form that is asked for.
    problems: Vec<String>,
    chance: u64,
}

impl Receiver {
    /// Starts one on a free port of `127.0.0.1`.
    ///
    /// # Panics
    /// No port is free.
    pub fn start(manners: Manners) -> Self {
        Self::listen(manners, None)
    }

    /// The same, with TLS.
    ///
    /// # Panics
    /// No port is free.
    pub fn start_tls(manners: Manners, tls: Arc<ServerConfig>) -> Self {
        Self::listen(manners, Some(tls))
    }

    fn listen(manners: Manners, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { manners, chance: 0x9e37_79b9_7f4a_7c15, ..State::default() }));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let receiver = Self { scheme, address, state };
        let accepting = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (receiver, tls) = (accepting.clone(), tls.clone());
                // A connection that is cut is the sender's matter.
                thread::spawn(move || drop(receiver.accept(stream, tls)));
            }
        });
        receiver
    }

    /// Where events go.
    pub fn url(&self) -> String {
        format!("{}://{}/api/v1/events", self.scheme, self.address)
    }

    /// Connections whose sender did not like the certificate.
    pub fn handshakes_refused(&self) -> usize {
        self.state().handshakes_refused
    }

    /// Behaves otherwise from now on.
    pub fn behave(&self, manners: Manners) {
        self.state().manners = manners;
    }

    /// Amounts by tenant; an event that came several times counts once.
    pub fn sums(&self) -> BTreeMap<String, Units> {
        let mut sums: BTreeMap<String, Units> = BTreeMap::new();
        for event in self.state().events.values() {
            let tenant = event["subject"].as_str().unwrap_or_default();
            let units = Units(Metric::ALL.map(|metric| event["data"][metric.name()].as_u64().unwrap_or_default()));
            sums.entry(tenant.to_owned()).or_default().add(&units);
        }
        sums
    }

    /// Requests so far, whatever became of them.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// Events that came though they had been taken.
    pub fn duplicates(&self) -> usize {
        self.state().duplicates
    }

    /// What was not in the form that is asked for.
    pub fn problems(&self) -> Vec<String> {
        self.state().problems.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn accept(&self, mut stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let Some(tls) = tls else { return self.serve(stream) };
        let mut connection = ServerConnection::new(tls).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut stream) {
                self.state().handshakes_refused += 1;
                return Err(error);
            }
        }
        self.serve(StreamOwned::new(connection, stream))
    }

    fn serve(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let Some(request) = Request::read(&mut stream)? else { return Ok(()) };
            match self.answer(&request) {
                Some(head) => {
                    let stream = stream.get_mut();
                    write!(stream, "HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n")?;
                    stream.flush()?;
                }
                None => return Ok(()),
            }
        }
    }

    /// The status line and headers of the answer; none: the connection is cut.
    fn answer(&self, request: &Request) -> Option<String> {
        let mut state = self.state();
        state.requests += 1;
        let mishap = state.mishap();
        match mishap {
            Some(Mishap::Fails) => return Some("500 Internal Server Error".into()),
            Some(Mishap::Busy) => return Some("429 Too Many Requests\r\nretry-after: 0".into()),
            Some(Mishap::CutBefore) => return None,
            Some(Mishap::CutAfter | Mishap::TakesAndFails) | None => {}
        }
        if let Some(token) = &state.manners.token
            && request.header("authorization") != Some(&format!("Bearer {token}"))
        {
            return Some("401 Unauthorized".into());
        }
        let events = match request.events() {
            Ok(events) => events,
            Err(problem) => {
                state.problems.push(problem);
                return Some("400 Bad Request".into());
            }
        };
        let refuses = |event: &Value| state.manners.refuses.as_deref().is_some_and(|tenant| event["subject"] == tenant);
        if state.manners.refuses_all || events.iter().any(refuses) {
            return Some("400 Bad Request".into());
        }
        events.into_iter().for_each(|event| state.take(event));
        match mishap {
            Some(Mishap::CutAfter) => None,
            Some(_) => Some("503 Service Unavailable".into()),
            None => Some("204 No Content".into()),
        }
    }
}

impl State {
    fn mishap(&mut self) -> Option<Mishap> {
        // xorshift64: the same mishaps in every run.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let drawn = self.chance >> 8;
        let well = self.manners.well_one_in == 0 || drawn.is_multiple_of(self.manners.well_one_in);
        (!well).then(|| MISHAPS[(drawn / 64) as usize % MISHAPS.len()])
    }

    fn take(&mut self, event: Value) {
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let key = (text("source"), text("id"));
        match self.events.get(&key) {
            Some(before) => {
                self.duplicates += 1;
                if *before != event {
                    self.problems.push(format!("id {} again, with other content", key.1));
                }
            }
            None => drop(self.events.insert(key, event)),
        }
    }
}

#[derive(Debug)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// The next request; none: the connection has ended.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { line: line.trim_end().to_owned(), headers, body: Vec::new() };
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        reader.take(length).read_to_end(&mut request.body)?;
        Ok(Some(request))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The events, or what is wrong.
    fn events(&self) -> Result<Vec<Value>, String> {
        if self.line != "POST /api/v1/events HTTP/1.1" {
            return Err(format!("request line `{}`", self.line));
        }
        // OpenMeter compares the whole header.
        if self.header("content-type") != Some("application/cloudevents-batch+json") {
            return Err(format!("content-type {:?}", self.header("content-type")));
        }
        let events: Vec<Value> = serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        if events.is_empty() {
            return Err("a batch without events".into());
        }
        events.iter().try_for_each(check)?;
        Ok(events)
    }
}

/// A CloudEvent 1.0 that OpenMeter takes, with every metric of Weir.
fn check(event: &Value) -> Result<(), String> {
    let object = event.as_object().ok_or("an event that is no object")?;
    for name in object.keys() {
        let known = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"];
        if !known.contains(&name.as_str()) {
            return Err(format!("attribute `{name}`"));
        }
    }
    let text = |name: &str| match object.get(name).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(format!("attribute `{name}` is no text: {event}")),
    };
    text("id")?;
    text("source")?;
    text("type")?;
    if text("subject")? == "-" {
        return Err("an event of no tenant".into());
    }
    if (text("specversion")?, text("datacontenttype")?) != ("1.0", "application/json") {
        return Err(format!("specversion or datacontenttype: {event}"));
    }
    text("time")?.parse::<jiff::Timestamp>().map_err(|error| error.to_string())?;
    let data = object.get("data").and_then(Value::as_object).ok_or("data is no object")?;
    let amounts = Metric::ALL.iter().filter_map(|metric| data.get(metric.name())?.as_u64());
    match (amounts.clone().count(), amounts.sum::<u64>(), data.len()) {
        (8, 1.., 8) => Ok(()),
        _ => Err(format!("data is not eight amounts, one of them above zero: {event}")),
    }
}
