//! A request, what must come of it, and whether it did: the suite's rules of comparison.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::support::http::{Request, Response};

/// A request and what must come of it. A field that is absent is not looked at, but for the status: 200.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Expected {
    pub request: Sent,
    /// What the backend must have seen; absent: the request as it was sent.
    pub expected_request: Option<Arrived>,
    pub redirect_request: Option<RedirectTo>,
    /// What the backend is asked to put into its response.
    pub backend_set_response_headers: BTreeMap<String, String>,
    pub response: Answer,
    /// What the name of the pod begins with.
    pub backend: String,
    pub namespace: String,
    pub mirrored_to: Vec<Mirror>,
    /// Of a test of the harness's own: the listener to ask, where not the first.
    pub at: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Sent {
    pub host: String,
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// What the backend's TLS must have been asked for.
    #[serde(rename = "SNI")]
    pub sni: String,
    /// The certificate (PEM) that the backend must have seen.
    pub client_cert: String,
    /// `HTTP`, or an expression of the suite's for HTTP/2.
    pub protocol: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Arrived {
    pub request: Sent,
    pub absent_headers: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RedirectTo {
    pub scheme: String,
    pub host: String,
    pub port: String,
    pub path: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Answer {
    pub status_code: u16,
    pub status_codes: Vec<u16>,
    pub headers: BTreeMap<String, String>,
    pub absent_headers: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Mirror {
    pub backend_ref: MirrorRef,
    /// Share of the requests, in the suite's own words: `new(int32(20))`.
    pub percent: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MirrorRef {
    pub name: String,
    pub namespace: String,
}

impl Mirror {
    /// The share in per cent; absent: every request.
    pub fn share(&self) -> u32 {
        let text = self.percent["$expr"].as_str().unwrap_or_default();
        let inner = text.rsplit('(').next().unwrap_or_default().trim_end_matches(')');
        inner.parse().unwrap_or(100)
    }
}

impl Expected {
    /// A GET of `path` at `host` that must reach `backend` of the namespace.
    pub fn reaches(host: &str, path: &str, backend: &str, namespace: &str) -> Self {
        Self { backend: backend.into(), namespace: namespace.into(), ..Self::gives(host, path, &[200]) }
    }

    /// A GET of `path` at `host` that must be answered with one of these.
    pub fn gives(host: &str, path: &str, codes: &[u16]) -> Self {
        Self {
            request: Sent { host: host.into(), path: path.into(), ..Sent::default() },
            response: Answer { status_codes: codes.to_vec(), ..Answer::default() },
            ..Self::default()
        }
    }

    /// The request, towards an authority (where the row names no host).
    pub fn message(&self, authority: &str) -> Request {
        let sent = &self.request;
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        let mut headers: Vec<(String, String)> =
            sent.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if !self.backend_set_response_headers.is_empty() {
            let pairs = self.backend_set_response_headers.iter().map(|(name, value)| format!("{name}:{value}"));
            headers.push(("X-Echo-Set-Header".into(), pairs.collect::<Vec<_>>().join(",")));
        }
        Request {
            method: or(&sent.method, "GET"),
            target: or(&sent.path, "/"),
            host: or(&sent.host, authority),
            headers,
            body: sent.body.clone().into_bytes(),
        }
    }

    /// Whether HTTP/2 is asked for: by prior knowledge, or agreed on where TLS is spoken.
    pub fn is_h2(&self) -> bool {
        self.request.protocol.to_string().contains("H2")
    }

    fn codes(&self) -> Vec<u16> {
        let mut codes = self.response.status_codes.clone();
        codes.extend((self.response.status_code != 0).then_some(self.response.status_code));
        if codes.is_empty() { vec![200] } else { codes }
    }

    /// Whether a response to `sent` is what was expected.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, sent: &Request, response: &Response) -> Result<(), String> {
        let codes = self.codes();
        if !codes.contains(&response.status) {
            let body = String::from_utf8_lossy(&response.body).chars().take(200).collect::<String>();
            return Err(format!("status {} instead of {codes:?}: {body}", response.status));
        }
        match response.status {
            200 | 204 => self.check_echo(sent, response),
            301 | 302 | 303 | 307 | 308 => self.check_redirect(sent, response),
            _ => Ok(()),
        }
    }

    fn check_echo(&self, sent: &Request, response: &Response) -> Result<(), String> {
        let echo = response.json();
        // Not a backend's answer (a preflight's, say), and none is asked for: its headers are what counts.
        if !echo.is_object() && self.namespace.is_empty() && self.backend.is_empty() {
            return self.check_headers(response);
        }
        let default = Arrived { request: self.request.clone(), absent_headers: Vec::new() };
        let arrived = self.expected_request.as_ref().unwrap_or(&default);
        let wanted = &arrived.request;
        let method = if wanted.method.is_empty() { &sent.method } else { &wanted.method };
        let path = if wanted.path.is_empty() { &sent.target } else { &wanted.path };
        let mut pairs = vec![("path", path.as_str()), ("method", method), ("namespace", &self.namespace)];
        if !wanted.host.is_empty() {
            pairs.push(("host", &wanted.host));
        }
        for (field, value) in pairs {
            if echo[field] != value {
                return Err(format!("the backend saw {field} {} instead of {value:?}", echo[field]));
            }
        }
        let pod = echo["pod"].as_str().unwrap_or_default();
        if !pod.starts_with(&self.backend) {
            return Err(format!("pod {pod} answered, not {}", self.backend));
        }
        let seen = |name: &str| joined(&echo["headers"], name);
        for (name, value) in &wanted.headers {
            let found = seen(name).ok_or_else(|| format!("the backend saw no header {name}: {}", echo["headers"]))?;
            if found != *value {
                return Err(format!("the backend saw {name}: {found} instead of {value}"));
            }
        }
        if let Some(name) = arrived.absent_headers.iter().find(|name| seen(name).is_some()) {
            return Err(format!("the backend saw header {name}"));
        }
        check_tls(wanted, &echo["tls"])?;
        self.check_headers(response)
    }

    fn check_headers(&self, response: &Response) -> Result<(), String> {
        let all = |name: &str| -> Option<String> {
            let lower = name.to_ascii_lowercase();
            let values: Vec<&str> =
                response.headers.iter().filter(|(n, _)| *n == lower).map(|(_, v)| v.as_str()).collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        for (name, value) in &self.response.headers {
            if all(name).as_deref() != Some(value) {
                return Err(format!("response header {name} is {:?} instead of {value:?}", all(name)));
            }
        }
        match self.response.absent_headers.iter().find(|name| all(name).is_some()) {
            Some(name) => Err(format!("the response has header {name}")),
            None => Ok(()),
        }
    }

    fn check_redirect(&self, sent: &Request, response: &Response) -> Result<(), String> {
        let Some(wanted) = &self.redirect_request else { return Ok(()) };
        let location = response.header("location").ok_or("a redirect without Location")?;
        let found = Location::read(location);
        let same = |what: &str, wanted: &str, found: &str| {
            if wanted == found { Ok(()) } else { Err(format!("redirected to {location}: {what} must be {wanted}")) }
        };
        if !wanted.host.is_empty() {
            same("host", &wanted.host, found.host)?;
        }
        match (wanted.port.as_str(), found.scheme) {
            ("", "http") if matches!(found.port, "" | "80") => {}
            ("", "https") if matches!(found.port, "" | "443") => {}
            (port, _) => same("port", port, found.port)?,
        }
        same("scheme", if wanted.scheme.is_empty() { "http" } else { &wanted.scheme }, found.scheme)?;
        let path = sent.target.split('?').next().unwrap_or_default();
        same("path", if wanted.path.is_empty() { path } else { &wanted.path }, found.path)
    }
}

struct Location<'l> {
    scheme: &'l str,
    host: &'l str,
    port: &'l str,
    path: &'l str,
}

impl<'l> Location<'l> {
    /// A relative one goes to where the request went: plain HTTP, its default port.
    fn read(text: &'l str) -> Self {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self { scheme: "http", host: "", port: "", path: text };
        };
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        Self { scheme, host, port, path: path.split('?').next().unwrap_or_default() }
    }
}

fn joined(headers: &Value, name: &str) -> Option<String> {
    let values = headers.as_object()?.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?.1;
    let texts: Vec<&str> = values.as_array()?.iter().filter_map(Value::as_str).collect();
    Some(texts.join(","))
}

fn check_tls(wanted: &Sent, tls: &Value) -> Result<(), String> {
    if !wanted.sni.is_empty() && tls["serverName"] != wanted.sni.as_str() {
        return Err(format!("the backend was asked for {} instead of {}", tls["serverName"], wanted.sni));
    }
    let shown = |cert: &Value| {
        cert.as_str().is_some_and(|text| text.split_whitespace().eq(wanted.client_cert.split_whitespace()))
    };
    if !wanted.client_cert.is_empty() && !tls["peerCertificates"].as_array().is_some_and(|all| all.iter().any(shown)) {
        return Err("the backend did not see the expected client certificate".into());
    }
    Ok(())
}
