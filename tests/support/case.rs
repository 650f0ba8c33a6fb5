//! The form of a case: manifests, then steps with what each must show. Files in `tests/cases/`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::guests::Guest;

/// One file of `tests/cases`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub about: String,
    /// Manifests by file name, in place of those of `base/` that have the same name.
    #[serde(default)]
    pub manifests: BTreeMap<String, String>,
    /// Certificates, by the file that holds their Secret.
    #[serde(default)]
    pub certificates: BTreeMap<String, Certificate>,
    /// Backends that speak something else than HTTP in plain text, by name.
    #[serde(default)]
    pub guests: BTreeMap<String, Guest>,
    /// ConfigMaps (`namespace/name`) with the authority of all certificates, by file.
    #[serde(default)]
    pub authorities: BTreeMap<String, String>,
    /// What is done, in order.
    pub steps: Vec<Line>,
}

/// A certificate that the test's authority issues.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// `namespace/name` of the Secret.
    pub secret: String,
    /// Names in it.
    pub names: Vec<String>,
}

/// A step, in its short or its long form.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// `GET http://host/path -> shop` (at once) or `... ~> shop` (soon): method, URL, what answers. A guest is asked by
    /// `CALL grpc://host/Service/Method`, which other codes than 0 may answer, `ASK tcp://any:9100/`, `ASK tls://name/`
    /// or `ASK udp://any:9100/`.
    Short(String),
    /// Anything else.
    Long(Box<Step>),
}

/// The long form of a step. A step with `send` is a request, any other an action.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// A short form, on which the fields below depend.
    pub send: Option<String>,
    /// Host, where it is not the URL's.
    pub host: Option<String>,
    /// SNI, where it is not the URL's host.
    pub sni: Option<String>,
    /// Headers of the request.
    pub headers: BTreeMap<String, String>,
    /// Bytes of body.
    pub body: usize,
    /// Headers of the answer: the value, `*` for any, `-` for none.
    pub answer: BTreeMap<String, String>,
    /// Headers that the backend must have seen; `:path` is its path and query, `:authority` its host.
    pub sees: BTreeMap<String, String>,
    /// What else the backend must have seen: `path`, `query`, `host`, `method`.
    pub arrives: BTreeMap<String, String>,
    /// File of the certificate that must be shown: the one issued last.
    pub shows: Option<String>,
    /// Statuses that may pass on the way from the answer before to the one expected.
    pub passing: Vec<u16>,
    /// So many times, on one connection; each must satisfy.
    pub times: usize,
    /// Of `times` at most so many are answered as expected.
    pub at_most: Option<usize>,
    /// Shares of so many requests as their sum: exact at Weir, in tolerance at Envoy.
    pub split: BTreeMap<String, u64>,
    /// Each request of `split` on a connection of its own.
    pub fresh: bool,
    /// Only at this data plane: `envoy` or `weir` (`up` too).
    pub only: Option<String>,

    /// Writes manifests.
    pub write: BTreeMap<String, String>,
    /// Edits a manifest: every `from` becomes `to`.
    pub edit: Option<Edit>,
    /// Takes a manifest away.
    pub remove: Option<String>,
    /// Issues the certificate of this file anew.
    pub renew: Option<String>,
    /// `kill` or `start`.
    pub server: Option<String>,
    /// `kill` or `start`.
    pub proxy: Option<String>,
    /// A backend to start: name to port.
    pub backend: BTreeMap<String, u16>,
    /// Name of a backend to end.
    pub end: Option<String>,
    /// Text that `weir check` must say about the manifests, with exit code 1; empty: code 0.
    pub check: Option<String>,
    /// Texts that `weir status` must come to show.
    pub status: Vec<String>,
}

/// A replacement in a manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// File.
    pub file: String,
    /// Text that is there.
    pub from: String,
    /// Text in its place.
    pub to: String,
}

/// What answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A backend of this name, with 200.
    Backend(String),
    /// A status; of a call of gRPC, the code of its end.
    Status(u16),
    /// No connection, or one that ended without an answer.
    Refused,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 within TLS.
    Https,
    /// gRPC over HTTP/2 in plain text.
    Grpc,
    /// Bytes.
    Tcp,
    /// Bytes within TLS.
    Tls,
    /// Datagrams.
    Udp,
}

/// A short form, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// Method.
    pub method: String,
    /// What is spoken.
    pub scheme: Scheme,
    /// Host of the URL.
    pub host: String,
    /// Port; default 8080 or 8443.
    pub port: u16,
    /// Path and query.
    pub target: String,
    /// What must answer; none with `split`.
    pub expect: Option<Answer>,
    /// Whether it may take a while: until then, all answers are alike.
    pub soon: bool,
}

impl Case {
    /// Reads a case.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|e| e.to_string())
    }
}

impl Send {
    /// Reads a short form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = |what: &str| format!("{text:?}: {what}");
        let (request, expect, soon) = match (text.split_once(" -> "), text.split_once(" ~> ")) {
            (Some((request, expect)), None) => (request, Some(expect), false),
            (None, Some((request, expect))) => (request, Some(expect), true),
            _ => (text, None, false),
        };
        let (method, url) = request.trim().split_once(' ').ok_or_else(|| fault("METHOD URL is missing"))?;
        let (scheme, rest) = url.split_once("://").ok_or_else(|| fault("no scheme"))?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "grpc" => Scheme::Grpc,
            "tcp" => Scheme::Tcp,
            "tls" => Scheme::Tls,
            "udp" => Scheme::Udp,
            _ => return Err(fault("no such scheme")),
        };
        let tls = matches!(scheme, Scheme::Https | Scheme::Tls);
        let (authority, path) = rest.split_once('/').ok_or_else(|| fault("no path"))?;
        let default = if tls { super::site::HTTPS } else { super::site::HTTP };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| fault("bad port"))?),
            None => (authority, default),
        };
        let expect = expect.map(|text| match text.trim() {
            "refused" => Answer::Refused,
            text => text.parse().map_or_else(|_| Answer::Backend(text.into()), Answer::Status),
        });
        Ok(Self { method: method.into(), scheme, host: host.into(), port, target: format!("/{path}"), expect, soon })
    }
}
