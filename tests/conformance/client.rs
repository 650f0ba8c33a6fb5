//! Requests, and what must come of them within the suite's limits.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::compare::Expected;
use crate::h2;
use crate::sockets::Tls;
use crate::suite::{Case, Check};
use crate::support::http::{self, Request, Response, Target};

/// So often in a row it must be right.
const IN_A_ROW: usize = 3;
/// Requests of a distribution, and how many at a time.
const REQUESTS: usize = 500;
const AT_A_TIME: usize = 10;
/// How far a share may be from its weight.
const TOLERANCE: f64 = 0.05;

/// Where requests go.
#[derive(Clone)]
pub struct Place {
    pub address: SocketAddr,
    pub tls: Tls,
}

impl Place {
    pub fn plain(ip: Ipv4Addr, port: u16) -> Self {
        Self { address: (ip, port).into(), tls: None }
    }

    /// What a request without a host says.
    pub fn authority(&self) -> String {
        match self.address.port() {
            80 | 443 => self.address.ip().to_string(),
            _ => self.address.to_string(),
        }
    }
}

impl Case<'_> {
    /// One exchange, on a connection of its own.
    pub fn exchange(&self, place: &Place, expected: &Expected) -> Result<(Request, Response), String> {
        let request = expected.message(&place.authority());
        let response = if expected.is_h2() {
            h2::send(&self.world.backends.handle(), place.address, &place.tls, &request)?
        } else {
            let target = Target { address: place.address, tls: place.tls.clone() };
            http::once(&target, &request).map_err(|error| error.to_string())?
        };
        Ok((request, response))
    }

    /// Three times in a row what is expected, before patience is over.
    pub fn expect(&self, place: &Place, expected: &Expected) -> Check {
        let what = format!("{} {} {}", expected.request.method, expected.request.host, expected.request.path);
        self.in_a_row(&what, || {
            let (request, response) = self.exchange(place, expected)?;
            expected.check(&request, &response)
        })
    }

    /// The same of anything.
    pub fn in_a_row(&self, what: &str, mut once: impl FnMut() -> Check) -> Check {
        let mut row = 0;
        self.until(what, || {
            while row < IN_A_ROW {
                if let Err(told) = once() {
                    row = 0;
                    return Err(told);
                }
                row += 1;
            }
            Ok(())
        })
    }

    /// Each row of the test's expectations.
    pub fn rows(&self, place: &Place) -> Check {
        self.expected().iter().try_for_each(|row| self.expect(place, row))
    }

    /// The test's expectations for HTTP.
    pub fn expected(&self) -> Vec<Expected> {
        let read = |row: &Value| serde_json::from_value(row.clone()).unwrap_or_else(|error| panic!("{error}: {row}"));
        self.data.rows(self.test).iter().map(read).collect()
    }

    /// 500 answers, ten at a time, are spread by weight. Chance is given several tries.
    pub fn spread(&self, weights: &[(&str, f64)], ask: impl Fn() -> Result<String, String> + Sync) -> Check {
        let mut told = String::new();
        for _ in 0..5 {
            match distribution(&ask).and_then(|seen| judge(&seen, weights)) {
                Ok(()) => return Ok(()),
                Err(why) => told = why,
            }
        }
        Err(told)
    }
}

/// How often each deployment answered.
fn distribution(ask: &(impl Fn() -> Result<String, String> + Sync)) -> Result<BTreeMap<String, usize>, String> {
    let (next, seen) = (AtomicUsize::new(0), Mutex::new((BTreeMap::new(), None)));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < REQUESTS {
                    let answer = ask();
                    let mut seen = seen.lock().unwrap();
                    match answer {
                        Ok(pod) => *seen.0.entry(deployment(&pod).to_owned()).or_insert(0) += 1,
                        Err(why) => seen.1 = Some(why),
                    }
                }
            });
        }
    });
    let (counts, failure) = seen.into_inner().unwrap();
    failure.map_or(Ok(counts), Err)
}

/// `name-<hash>-<hash>` without its hashes.
fn deployment(pod: &str) -> &str {
    pod.rsplitn(3, '-').last().unwrap_or(pod)
}

fn judge(seen: &BTreeMap<String, usize>, weights: &[(&str, f64)]) -> Check {
    if let Some(other) = seen.keys().find(|name| !weights.iter().any(|(known, _)| known == name)) {
        return Err(format!("{other} answered"));
    }
    for (name, weight) in weights {
        let share = *seen.get(*name).unwrap_or(&0) as f64 / REQUESTS as f64;
        if (share - weight).abs() > TOLERANCE || (*weight == 0.0 && share > 0.0) {
            return Err(format!("{name} had {share} of the requests instead of {weight}"));
        }
    }
    Ok(())
}
