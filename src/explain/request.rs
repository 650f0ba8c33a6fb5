//! The request that is asked about, as its bytes would reach a proxy.

use std::net::IpAddr;

use weir_xds_server::explain::{Question, Traffic};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// What is sent.
    pub(super) traffic: Traffic,
    /// Whether it is a call of gRPC.
    pub(super) grpc: bool,
    pub(super) method: String,
    pub(super) tls: bool,
    /// Host of the URL, without port: what a client connects to, and asks for by TLS.
    pub(super) server: String,
    /// Port of the URL, where it names one.
    pub(super) port: Option<u16>,
    /// `Host`, as it is sent.
    pub(super) authority: String,
    /// Path and query.
    pub(super) target: String,
    /// The other headers.
    pub(super) headers: Vec<(String, String)>,
    pub(super) client: Option<IpAddr>,
}

impl Asked {
    /// Reads a URL and what goes with it.
    ///
    /// # Errors
    /// What cannot be asked, as a sentence.
    pub(super) fn read(url: &str, method: &str, headers: &[String], client: Option<IpAddr>) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (traffic, tls, grpc) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Traffic::Requests, false, false),
            "https" => (Traffic::Requests, true, false),
            "grpc" => (Traffic::Requests, false, true),
            "grpcs" => (Traffic::Requests, true, true),
            "tls" => (Traffic::Tls, true, false),
            "tcp" => (Traffic::Tcp, false, false),
            "udp" => (Traffic::Udp, false, false),
            other => {
                return Err(format!("`{other}://` is not served: write http, https, grpc, grpcs, tls, tcp or udp"));
            }
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (server, port) = authority_parts(authority)?;
        if traffic != Traffic::Requests && !matches!(path, "" | "/") {
            return Err(format!("`{path}`: a {scheme}:// URL has no path, as nothing within is read"));
        }
        if grpc && path.trim_start_matches('/').split('/').filter(|part| !part.is_empty()).count() != 2 {
            return Err(format!("`{path}` is no call: write {scheme}://host/package.Service/Method"));
        }
        let target = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if !target.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("`{target}` holds what a URL must escape: write %20 for a blank"));
        }
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
            return Err(format!("`{method}` is no method"));
        }
        let mut asked = Self {
            traffic,
            grpc,
            // What a call is, whatever `--method` says.
            method: if grpc { "POST".to_owned() } else { method.to_owned() },
            tls,
            server,
            port,
            authority: authority.to_owned(),
            target,
            headers: Vec::new(),
            client,
        };
        if grpc {
            asked.headers = vec![header("content-type", "application/grpc"), header("te", "trailers")];
        }
        for header in headers {
            asked.header(header)?;
        }
        Ok(asked)
    }

    fn header(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once(':').ok_or_else(|| format!("--header `{text}`: write 'name: value'"))?;
        let (name, value) = (name.trim(), value.trim());
        let bad = |b: u8| (b < b' ' && b != b'\t') || b == 0x7f;
        if name.is_empty() || name.bytes().any(|b| bad(b) || b == b' ') || value.bytes().any(bad) {
            return Err(format!("--header `{text}` is no header"));
        }
        if name.eq_ignore_ascii_case("host") {
            self.authority = value.to_owned();
        } else {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        Ok(())
    }

    /// The origin of the page that asks, where one does.
    pub(super) fn origin(&self) -> Option<&str> {
        let origin = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("origin"));
        origin.map(|(_, value)| value.as_str())
    }

    /// Host without its port, in lower case.
    pub(super) fn host(&self) -> String {
        let host = match self.authority.rfind(':') {
            Some(at) if !self.authority[at..].contains(']') => &self.authority[..at],
            _ => &self.authority,
        };
        host.to_ascii_lowercase()
    }

    /// The name that TLS asks for; an address is not asked for.
    pub(super) fn sni(&self) -> Option<String> {
        let address = self.server.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        (self.tls && !address).then(|| self.server.to_ascii_lowercase())
    }

    /// What is asked about its host.
    pub(super) fn question(&self, gateway: Option<String>) -> Question {
        let host = self.host();
        let sni = self.tls.then(|| self.server.to_ascii_lowercase()).filter(|sni| *sni != host);
        Question { host, traffic: self.traffic, tls: self.tls, sni, port: self.port, gateway }
    }

    /// The head, as a client would send it.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.target, self.authority);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        (head + "\r\n").into_bytes()
    }

    /// The URL, in full.
    pub(super) fn url(&self) -> String {
        let scheme = match (self.traffic, self.grpc, self.tls) {
            (Traffic::Requests, false, false) => "http",
            (Traffic::Requests, false, true) => "https",
            (Traffic::Requests, true, false) => "grpc",
            (Traffic::Requests, true, true) => "grpcs",
            (Traffic::Tls, ..) => "tls",
            (Traffic::Tcp, ..) => "tcp",
            (Traffic::Udp, ..) => "udp",
        };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let target = if self.traffic == Traffic::Requests { self.target.as_str() } else { "" };
        format!("{scheme}://{}{port}{target}", self.server)
    }
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn authority_parts(authority: &str) -> Result<(String, Option<u16>), String> {
    if authority.contains('@') {
        return Err("a URL with user information is not taken: give an `authorization` header".to_owned());
    }
    let (host, port) = match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => {
            let port = &authority[at + 1..];
            (&authority[..at], Some(port.parse::<u16>().map_err(|_| format!("`{port}` is no port"))?))
        }
        _ => (authority, None),
    };
    if host.is_empty() {
        return Err("the URL names no host: write http://host/path".to_owned());
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, headers: &[&str]) -> Result<Asked, String> {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        Asked::read(url, "GET", &headers, None)
    }

    #[test]
    fn a_url_is_read_as_a_client_reads_it() {
        let asked = read("https://Shop.acme.test:8443/a?b#c", &["X-A: 1"]).unwrap();
        assert_eq!((asked.host().as_str(), asked.port, asked.target.as_str()), ("shop.acme.test", Some(8443), "/a?b"));
        assert_eq!(
            String::from_utf8(asked.head()).unwrap(),
            "GET /a?b HTTP/1.1\r\nhost: Shop.acme.test:8443\r\nX-A: 1\r\n\r\n"
        );
        assert_eq!(read("shop.acme.test", &[]).unwrap().url(), "http://shop.acme.test/");
        assert_eq!(read("http://h?x", &[]).unwrap().target, "/?x");
        assert_eq!(read("http://[::1]:80/", &[]).unwrap().host(), "[::1]");
    }

    #[test]
    fn a_call_is_a_post_and_a_connection_has_no_path() {
        let call = read("grpcs://api.acme.test/acme.Shop/Buy", &["x-a: 1"]).unwrap();
        assert_eq!(
            String::from_utf8(call.head()).unwrap(),
            "POST /acme.Shop/Buy HTTP/1.1\r\nhost: api.acme.test\r\ncontent-type: application/grpc\r\nte: trailers\r\nx-a: 1\r\n\r\n"
        );
        assert_eq!(call.url(), "grpcs://api.acme.test/acme.Shop/Buy");
        let question = read("tls://db.acme.test:5432", &[]).unwrap().question(None);
        assert_eq!((question.traffic, question.tls, question.port), (Traffic::Tls, true, Some(5432)));
        assert!(read("tcp://127.0.0.1", &[]).unwrap().question(None).check().is_err(), "without a port");
        assert_eq!(read("udp://127.0.0.1:53", &[]).unwrap().url(), "udp://127.0.0.1:53");
    }

    #[test]
    fn host_stands_in_place_of_the_url_and_sni_does_not() {
        let asked = read("https://edge.test/", &["Host: shop.acme.test:1"]).unwrap();
        let question = asked.question(None);
        assert_eq!((question.host.as_str(), question.sni.as_deref()), ("shop.acme.test", Some("edge.test")));
        assert_eq!(read("https://127.0.0.1/", &[]).unwrap().sni(), None);
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        for url in
            ["ftp://h/", "tcp://h:1/x", "grpc://h/Service", "http:///x", "http://h:x/", "http://u@h/", "http://h/a b"]
        {
            assert!(read(url, &[]).is_err(), "{url}");
        }
        for header in ["x", ": y", "a b: c", "a: b\r\nc: d"] {
            assert!(read("h", &[header]).is_err(), "{header}");
        }
    }
}
