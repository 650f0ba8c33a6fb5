//! What is asked.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use weir_config::kinds::Kind;

use super::scene::Spoken;

/// Longest host that is looked for, in bytes: that of a DNS name, with room for an address in brackets.
const MAX_HOST: usize = 256;
/// Longest name of an object, in bytes.
const MAX_NAME: usize = 253;

/// What is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Traffic {
    /// HTTP, with TLS around it where [`Question::tls`] says so.
    #[default]
    Requests,
    /// A TLS connection, whatever is within.
    Tls,
    /// A connection.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Traffic {
    /// Its name in a query.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What is asked: a host, and the connection by which it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Host without port, in lower case.
    pub host: String,
    /// What is sent.
    #[serde(default)]
    pub traffic: Traffic,
    /// Whether the connection is TLS.
    #[serde(default)]
    pub tls: bool,
    /// The name that TLS asks for, where it is not the host.
    #[serde(default)]
    pub sni: Option<String>,
    /// Port, where the URL names one.
    #[serde(default)]
    pub port: Option<u16>,
    /// Only listeners of this Gateway: `namespace/name`.
    #[serde(default)]
    pub gateway: Option<String>,
}

impl Question {
    /// The question with its host in lower case.
    ///
    /// # Errors
    /// What cannot be a host or a Gateway, as a sentence.
    pub fn check(mut self) -> Result<Self, String> {
        for (field, name) in [("host", Some(&mut self.host)), ("sni", self.sni.as_mut())] {
            let Some(name) = name else { continue };
            if name.is_empty() || name.len() > MAX_HOST || !name.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(format!("`{field}` must be a host's name of 1 to {MAX_HOST} visible ASCII characters"));
            }
            name.make_ascii_lowercase();
        }
        if matches!(self.traffic, Traffic::Tcp | Traffic::Udp) && self.port.is_none() {
            return Err("TCP and UDP are told apart by the port alone: name it".to_owned());
        }
        if let Some(gateway) = &self.gateway {
            let good = |part: &str| !part.is_empty() && part.len() <= MAX_NAME && !part.contains('/');
            if !gateway.split_once('/').is_some_and(|(namespace, name)| good(namespace) && good(name)) {
                return Err("`gateway` must be namespace/name".to_owned());
            }
        }
        Ok(self)
    }

    /// What is asked of the name that chooses among TLS listeners.
    pub(crate) fn of_connection(&self) -> Self {
        Self { host: self.sni.clone().unwrap_or_else(|| self.host.clone()), ..self.clone() }
    }

    /// The port that the URL means.
    pub fn default_port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// The address that is connected to, where the host is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Whether a name tells routes apart.
    pub(crate) fn has_name(&self) -> bool {
        matches!(self.traffic, Traffic::Requests | Traffic::Tls)
    }

    /// Kinds of the routes that may take it.
    pub(crate) fn kinds(&self) -> &'static [Kind] {
        match (self.traffic, self.tls) {
            (Traffic::Requests, false) => &[Kind::HTTPRoute, Kind::GRPCRoute],
            // One name may be an HTTPS listener's or a TLS listener's.
            (Traffic::Requests, true) | (Traffic::Tls, _) => &[Kind::HTTPRoute, Kind::GRPCRoute, Kind::TLSRoute],
            (Traffic::Tcp, _) => &[Kind::TCPRoute],
            (Traffic::Udp, _) => &[Kind::UDPRoute],
        }
    }

    /// What the listeners in question speak.
    pub(crate) fn spoken(&self) -> Spoken {
        match (self.traffic, self.tls) {
            (Traffic::Requests, false) => Spoken::Http,
            (Traffic::Requests, true) | (Traffic::Tls, _) => Spoken::Tls,
            (Traffic::Tcp, _) => Spoken::Tcp,
            (Traffic::Udp, _) => Spoken::Udp,
        }
    }

    /// The domains that take the host, as texts, the most specific first: itself, each suffix, `*`.
    pub(crate) fn domains(&self) -> impl Iterator<Item = String> {
        let dots = self.host.match_indices('.').filter(|(at, _)| *at > 0);
        let suffixes = dots.map(|(at, _)| format!("*.{}", &self.host[at + 1..]));
        std::iter::once(self.host.clone()).chain(suffixes).chain(["*".to_owned()])
    }

    /// Whether a hostname of a listener or route has the host.
    pub(crate) fn is_in(&self, hostname: &str) -> bool {
        let suffix = hostname.strip_prefix('*');
        match suffix {
            Some("") => true,
            Some(suffix) => {
                let rest = self.host.len().checked_sub(suffix.len()).filter(|rest| *rest > 0);
                rest.and_then(|at| self.host.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            None => self.host.eq_ignore_ascii_case(hostname),
        }
    }
}
