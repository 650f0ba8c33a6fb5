//! The requests of a case, and the judgement of their answers.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use super::case::{Answer, Scheme, Send, Step};
use super::guests;
use super::http::{Client, Request, Response, Target};
use super::plane::Plane;
use super::tls::{Authority, Pair};
use super::wait;

/// Answers that must still be right once a change was seen.
const STEADY: usize = 5;
/// Envoy draws lots: how many times as many requests it gets.
const LOTS: u64 = 4;

/// Clients of one data plane, with one kept connection for each port and SNI.
pub struct Requests {
    at: String,
    ip: Ipv4Addr,
    plane: Plane,
    authority: Authority,
    issued: BTreeMap<String, Pair>,
    clients: HashMap<(u16, Option<String>), Client>,
}

impl Requests {
    /// Clients of `plane` at `ip`, which trust `authority`.
    pub fn new(ip: Ipv4Addr, plane: Plane, authority: Authority) -> Self {
        Self { at: String::new(), ip, plane, authority, issued: BTreeMap::new(), clients: HashMap::new() }
    }

    /// Names the step that follows, for messages.
    pub fn at(&mut self, step: String) {
        self.at = step;
    }

    /// The authority that the clients trust.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Notes the certificate that a file holds now.
    pub fn issued(&mut self, file: &str, pair: Pair) {
        self.issued.insert(file.into(), pair);
    }

    /// Sends what a step says and checks what comes.
    ///
    /// # Panics
    /// When something else comes.
    pub fn send(&mut self, step: &Step, send: &Send) {
        if !step.split.is_empty() {
            return self.split(step, send);
        }
        let expect = send.expect.as_ref().unwrap_or_else(|| panic!("{}: nothing is expected", self.at));
        if send.soon {
            self.soon(step, send, expect);
        }
        if let Some(most) = step.at_most {
            let right = (0..step.times).filter(|_| self.satisfies(step, send, expect).1.is_ok()).count();
            assert!(right <= most, "{}: {right} of {}, not at most {most}", self.at, step.times);
            return;
        }
        let times = if send.soon { STEADY } else { step.times.max(1) };
        for n in 0..times {
            if let Err(why) = self.satisfies(step, send, expect).1 {
                panic!("{}: request {} of {times}: {why}", self.at, n + 1);
            }
        }
    }

    /// Asks until the answer is the one expected. Until then every answer is as the first: a change
    /// takes effect without anything else in between.
    fn soon(&mut self, step: &Step, send: &Send, expect: &Answer) {
        let at = self.at.clone();
        let mut first = None;
        wait::until_ok(&at, || {
            let (answer, outcome) = self.satisfies(step, send, expect);
            let passes = step.passing.iter().any(|status| answer == Answer::Status(*status));
            if outcome.is_err() && answer != *expect && !passes {
                let first = first.get_or_insert_with(|| answer.clone());
                assert_eq!(answer, *first, "{at}: neither the answer before the change nor the one after it");
            }
            outcome
        });
    }

    fn satisfies(&mut self, step: &Step, send: &Send, expect: &Answer) -> (Answer, Result<(), String>) {
        let (answer, response, shown) = self.ask(step, send);
        let check = || {
            if answer != *expect {
                let head = response.as_ref().map(|r| format!("{:?}", r.headers));
                return Err(format!("{expect:?} was expected, {answer:?} came ({})", head.unwrap_or_default()));
            }
            let Some(response) = &response else { return Ok(()) };
            headers("the answer", &step.answer, |name| response.header(name).map(String::from))?;
            let seen = response.json();
            if step.body > 0 && seen["bodyBytes"] != step.body {
                return Err(format!("the backend got {} bytes of {}", seen["bodyBytes"], step.body));
            }
            headers("the backend's request", &step.sees, |name| {
                match name {
                    ":path" => return Some(target(&seen)),
                    ":authority" => return seen["host"].as_str().map(String::from),
                    _ => {}
                }
                seen["headers"][name]
                    .as_array()
                    .map(|values| values.iter().filter_map(|v| v.as_str()).collect::<Vec<_>>().join(","))
            })?;
            headers("the request that arrived", &step.arrives, |name| seen[name].as_str().map(String::from))?;
            match &step.shows {
                Some(file) if shown.as_deref() != Some(self.issued[file].der.as_slice()) => {
                    Err(format!("the certificate shown is not the last one of {file}"))
                }
                _ => Ok(()),
            }
        };
        let outcome = check();
        (answer, outcome)
    }

    fn ask(&mut self, step: &Step, send: &Send) -> (Answer, Option<Response>, Option<Vec<u8>>) {
        let host = step.host.clone().unwrap_or_else(|| send.host.clone());
        let request = Request {
            method: send.method.clone(),
            target: send.target.clone(),
            host,
            headers: step.headers.iter().map(|(n, v)| (n.clone(), v.clone())).collect(),
            body: vec![b'x'; step.body],
        };
        if !matches!(send.scheme, Scheme::Http | Scheme::Https) {
            return self.ask_guest(send, &request);
        }
        let tls = send.scheme == Scheme::Https;
        let sni = tls.then(|| step.sni.clone().unwrap_or_else(|| send.host.clone()));
        let target = match &sni {
            Some(sni) => Target::tls(self.ip, send.port, sni, &self.authority),
            None => Target::plain(self.ip, send.port),
        };
        let client = self.clients.entry((send.port, sni)).or_insert_with(|| Client::new(target));
        // A renewed certificate shows only on a new connection.
        if step.fresh || tls {
            client.close();
        }
        match client.send(&request) {
            Ok(response) => {
                let answer = response.backend().map_or(Answer::Status(response.status), Answer::Backend);
                (answer, Some(response), client.certificate())
            }
            Err(error) => {
                eprintln!("{}: {error}", self.at);
                (Answer::Refused, None, None)
            }
        }
    }

    fn ask_guest(&self, send: &Send, request: &Request) -> (Answer, Option<Response>, Option<Vec<u8>>) {
        let address = (self.ip, send.port).into();
        match guests::ask(send.scheme, address, request, &self.authority.client()) {
            Ok(response) => {
                let code = response.header("grpc-status").and_then(|code| code.parse().ok());
                let failed = code.unwrap_or(if response.status == 200 { 0 } else { response.status });
                let answer = response.backend().filter(|_| failed == 0);
                (answer.map_or(Answer::Status(failed), Answer::Backend), Some(response), None)
            }
            Err(error) => {
                eprintln!("{}: {error}", self.at);
                (Answer::Refused, None, None)
            }
        }
    }

    fn split(&mut self, step: &Step, send: &Send) {
        let lots = if self.plane.is_envoy() { LOTS } else { 1 };
        let total = step.split.values().sum::<u64>() * lots;
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..total {
            let (answer, ..) = self.ask(step, send);
            let name = match answer {
                Answer::Backend(name) => name,
                Answer::Status(status) => status.to_string(),
                Answer::Refused => "refused".into(),
            };
            *counts.entry(name).or_default() += 1;
        }
        let all = counts.clone();
        for (name, share) in &step.split {
            let (want, got) = (share * lots, counts.remove(name).unwrap_or(0));
            // Five standard deviations of lots drawn at random: one false alarm in a million runs.
            let p = want as f64 / total as f64;
            let slack = if self.plane.is_envoy() { 5.0 * (total as f64 * p * (1.0 - p)).sqrt() } else { 0.0 };
            assert!(
                want.abs_diff(got) as f64 <= slack,
                "{}: of {total} requests {name} got {got}, not {want} (give or take {slack:.0}): {all:?}",
                self.at
            );
        }
        assert!(counts.is_empty(), "{}: besides, {counts:?} answered", self.at);
    }
}

/// Path and query that a backend has seen.
fn target(seen: &serde_json::Value) -> String {
    let text = |name: &str| seen[name].as_str();
    let query = text("query").map(|query| format!("?{query}")).unwrap_or_default();
    text("path").unwrap_or_default().to_owned() + &query
}

/// Compares headers: `*` is any value, `-` is none.
fn headers(whose: &str, want: &BTreeMap<String, String>, get: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    for (name, want) in want {
        let got = get(name);
        let right = match want.as_str() {
            "*" => got.is_some(),
            "-" => got.is_none(),
            want => got.as_deref() == Some(want),
        };
        if !right {
            return Err(format!("{name} of {whose} is {got:?}, not `{want}`"));
        }
    }
    Ok(())
}
